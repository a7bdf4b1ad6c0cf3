// Working containers, against the engine's: both undergo the same, and are compared by what `docker diff` says and `docker commit` makes.
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { startDocker } from '../support/engine.mjs';
import { DOCKER, skipUnless, staticBusybox } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const STEPS = 60;
const ROUNDS = 12;

describe('containers', { skip: skipUnless('dockerd', 'busybox') }, () => {
  const context = lasting();
  let engine;
  let directory;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
  });

  it(`are what Docker's are after ${STEPS} steps, ${ROUNDS} times`, async (t) => {
    const options = {
      docker: DOCKER,
      socket: engine.env.DOCKER_HOST.replace('unix://', ''),
      directory,
      busybox: staticBusybox(),
      steps: STEPS,
      rounds: ROUNDS,
      // The same each time, so that a failure is of the change that it is found in. Another one finds what this does not.
      seed: process.env.LONGSHORE_SEED ?? 1,
    };
    const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const cargo = ['run', '--quiet', '--package', 'longshore-engine', '--example', 'containers', '--', ...args];
    t.diagnostic((await run('cargo', cargo, { cwd: root })).trim());
  });
});
