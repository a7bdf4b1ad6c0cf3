// Temporary directories that are gone when the test is.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A new directory; `t` is a test context, or anything else with `after(function)`. */
export async function temporary(t, parent = tmpdir()) {
  const directory = await mkdtemp(join(parent, 'longshore-'));
  t.after(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
