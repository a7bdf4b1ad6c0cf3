// What is gone when the tests are: temporary directories, and whatever else has an end.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';

/** Stands for the tests around the call, as a test context does for one: `after(end)` has them end something, the last first. */
export function lasting() {
  const ends = [];
  after(async () => {
    const failures = [];
    // A server that goes on keeps the tests from ending: one end that fails is no reason to leave out the others.
    for (const end of ends) await Promise.resolve().then(end).catch((failure) => failures.push(failure));
    if (failures.length > 0) throw failures[0];
  });
  return { after: (end) => ends.unshift(end) };
}

/** A new directory; `t` is a test context, or anything else with `after(function)`. */
export async function temporary(t, parent = tmpdir()) {
  const directory = await mkdtemp(join(parent, 'longshore-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
