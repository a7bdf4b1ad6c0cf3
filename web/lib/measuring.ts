/** Measuring all that a verification needs to know about, on all processors. */
import { inLanes, tally } from './lanes.js';
import type { Pool } from './pool.js';
import type { Found, Job } from './protocol.js';
import type { CallOptions, Limits, UnpackOptions } from './types.js';

/** Members go to a thread together, up to so many bytes and so many of them: to ask for a small one costs more than to hash it. */
const GROUP_BYTES = 8 << 20;
const GROUP_JOBS = 256;

/** Measures every job's bytes. */
export async function measureAll(
  pool: Pool,
  jobs: readonly Job[],
  limits: Limits,
  options: UnpackOptions,
): Promise<Found[]> {
  const found: Found[] = [];
  const report = progress(options, 'verify', sum(jobs));
  await inLanes(pool.size, grouped(jobs), options.signal, async (group, signal) => {
    found.push(...(await pool.run('measure', { jobs: group, limits }, { signal, onDone: (done) => report(group, done) })));
    report(group, sum(group));
  });
  return found;
}

/** Tells how many bytes of all groups are done. */
export function progress<Group extends object>({ onProgress }: CallOptions, phase: 'store' | 'verify', total: number) {
  const all = tally<Group>();
  onProgress?.({ phase, done: 0, total });
  return (group: Group, bytes: number) => onProgress?.({ phase, done: Math.min(total, all(group, Math.floor(bytes))), total });
}

/** Bytes of blobs or members together. */
export function sum(items: readonly { size: number }[]): number {
  return items.reduce((bytes, { size }) => bytes + size, 0);
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
