// The files inside layers, in Node: the API, its errors, and what happens when it is stopped.
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { longshore } from '../support/longshore.mjs';
import { skipUnless } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { temporary } from '../support/temp.mjs';

let api;
before(async () => {
  api = await longshore();
});

async function fails(work, code) {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof api.LongshoreError, `${error.stack}`);
    assert.equal(error.code, code);
    return true;
  });
}

/** An archive of one image, whose layers are packed by GNU tar; `compress` is a program, or nothing, for the layers
 *  that are to be packed. */
async function made(t, compress = '', packed = ['one', 'two']) {
  const directory = await temporary(t);
  const at = (...path) => join(directory, ...path);
  await mkdir(at('one/etc/conf.d'), { recursive: true });
  await mkdir(at('one/var'), { recursive: true });
  await writeFile(at('one/etc/passwd'), 'root:x:0:0\n');
  await writeFile(at('one/etc/conf.d/a'), 'secret token\n');
  await writeFile(at('one/var/large'), Buffer.alloc(9_000_000, 'large '));
  await symlink('etc/passwd', at('one/link'));
  await mkdir(at('two/etc'), { recursive: true });
  await writeFile(at('two/etc/passwd'), 'root:x:0:0\nuser:x:1:1\n');
  await writeFile(at('two/.wh.var'), '');
  for (const layer of ['one', 'two']) {
    await run('tar', ['-C', at(layer), '--sort=name', '--owner=0', '--group=0', '--mtime=@7', '-cf', at(`${layer}.tar`), '.']);
    if (compress && packed.includes(layer)) await run('sh', ['-c', `${compress} < ${at(`${layer}.tar`)} > ${at('packed')} && mv ${at('packed')} ${at(`${layer}.tar`)}`]);
  }
  const hex = (digit) => `sha256:${digit.repeat(64)}`;
  const config = { architecture: 'amd64', os: 'linux', config: { Env: ['A=1'] }, rootfs: { type: 'layers', diff_ids: [hex('1'), hex('2')] } };
  await writeFile(at('config.json'), JSON.stringify(config));
  await writeFile(at('manifest.json'), JSON.stringify([{ Config: 'config.json', RepoTags: ['app:1'], Layers: ['one.tar', 'two.tar'] }]));
  const file = at('image.tar');
  await run('tar', ['-C', directory, '-cf', file, 'config.json', 'manifest.json', 'one.tar', 'two.tar']);
  return { file, directory };
}

async function opened(t, input) {
  const archive = await api.openArchive(input);
  t.after(() => archive.close());
  return archive;
}

const text = (bytes) => new TextDecoder().decode(bytes);
async function all(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}
const paths = (entries) => entries.map(({ path }) => path);

