// Images whose layers Longshore squashed, or took files out of, in the hands of real programs: they load and run them, and
// see the same files.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { BUILT, makeArchives } from '../support/images.mjs';
import { longshore } from '../support/longshore.mjs';
import { skipUnless, skopeo, umoci } from '../support/peers.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { buildFiles, exported, unpacked } from '../support/trees.mjs';

describe('rewritten layers', { skip: skipUnless('dockerd', 'skopeo', 'umoci', 'busybox', 'python3') }, () => {
  const context = lasting();
  let directory;
  let engine;
  let made;
  let openArchive;
  const files = {};

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
    made = await makeArchives(engine, directory);
    await buildFiles(engine, join(directory, 'files'));
    files.docker = join(directory, 'files.tar');
    await engine.docker('save', '--output', files.docker, 'files:1');
    files.gzip = join(directory, 'gzip.tar');
    await skopeo('copy', '--quiet', `docker-archive:${files.docker}:files:1`, `oci-archive:${files.gzip}:localhost/files:1`);
    ({ openArchive } = await longshore());
  });

  /** Edits an archive, which must be intact afterwards; gives its file, and the image. */
  async function edited(t, input, edit, options = {}) {
    const archive = await openArchive(input);
    try {
      const [id] = await edit(archive);
      const report = await archive.verify();
      assert.equal(report.verdict, 'intact', JSON.stringify(report.findings));
      const file = join(await temporary(t), 'edited.tar');
      await (await archive.save(options)).writeTo(file);
      return { file, id, image: archive.images.find((image) => image.id === id) };
    } finally {
      await archive.close();
    }
  }

  async function load(file) {
    await engine.empty();
    await engine.docker('load', '--input', file);
  }

  for (const [name, options] of [['all', {}], ['the upper three', { layers: 3 }], ['all but the lowest', { from: 1 }]]) {
    it(`have the same files: ${name} as one`, async (t) => {
      await load(files.docker);
      const expected = await exported(engine, 'files:1', join(await temporary(t), 'before.tar'));
      for (const input of [files.docker, files.gzip]) {
        const save = input === files.gzip ? { format: 'docker-legacy' } : {};
        const { file, id, image } = await edited(t, input, (archive) => archive.squash(archive.images[0].id, options), save);
        await load(file);
        const [[, loaded]] = Object.entries(await engine.images());
        assert.equal(loaded, id);
        assert.deepEqual(await exported(engine, id, join(await temporary(t), 'after.tar')), expected);
        assert.equal(await engine.run(id, 'cat', '/lib/library'), 'changed\n');
        // The steps are there to be read.
        const steps = (await engine.docker('history', '--no-trunc', '--format', '{{.CreatedBy}}|{{.Comment}}', id)).trim().split('\n');
        assert.equal(steps.length, image.history.length);
        assert.match(steps[0], /\|(create new from|merge \d+ layers of) sha256:/);
        assert.ok(steps.some((step) => step.includes('mkfifo')));
      }
    });
  }

  it('have the same files to umoci', async (t) => {
    const unpack = async (file) => {
      const folder = await temporary(t);
      await skopeo('copy', '--quiet', `oci-archive:${file}`, `oci:${folder}/layout:files`);
      await umoci('unpack', '--image', `${folder}/layout:files`, join(folder, 'bundle'));
      return unpacked(join(folder, 'bundle', 'rootfs'));
    };
    const expected = await unpack(files.gzip);
    for (const options of [{}, { layers: 3 }]) {
      const { file } = await edited(t, files.gzip, (archive) => archive.squash('localhost/files:1', options));
      assert.deepEqual(await unpack(file), expected);
    }
  });

  it('have all but what was dropped', async (t) => {
    await load(files.docker);
    const expected = await exported(engine, 'files:1', join(await temporary(t), 'before.tar'));
    // A file with two names that a later layer changed, and a folder.
    const gone = (path) => ['usr/lib/library', 'library-again'].includes(path) || path === 'dangling' || path.startsWith('dangling/');
    for (const path of Object.keys(expected)) if (gone(path)) delete expected[path];
    for (const input of [files.docker, files.gzip]) {
      const { file, id } = await edited(t, input, (archive) => archive.drop(archive.images[0].id, ['/lib/library', 'dangling']), { layers: 'none', format: 'docker-legacy' });
      await load(file);
      assert.deepEqual(await exported(engine, id, join(await temporary(t), 'after.tar')), expected);
      const bytes = await readFile(file);
      assert.ok(!bytes.includes('library\n\0\0'), 'what the file held is in no layer');
      assert.equal(await engine.run(id, 'echo', 'runs'), 'runs\n');
    }
  });

  for (const archive of ['single', 'tags', 'several', 'skopeoSingle', 'skopeoTags']) {
    it(`run: ${archive}`, async (t) => {
      const name = archive.endsWith('ingle') ? 'base' : 'mysql';
      const [reference] = BUILT[name].names;
      const { file, id } = await edited(t, made.files[archive], (open) => open.squash(reference));
      await load(file);
      assert.equal(await engine.run(reference), BUILT[name].prints);
      assert.equal((await engine.images())[reference], id);
      const config = JSON.parse(await skopeo('inspect', '--config', '--raw', `docker-archive:${file}:${reference}`));
      assert.equal(config.rootfs.diff_ids.length, 1);
      const dropped = await edited(t, made.files[archive], (open) => open.drop(reference, ['/etc/release']));
      await load(dropped.file);
      assert.equal(await engine.run(reference, 'echo', 'runs'), 'runs\n');
      await assert.rejects(engine.run(reference, 'ls', '/etc/release'), /No such file/);
    });
  }

  it('are told before, done as one edit, and undone', async () => {
    const archive = await openArchive(made.files.several);
    try {
      const before = archive.images.map(({ id }) => id);
      const [plan] = await archive.planDrop('mysql:5.5', ['etc/mysql/old.cnf']);
      assert.deepEqual(plan.gone.map(({ path }) => path), ['etc/mysql/old.cnf', 'etc/mysql/.wh.old.cnf']);
      assert.deepEqual(plan.keptBy, []);
      assert.equal(plan.layers.length, 2);
      const [shared] = await archive.planDrop('mysql:5.5', ['etc/release']);
      assert.equal(shared.keptBy.length, 2);
      const [squash] = await archive.planSquash('mysql:5.5', { layers: 2 });
      assert.deepEqual(squash.layers.map(({ count }) => count), [2]);
      assert.ok(squash.goneCount > 0);
      assert.equal(archive.undoable, 0);
      const [id] = await archive.squash('mysql:5.5', { layers: 2 });
      assert.ok(archive.images.some((image) => image.id === id));
      assert.equal(archive.undoable, 1);
      await archive.undo();
      assert.deepEqual(archive.images.map(({ id }) => id), before);
      await archive.redo();
      assert.equal((await archive.verify()).verdict, 'intact');
      await assert.rejects(archive.squash('mysql:5.5', { layers: 1 }), { code: 'invalid-argument' });
      await assert.rejects(archive.squash('mysql:5.5', { layers: 2, from: 1 }), { code: 'invalid-argument' });
      await assert.rejects(archive.drop('mysql:5.5', ['/nowhere']), { code: 'no-such-file' });
      await assert.rejects(archive.drop('mysql:5.5', []), { code: 'invalid-argument' });
      const control = new AbortController();
      const stopped = archive.squash('mysql:5.5', { signal: control.signal });
      control.abort();
      await assert.rejects(stopped, { code: 'aborted' });
    } finally {
      await archive.close();
    }
  });
});
