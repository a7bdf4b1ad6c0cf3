// What may be set, and what each subject is given.
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';

/** How large the largest archive is. */
export const BYTES = Number(process.env.BENCH_BYTES ?? 2 ** 32);
export const RUNS = Number(process.env.BENCH_RUNS ?? 4);
/** Where everything is that is measured. */
export const PARENT = process.env.BENCH_DIR ?? tmpdir();

/** The checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** What does one piece of work as a whole process. */
export const WORK = fileURLToPath(new URL('work.mjs', import.meta.url));