describe('files', () => {
  it('are read from a layer that a squash has made', async (t) => {
    const archive = await opened(t, (await made(t, 'gzip', ['one'])).file);
    const [squashed] = await archive.squash('app:1');
    assert.equal(text(await archive.readFile(squashed, 'etc/passwd')), 'root:x:0:0\nuser:x:1:1\n');
    await archive.undo();
    await archive.redo();
    assert.equal(text(await new Response(archive.streamFile(squashed, 'etc/conf.d/a')).arrayBuffer()), 'secret token\n');
  });

  for (const compress of ['', 'gzip', 'zstd', 'bzip2', 'xz', 'lz4']) {
    const skip = ['', 'gzip'].includes(compress) ? false : skipUnless(compress);
    it(`are listed and read from layers that are ${compress || 'not compressed'}`, { skip }, async (t) => {
      const { file, directory } = await made(t, compress);
      const archive = await opened(t, file);
      const merged = await all(archive.files('app:1'));
      assert.deepEqual(paths(merged), ['etc', 'etc/conf.d', 'etc/conf.d/a', 'etc/passwd', 'link']);
      assert.deepEqual(merged.map(({ layer }) => layer), [1, 0, 0, 1, 0]);
      assert.deepEqual([merged[3].mtime, merged[3].kind, merged[4].link], [7, 'file', 'etc/passwd']);
      assert.deepEqual(paths(await all(archive.files('app:1', { path: '/etc/conf.d/' }))), ['etc/conf.d/a']);
      assert.deepEqual(paths(await all(archive.files('app:1', { layer: 0, path: 'var' }))), ['var/large']);
      assert.equal(text(await archive.readFile('app:1', '/link')), 'root:x:0:0\nuser:x:1:1\n');
      assert.equal(text(await archive.readFile('app:1', 'link', { layer: 0 })), 'root:x:0:0\n');
      const large = await archive.readFile('app:1', 'var/large', { layer: 0 });
      assert.ok(Buffer.alloc(9_000_000, 'large ').equals(large));
      const streamed = Buffer.concat(await all(archive.streamFile('app:1', 'var/large', { layer: 0 })));
      assert.ok(streamed.equals(Buffer.from(large)));

      const exported = join(directory, 'exported.tar');
      await writeFile(exported, Buffer.concat(await all(archive.exportFiles('app:1'))));
      const listing = (await run('tar', ['-tf', exported])).trim().split('\n').sort();
      assert.deepEqual(listing, ['etc/', 'etc/conf.d/', 'etc/conf.d/a', 'etc/passwd', 'link']);
      assert.equal(await run('tar', ['-xOf', exported, 'etc/conf.d/a']), 'secret token\n');
      await writeFile(exported, Buffer.concat(await all(archive.exportFiles('app:1', { path: '/etc/conf.d' }))));
      assert.deepEqual((await run('tar', ['-tf', exported])).trim().split('\n'), ['conf.d/', 'conf.d/a']);
    });
  }

  it('are given a page at a time', async (t) => {
    const archive = await opened(t, (await made(t)).file);
    const first = await archive.folder('app:1', '', { limit: 1 });
    assert.deepEqual([paths(first.entries), typeof first.next], [['etc'], 'number']);
    const second = await archive.folder('app:1', '', { limit: 1, from: first.next });
    assert.deepEqual([paths(second.entries), second.next], [['link'], undefined]);
    assert.deepEqual(paths((await archive.folder('app:1', '/etc')).entries), ['etc/conf.d', 'etc/passwd']);
  });

  it('are told as changes of a layer, with what is in vain', async (t) => {
    const archive = await opened(t, (await made(t, 'gzip')).file);
    const changes = await all(archive.layerChanges('app:1', 1));
    const brief = changes.map(({ change, file, bytes }) => [change, file.path, bytes]);
    assert.deepEqual(brief.sort(), [['changed', 'etc', 0], ['changed', 'etc/passwd', 22], ['deleted', 'var', 9_000_000]]);
    const { score, total, wasted, paths } = await archive.efficiency('app:1');
    assert.deepEqual([total, wasted], [11 + 13 + 9_000_000 + 22, 9_000_011]);
    assert.deepEqual(paths, [{ path: 'var/large', bytes: 9_000_000, copies: 1 }, { path: 'etc/passwd', bytes: 11, copies: 1 }]);
    assert.ok(score < 1);
  });

  it('are found', async (t) => {
    const archive = await opened(t, (await made(t, 'gzip')).file);
    const find = async (query) => (await all(archive.search('app:1', query))).map(({ file, offset }) => [file.path, offset]);
    assert.deepEqual(await find({ glob: 'pass*' }), [['etc/passwd', undefined]]);
    assert.deepEqual(await find({ regex: '/conf\\.d/.$' }), [['etc/conf.d/a', undefined]]);
    assert.deepEqual(await find({ content: 'token' }), [['etc/conf.d/a', 7]]);
    assert.deepEqual(await find({ content: new Uint8Array([0x75, 0x73, 0x65, 0x72]), path: 'etc' }), [['etc/passwd', 11]]);
    assert.deepEqual(await find({ content: 'large', layer: 0 }), [['var/large', 0]]);
    await fails(find({ regex: '(' }), 'invalid-argument');
    await fails(find({ content: 5 }), 'invalid-argument');
  });

  it('are compared between archives, and between layers packed otherwise', { skip: skipUnless('zstd') }, async (t) => {
    const archive = await opened(t, (await made(t)).file);
    const other = await opened(t, (await made(t, 'zstd')).file);
    assert.deepEqual(await archive.compare('app:1', other, 'app:1'), {
      files: [],
      config: [],
      sharedLayers: [`sha256:${'1'.repeat(64)}`, `sha256:${'2'.repeat(64)}`],
    });
    const layers = await archive.compare('app:1', archive, 'app:1', { layer: 0 });
    assert.deepEqual(layers.files.map(({ change, before, after }) => [change, (after ?? before).path]), [
      ['changed', 'etc/passwd'],
      ['deleted', 'var'],
      ['deleted', 'var/large'],
    ]);
    assert.deepEqual((await archive.compare('app:1', archive, 'app:1', { layer: 0, otherLayer: 0 })).files, []);
    await fails(archive.compare('app:1', {}, 'app:1'), 'invalid-argument');
    await fails(archive.compare('app:1', other, 'app:2'), 'no-such-image');
  });

  it('are there under the names that an edit gives, and layers are read once', async (t) => {
    const archive = await opened(t, (await made(t, 'gzip')).file);
    const progress = [];
    const list = (image, options) => all(archive.files(image, { ...options, onProgress: (step) => progress.push(step) }));
    await list('app:1');
    assert.ok(progress.some(({ total }) => total > 0));
    progress.length = 0;
    await archive.rename([{ from: 'app', to: 'team/app' }]);
    await fails(list('app:1'), 'no-such-image');
    assert.equal((await list('team/app:1')).length, 5);
    await archive.undo();
    assert.equal((await list('app:1')).length, 5);
    const [one, two] = await Promise.all([list('app:1'), list('app:1', { layer: 0 })]);
    assert.deepEqual([one.length, two.length], [5, 7]);
    assert.ok(progress.every(({ total }) => total === 0), 'nothing is read again');
  });

  it('fail with codes', async (t) => {
    const archive = await opened(t, (await made(t)).file);
    await fails(archive.readFile('app:1', '/not/there'), 'no-such-file');
    await fails(archive.readFile('app:1', '/etc'), 'invalid-argument');
    await fails(all(archive.files('none')), 'no-such-image');
    await fails(all(archive.files('app:1', { layer: 2 })), 'invalid-argument');
    await fails(all(archive.files('app:1', { layer: -1 })), 'invalid-argument');
    await fails(all(archive.files(5)), 'invalid-argument');
    await fails(all(archive.files('app:1', { signal: AbortSignal.abort() })), 'aborted');
    const begun = archive.files('app:1');
    await begun.next();
    await archive.close();
    await fails(all(archive.files('app:1')), 'closed');
  });

  it('stop when told', { skip: skipUnless('xz') }, async (t) => {
    const archive = await opened(t, (await made(t, 'xz')).file);
    const controller = new AbortController();
    const search = all(archive.search('app:1', { content: 'nothing of that', layer: 0, signal: controller.signal }));
    controller.abort();
    await fails(search, 'aborted');
    const closing = fails(all(archive.files('app:1')), 'closed');
    await archive.close();
    await closing;
  });
});
