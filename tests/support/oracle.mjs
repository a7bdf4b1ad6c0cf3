// Programs that have a real engine and this project's rules do the same, and compare what comes of it.
import { fileURLToPath } from 'node:url';
import { DOCKER, staticBusybox } from './peers.mjs';
import { run } from './run.mjs';

/** The checkout. */
export const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/** Runs such a program, an example of the crate `longshore-engine`; gives what it says when all was equal, and fails otherwise. */
export async function besideDocker(example, engine, options) {
  const all = {
    docker: DOCKER,
    socket: engine.env.DOCKER_HOST.replace('unix://', ''),
    busybox: staticBusybox(),
    // The same each time, so that a failure is of the change that it is found in. Another one finds what this does not.
    seed: process.env.LONGSHORE_SEED ?? 1,
    ...options,
  };
  const args = Object.entries(all).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const cargo = ['run', '--quiet', '--package', 'longshore-engine', '--example', example, '--', ...args];
  return (await run('cargo', cargo, { cwd: ROOT })).trim();
}
