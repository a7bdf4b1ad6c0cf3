// Working containers, against the engine's: both undergo the same, and are compared by what `docker diff` says and `docker commit` makes.
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { besideDocker } from '../support/oracle.mjs';
import { skipUnless } from '../support/peers.mjs';
import { lasting, temporary } from '../support/temp.mjs';

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
    t.diagnostic(await besideDocker('containers', engine, { directory, steps: STEPS, rounds: ROUNDS }));
  });
});
