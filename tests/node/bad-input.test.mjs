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
