// Broken archives and refused edits, as a Node program meets them: a LongshoreError with its code, and nothing lost.
import assert from 'node:assert/strict';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { fixtures } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { temporary } from '../support/temp.mjs';

test('every broken file is refused with the code that it is named by', async (t) => {
  const { openArchive, LongshoreError } = await longshore();
  const directory = await temporary(t);
  await fixtures(['odd', directory]);
  const files = await readdir(directory);
  assert.ok(files.length > 30, `${files.length} files`);
  for (const file of files) {
    await t.test(file, async () => {
      const error = await openArchive(join(directory, file)).then(
        (archive) => assert.fail(`opened as ${archive.format}`),
        (reason) => reason,
      );
      assert.ok(error instanceof LongshoreError, String(error));
      assert.equal(error.code, file.split('--')[0]);
      assert.match(error.message, /\S.*[.!?]$/s);
    });
  }
});

test('what a listener throws is what the call fails with', async (t) => {
  const { openArchive, openStore } = await longshore();
  const directory = await temporary(t);
  const at = (name) => join(directory, name);
  await fixtures(['docker-legacy', '--layers', '2', '--size', '3000000', at('input.tar')]);
  const archive = await openArchive(at('input.tar'));
  t.after(() => archive.close());
  const packed = await archive.save({ gzip: true });
  await packed.writeTo(at('input.tar.gz'));
  const store = await openStore(at('store'));
  t.after(() => store.close());
  const mine = new Error('mine');
  const onProgress = () => {
    throw mine;
  };
  const calls = {
    open: () => openArchive(at('input.tar.gz'), { onProgress }),
    verify: () => archive.verify({ onProgress }),
    save: () => archive.save({ format: 'oci', layers: 'gzip', onProgress }),
    gzip: () => archive.save({ gzip: true, onProgress }),
    write: () => packed.writeTo(at('output.tar.gz'), { onProgress }),
    load: () => store.load(archive, { onProgress }),
  };
  for (const [name, call] of Object.entries(calls)) await assert.rejects(call, (error) => error === mine, name);
  assert.deepEqual(await readdir(directory), ['input.tar', 'input.tar.gz', 'store']);
  assert.deepEqual(await store.images(), []);
  await assert.rejects(archive.verify({ onProgress: 5 }), { code: 'invalid-argument' });
  await assert.rejects(archive.verify({ signal: {} }), { code: 'invalid-argument' });
});

test('a refused edit changes nothing', async (t) => {
  const { openArchive, LongshoreError } = await longshore();
  const file = join(await temporary(t), 'input.tar');
  await fixtures(['docker-legacy', '--images', '2', '--name', 'app:1', '--name', 'tool:1', file]);
  const archive = await openArchive(file);
  t.after(() => archive.close());
  const before = structuredClone(archive.images);
  const refused = [
    ['invalid-reference', () => archive.tag('app:1', 'App:1')],
    ['invalid-reference', () => archive.tag('app:1', 'app:')],
    ['duplicate-reference', () => archive.tag('app:1', 'app:1')],
    ['no-such-image', () => archive.tag('nothing', 'app:2')],
    ['no-such-image', () => archive.untag('nothing:1')],
    ['duplicate-reference', () => archive.rename([{ from: 'app', to: 'tool' }])],
  ];
  for (const [code, edit] of refused) {
    await assert.rejects(edit, (error) => {
      assert.ok(error instanceof LongshoreError, String(error));
      assert.equal(error.code, code);
      return true;
    });
    assert.deepEqual(archive.images, before);
  }
});
