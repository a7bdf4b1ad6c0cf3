// The fixtures are what they say: the programs whose archives they imitate accept them, and write the same.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { fixtures, imageId, namesIn } from '../support/fixtures.mjs';
import { skipUnless, skopeo, skopeoNames } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const KINDS = ['docker-legacy', 'docker-hybrid', 'containerd', 'containerd-gzip', 'crane', 'skopeo'];

describe('fixtures', { skip: skipUnless('dockerd', 'skopeo') }, () => {
  const context = lasting();
  let engine;
  let directory;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
  });

  for (const kind of KINDS) {
    it(`the engine loads ${kind}`, async () => {
      const file = join(directory, `${kind}.tar`);
      // skopeo writes one image to an archive.
      const images = kind === 'skopeo' ? '1' : '2';
      const names = ['app:1', 'registry.local:5000/team/tool:2', 'app:latest'];
      const named = names.flatMap((name) => ['--name', name]);
      await fixtures([kind, '--images', images, '--layers', '3', ...named, file]);
      const inside = await namesIn(file);
      assert.equal(Object.keys(inside).length, names.length);

      await engine.empty();
      await engine.docker('load', '--input', file);
      const expected = Object.entries(inside).map(([name, id]) => [name.replace('docker.io/library/', ''), id]);
      assert.deepEqual(await engine.images(), Object.fromEntries(expected.sort()));
      assert.deepEqual(await skopeoNames(file), Object.keys(inside).sort());
      for (const [name, id] of Object.entries(inside)) {
        assert.equal(imageId(await skopeo('inspect', '--raw', '--config', `docker-archive:${file}:${name}`)), id);
      }
    });
  }

  it('docker-legacy is what the engine saves, to the byte', async () => {
    const file = join(directory, 'legacy.tar');
    const saved = join(directory, 'saved.tar');
    await fixtures(['docker-legacy', '--layers', '3', '--name', 'app:1', '--name', 'app:latest', file]);
    await engine.empty();
    await engine.docker('load', '--input', file);
    await engine.docker('save', '--output', saved, 'app:1', 'app:latest');
    await assert.doesNotReject(run('cmp', [file, saved]));
  });

  it('skopeo is what skopeo writes, to the byte', async () => {
    const file = join(directory, 'by-us.tar');
    const saved = join(directory, 'by-skopeo.tar');
    await fixtures(['skopeo', '--layers', '3', '--name', 'app:1', file]);
    await skopeo('copy', '--quiet', `docker-archive:${file}`, `docker-archive:${saved}:app:1`);
    await assert.doesNotReject(run('cmp', [file, saved]));
  });
});
