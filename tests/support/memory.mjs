// What a browser's pages take of the machine's memory, their Workers included.
import { readFile, readdir } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Does some work; resolves to what came of it, and to how many bytes `more` than before the processes for pages of the browser with
 * that profile had at once, as far as looking every 20 ms shows. What is mapped from files is not counted: the system can drop it.
 */
export async function watchingMemory(profile, work) {
  const renderers = await renderersOf(profile);
  const before = await memoryOf(renderers);
  let most = before;
  let isDone = false;
  const watch = async () => {
    while (!isDone) {
      most = Math.max(most, await memoryOf(renderers));
      await sleep(20);
    }
  };
  const watching = watch();
  try {
    const result = await work();
    return { result, more: most - before };
  } finally {
    isDone = true;
    await watching;
  }
}

const read = (pid, name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => '');

const number = (status, key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0);

async function renderersOf(profile) {
  const processes = new Map();
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    processes.set(Number(pid), { line: await read(pid, 'cmdline'), parent: number(await read(pid, 'status'), 'PPid') });
  }
  // Renderers do not carry the profile; what they descend from does.
  const isOurs = (one) => one !== undefined && (one.line.includes(profile) || isOurs(processes.get(one.parent)));
  const isForPages = ({ line }) => line.includes('--type=renderer') || line.includes('-contentproc');
  const found = [...processes].filter(([, one]) => isForPages(one) && isOurs(one));
  if (found.length === 0) throw new Error('this browser has no page');
  return found.map(([pid]) => pid);
}

async function memoryOf(pids) {
  const statuses = await Promise.all(pids.map((pid) => read(pid, 'status')));
  return statuses.reduce((sum, status) => sum + (number(status, 'RssAnon') + number(status, 'RssShmem')) * 1024, 0);
}
