/** Measuring all that a verification needs to know about, on all processors. */
import { inLanes } from './lanes.js';
import type { Pool } from './pool.js';
import type { Found, Job } from './protocol.js';
import type { Limits, UnpackOptions } from './types.js';

/** Members go to a thread together, up to so many bytes and so many of them: to ask for a small one costs more than to hash it. */
const GROUP_BYTES = 8 << 20;
const GROUP_JOBS = 256;

/** Measures every job's bytes. */
export async function measureAll(
  pool: Pool,
  jobs: readonly Job[],
  limits: Limits,
  { signal, onProgress }: UnpackOptions,
): Promise<Found[]> {
  const groups = grouped(jobs);
  const total = sum(jobs);
  const found: Found[] = [];
  const running = new Map<Job[], number>();
  let finished = 0;
  const report = () => {
    const done = [...running.values()].reduce((all, one) => all + one, finished);
    onProgress?.({ phase: 'verify', done: Math.min(done, total), total });
  };
  report();
  await inLanes(pool.size, groups, signal, async (own, signal) => {
    const onDone = (done: number) => {
      running.set(own, done);
      report();
    };
    found.push(...(await pool.run('measure', { jobs: own, limits }, { signal, onDone })));
    running.delete(own);
    finished += sum(own);
    report();
  });
  return found;
}

/** The largest first, so that no thread begins one when the others are done. */
export function grouped<T extends { size: number }>(jobs: readonly T[]): T[][] {
  const groups: T[][] = [];
  let bytes = Infinity;
  for (const job of [...jobs].sort((a, b) => b.size - a.size)) {
    bytes += job.size;
    const last = groups.at(-1);
    if (last && bytes <= GROUP_BYTES && last.length < GROUP_JOBS) {
      last.push(job);
    } else {
      groups.push([job]);
      bytes = job.size;
    }
  }
  return groups;
}

function sum(jobs: readonly Job[]): number {
  return jobs.reduce((bytes, { size }) => bytes + size, 0);
}
