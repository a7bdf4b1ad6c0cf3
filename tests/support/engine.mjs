// A Docker Engine of our own: its images, its socket and its processes are nobody else's.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { docker } from './peers.mjs';
import { run } from './run.mjs';

const START_LIMIT = 60_000;
const STOP_LIMIT = 30_000;

/** Starts an engine; `t` is a test context, whose end is the engine's end. Of the storage drivers the first that works is used. */
export async function startDocker(t, { parent = tmpdir(), drivers = ['overlay2', 'vfs'] } = {}) {
  const directory = await mkdtemp(join(parent, 'longshore-docker-'));
  // overlay2 does not work on every file system; vfs does.
  let engine;
  for (const driver of drivers) engine ??= await tryStart(directory, driver);
  if (!engine) {
    const log = await readFile(join(directory, drivers.at(-1), 'log'), 'utf8');
    await rm(directory, { recursive: true, force: true });
    throw new Error(`dockerd does not start:\n${log.slice(-2000)}`);
  }
  t.after(() => engine.close());
  return engine;
}

async function tryStart(directory, driver) {
  const home = join(directory, driver);
  await mkdir(home);
  const socket = `unix://${join(home, 'docker.sock')}`;
  const log = openSync(join(home, 'log'), 'w');
  const args = [
    ['--data-root', join(home, 'data')],
    ['--exec-root', join(home, 'exec')],
    ['--pidfile', join(home, 'pid')],
    ['--host', socket],
    ['--storage-driver', driver],
    ['--bridge', 'none'],
    ['--iptables=false', '--ip6tables=false'],
  ].flat();
  const process_ = spawn('dockerd', args, { stdio: ['ignore', log, log] });
  const exit = once(process_, 'exit');
  // Should this process end without its tests' clean-up, the engine ends with it.
  const end = () => process_.kill();
  process.once('exit', end);

  const env = { DOCKER_HOST: socket, DOCKER_BUILDKIT: '0' };
  const close = async () => {
    process_.kill();
    const late = sleep(STOP_LIMIT, 'late', { ref: false });
    if ((await Promise.race([exit, late])) === 'late') process_.kill('SIGKILL');
    await exit;
    process.off('exit', end);
    await clean(directory);
  };

  const deadline = Date.now() + START_LIMIT;
  while (process_.exitCode === null && process_.signalCode === null && Date.now() < deadline) {
    const ready = await docker(env, 'version').then(() => true, () => false);
    if (ready) return new Engine(env, join(home, 'exec'), close);
    await sleep(100);
  }
  process_.kill();
  await exit;
  process.off('exit', end);
  return undefined;
}

/** What an engine leaves when it stops: nothing may stay. */
async function clean(directory) {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n').map((line) => line.split(' ')[1]);
  for (const mount of mounts.filter((path) => path?.startsWith(`${directory}/`)).reverse()) {
    await run('umount', [mount]);
  }
  const left = await processesWith(directory);
  for (const { pid } of left) process.kill(pid, 'SIGKILL');
  await rm(directory, { recursive: true, force: true });
  if (left.length > 0) throw new Error(`dockerd left running: ${left.map(({ line }) => line).join('; ')}`);
}

/** Processes with `text` on their command line: containerd and its shims carry our directory. */
async function processesWith(text) {
  const found = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(text) && Number(pid) !== process.pid) {
      found.push({ pid: Number(pid), line: line.replaceAll('\0', ' ') });
    }
  }
  return found;
}

class Engine {
  constructor(env, execRoot, close) {
    this.env = env;
    this.execRoot = execRoot;
    this.close = close;
  }

  /** Runs the Docker client; resolves to what it printed. */
  docker(...args) {
    return docker(this.env, ...args);
  }

  /** Runs `ctr` with the engine's own containerd, in a namespace that the engine does not use. */
  ctr(...args) {
    return run('ctr', ['--address', join(this.execRoot, 'containerd', 'containerd.sock'), '--namespace', 'longshore', ...args]);
  }

  /** Names (or `<none>:<none>`) to image IDs, as `docker images` shows them. */
  async images() {
    const lines = await this.docker('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}');
    return Object.fromEntries(lines.trim().split('\n').filter(Boolean).sort().map((line) => line.split(' ')));
  }

  /** Removes every image, and with them every layer. */
  async empty() {
    await this.docker('image', 'prune', '--all', '--force');
    const left = await this.docker('images', '--all', '--quiet');
    if (left !== '') throw new Error(`images that do not go: ${left}`);
  }

  /** Runs a program of an image, cut off from any network. */
  run(image, ...command) {
    return this.docker('run', '--rm', '--network', 'none', image, ...command);
  }
}
