// Runs a program to its end.
import { execFile } from 'node:child_process';

// Longer than anything here takes: a peer that hangs fails its test instead of the whole run.
const LIMIT = 15 * 60_000;

/** Resolves to what the program wrote to stdout, a Buffer with the encoding `buffer`; rejects with what it wrote to stderr. */
export function run(program, args, { env, cwd, encoding = 'utf8' } = {}) {
  return new Promise((resolve, reject) => {
    const options = { cwd, encoding, env: { ...process.env, ...env }, maxBuffer: 1 << 28, timeout: LIMIT };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (!error) return resolve(stdout);
      const line = [program, ...args].join(' ');
      reject(new Error(`${line}: ${error.signal ?? `exit code ${error.code}`}\n${stderr || stdout}`));
    });
  });
}
