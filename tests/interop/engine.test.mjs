// The rules of the image store, against the engine whose rules they are: both do the same, and are compared after each step.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { ROOT, besideDocker } from '../support/oracle.mjs';
import { skipUnless } from '../support/peers.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const STEPS = 2000;

describe('engine', { skip: skipUnless('dockerd', 'busybox') }, () => {
  const context = lasting();
  let engine;
  let directory;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
  });

  it(`does what Docker does, ${STEPS} steps long`, async (t) => {
    t.diagnostic(await besideDocker('differential', engine, { semantics: join(ROOT, 'docs/semantics.md'), directory, steps: STEPS }));
  });

  it('gives a name that an archive has twice to its last image, as Docker does', async (t) => {
    const { openStore } = await longshore();
    const file = join(directory, 'twins.tar');
    await fixtures(['docker-legacy', '--images', '3', '--layers', '2', '--name', 'twin:1', '--name', 'twin:1', '--name', 'twin:1', file]);
    await engine.empty();
    const printed = await engine.docker('load', '--input', file);
    const store = await openStore(join(directory, 'twins'));
    t.after(() => store.close());
    const { repeated, names } = await store.plan(file);
    assert.deepEqual(names, ['twin:1']);
    const { lines } = await store.load(file);
    assert.deepEqual(lines, printed.trim().split('\n'));
    const [first, second, last] = [repeated[0].from, repeated[0].to, repeated[1].to];
    assert.deepEqual(repeated, [{ name: 'twin:1', from: first, to: second }, { name: 'twin:1', from: second, to: last }]);
    assert.equal((await engine.images())['twin:1'], last);
    assert.equal((await store.inspect('twin:1')).Id, last);
    assert.equal((await store.images()).length, 3);
  });
});
