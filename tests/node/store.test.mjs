// The store in Node: Docker's verbs over a folder, which survives whatever ends the process.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readlinkSync, renameSync, watch } from 'node:fs';
import fsPromises, { copyFile, mkdtemp, open, readFile, readdir, readlink, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { fixtures, middleOfLayer } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { listening } from '../support/registry.mjs';
import { run } from '../support/run.mjs';
import { tar, writeImages } from '../support/tars.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const PROCESS = fileURLToPath(new URL('./store-process.mjs', import.meta.url));
const KILLS = 20;

let api;
let directory;
let files;
const context = lasting();

before(async () => {
  api = await longshore();
  directory = await temporary(context);
  // Two archives that share layers, and others in other formats.
  files = {
    one: await made('one', 'docker-legacy', '--images', '1', '--layers', '3', '--size', '900000', '--name', 'app:1'),
    two: await made('two', 'docker-legacy', '--images', '2', '--layers', '3', '--size', '900000', '--name', 'app:1', '--name', 'db:1'),
    hybrid: await made('hybrid', 'docker-hybrid', '--images', '2', '--layers', '2', '--size', '400000', '--name', 'web:1', '--name', 'web:2'),
    oci: await made('oci', 'oci-gzip', '--images', '2', '--layers', '3', '--size', '500000', '--name', 'pod:1', '--name', 'pod:2'),
  };
});

async function made(name, ...args) {
  const file = join(directory, `${name}.tar`);
  await fixtures([...args, file]);
  return file;
}

/** A new, empty store. */
async function opened(t, folder) {
  const store = await api.openStore(folder ?? (await mkdtemp(join(directory, 'store-'))));
  t.after(() => store.close());
  return store;
}

async function newFolder() {
  return mkdtemp(join(directory, 'store-'));
}

/** A store of two images, and where it has the last layer of the first. */
async function withLayer(t) {
  const folder = await newFolder();
  const store = await opened(t, folder);
  await store.load(files.two);
  const digest = (await store.inspect('app:1')).RootFS.Layers.at(-1);
  return { folder, store, digest, path: join(folder, 'blobs', digest.replace(':', '/')) };
}

const names = async (store) => (await store.images({ all: true })).map(({ repository, tag, id }) => (repository ? `${repository}:${tag}` : id)).sort();

async function fails(work, code, sentence = /\S/) {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof api.LongshoreError, `${error.stack}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, sentence);
    return true;
  });
}

const written = (format) => async (store) => (await store.save(['app:1'], { format })).writeTo(join(directory, 'wrong.tar'));

const digestOf = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

const OCI = 'application/vnd.oci.image';

/** Starts a registry that has one image, with these layers, or an index of so many that differ in `padding` bytes; gives its host. */
async function registryOf(t, layers, { spoil = (bytes) => bytes, images, padding } = {}) {
  const contents = new Map();
  const described = (mediaType, content) => {
    const bytes = Buffer.from(content);
    contents.set(digestOf(bytes), { mediaType, bytes });
    return { mediaType, digest: digestOf(bytes), size: bytes.length };
  };
  const config = described(`${OCI}.config.v1+json`, JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: {},
    rootfs: { type: 'layers', diff_ids: layers.map(digestOf) },
  }));
  const manifest = {
    schemaVersion: 2,
    mediaType: `${OCI}.manifest.v1+json`,
    config,
    layers: layers.map((layer) => described(`${OCI}.layer.v1.tar`, layer)),
  };
  const one = (annotations) => described(manifest.mediaType, JSON.stringify({ ...manifest, annotations }));
  const several = () => Array.from({ length: images }, (_, n) => one({ padding: `${n}`.padEnd(padding) }));
  const index = () => ({ schemaVersion: 2, mediaType: `${OCI}.index.v1+json`, manifests: several() });
  const { digest } = images === undefined ? one() : described(`${OCI}.index.v1+json`, JSON.stringify(index()));
  return listening(t, createServer(({ url, method }, response) => {
    const [, kind, reference] = /\/(manifests|blobs)\/(.*)$/.exec(url) ?? [];
    const content = contents.get(reference === '1' ? digest : reference);
    response.statusCode = kind && !content ? 404 : 200;
    if (content) response.setHeader('Content-Type', content.mediaType);
    response.end(content && method === 'GET' ? spoil(content.bytes) : undefined);
  }));
}

/** How many files are open whose path is like this. */
function openFiles(pattern) {
  const path = (fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  };
  return readdirSync('/proc/self/fd').filter((fd) => pattern.test(path(fd))).length;
}

/** How many files are open that nobody else sees. */
const temporaryFiles = () => openFiles(/longshore-.* \(deleted\)$/);

const skipWithoutProc = !existsSync('/proc/self/fd') && 'skipped: nothing tells which files are open';

/** Digests of the blobs that are in a folder, and what is not finished. */
async function found(folder) {
  const blobs = await readdir(join(folder, 'blobs/sha256')).catch(() => []);
  return { blobs: blobs.map((hex) => `sha256:${hex}`).sort(), partial: await readdir(join(folder, 'partial')) };
}

/** Writes what a process that is no more would have left in a folder. */
async function leave(folder, size) {
  const child = spawn(process.execPath, ['--eval', '']);
  await once(child, 'exit');
  await writeFile(join(folder, 'partial', `${child.pid}.${hostname().replace(/[^\w-]/g, '_')}.left-0-0`), Buffer.alloc(size));
}

/** Digests of the blobs that the rows of the catalog lead to. */
async function needed(folder) {
  const revisions = (await readdir(join(folder, 'catalog'))).map((name) => parseInt(name, 10)).sort((a, b) => a - b);
  if (revisions.length === 0) return [];
  const { rows } = JSON.parse(await readFile(join(folder, 'catalog', `${revisions.at(-1)}.json`), 'utf8'));
  const digests = new Set();
  for (const [key, value] of Object.entries(rows)) {
    const row = JSON.parse(value);
    if (key.startsWith('image/')) for (const digest of [row.id, row.manifest.digest, ...row.layers.map(({ digest }) => digest)]) digests.add(digest);
    if (key.startsWith('index/')) for (const digest of [row.digest, ...row.blobs.map(({ digest }) => digest)]) digests.add(digest);
  }
  return [...digests].sort();
}

describe('the store in Node', () => {
  it('loads archives of every kind, and is the same when it is opened again', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    for (const [name, file] of Object.entries(files)) {
      const progress = [];
      const { lines, images, bytes } = await store.load(file, { onProgress: (state) => progress.push(state) });
      assert.ok(lines.length > 0 && lines.every((line) => line.startsWith('Loaded image: ')), `${name}: ${lines}`);
      assert.ok(images.length > 0);
      const stored = progress.filter(({ phase }) => phase === 'store');
      assert.ok(stored.every(({ done, total }) => done <= total && total === bytes), name);
      assert.equal(stored.at(-1).done, bytes);
    }
    const before = await store.images();
    assert.deepEqual(await names(store), ['app:1', 'db:1', 'pod:1', 'pod:2', 'web:1', 'web:2'].sort());
    assert.equal((await store.verify()).verdict, 'intact');
    const again = await opened(t, folder);
    assert.deepEqual(await again.images(), before);
    assert.deepEqual((await found(folder)).blobs, await needed(folder));
  });

  it('inspects an image as an archive does', async (t) => {
    const store = await opened(t);
    for (const [file, name] of [[files.two, 'db:1'], [files.hybrid, 'web:2'], [files.oci, 'pod:1']]) {
      await store.load(file);
      const archive = await api.openArchive(file);
      t.after(() => archive.close());
      const { Config, RootFS, Architecture, Os } = await archive.inspect(name);
      assert.ok(Object.keys(Config).length > 0);
      const kept = await store.inspect(name);
      assert.deepEqual([kept.Config, kept.RootFS, kept.Architecture, kept.Os], [Config, RootFS, Architecture, Os]);
    }
  });

  it('keeps a layer once that several images have, and nothing twice', async (t) => {
    const store = await opened(t);
    const first = await store.plan(files.two);
    assert.equal(first.added.length, 2);
    assert.deepEqual(first.names, ['app:1', 'db:1']);
    const { bytes, images } = await store.load(files.two);
    assert.equal(bytes, first.bytes);
    assert.deepEqual(images.sort(), first.added.sort());
    const second = await store.plan(files.two);
    assert.deepEqual([second.bytes, second.added, second.known.length], [0, [], 2]);
    const again = await store.load(files.two);
    assert.deepEqual([again.bytes, again.images], [0, []]);
    // The image of this one is one of those.
    const plan = await store.plan(files.one);
    assert.ok(plan.bytes < bytes);
  });

  it('changes names on the way in, by rules', async (t) => {
    const store = await opened(t);
    const { lines } = await store.load(files.two, { rename: [{ from: '', to: 'registry.local/team' }] });
    assert.deepEqual(lines, ['Loaded image: registry.local/team/app:1', 'Loaded image: registry.local/team/db:1']);
    const archive = await api.openArchive(files.two);
    t.after(() => archive.close());
    await archive.tag('app:1', 'edited:2');
    assert.ok((await store.load(archive)).lines.includes('Loaded image: edited:2'));
    assert.deepEqual(archive.images[0].references, ['app:1', 'edited:2']);
  });

  it('tells of names that cannot be kept, and moves no tag for a name with a digest', async (t) => {
    const store = await opened(t);
    const both = `app:1@sha256:${'a'.repeat(64)}`;
    const image = (text, names) => ({ names, layers: [{ step: 'a', tar: tar([{ path: 'a', content: text }]) }] });
    const [first, second] = [join(directory, 'first.tar'), join(directory, 'second.tar')];
    await writeImages(first, [image('first', ['app:1'])]);
    await writeImages(second, [image('second', ['Upper:1', both, 'a:b:c', '', 'good:1'])]);
    const [id] = (await store.load(first)).images;
    const { refused, names: added, moves } = await store.plan(second);
    assert.deepEqual([refused, added, moves], [['Upper:1', both, 'a:b:c', ''], ['good:1'], []]);
    const loaded = await store.load(second);
    assert.deepEqual([loaded.refused, loaded.lines], [refused, ['Loaded image: good:1']]);
    assert.equal((await store.inspect('app:1')).Id, id);
    assert.deepEqual((await store.load(first)).refused, []);
  });

  it('takes nothing of an image that Docker does not load, though it opens', async (t) => {
    const store = await opened(t);
    const layers = [{ step: 'a', tar: tar([{ path: 'a', content: 'a' }]) }];
    const time = (text) => `parsing time ${text} as "2006-01-02T15:04:05Z07:00"`;
    for (const [number, [top, sentence]] of [
      [{ rootfs: undefined }, 'invalid image JSON, no RootFS key'],
      [{ rootfs: null }, 'invalid image JSON, no RootFS key'],
      [{ created: 'yesterday' }, time('"yesterday"')],
      [{ created: '' }, time('""')],
      [{ history: [{ created: '2020-02-30T00:00:00Z', created_by: 'a' }] }, time('"2020-02-30T00:00:00Z"')],
    ].entries()) {
      const file = join(directory, `odd-${number}.tar`);
      await writeImages(file, [{ name: 'odd:1', layers, top }]);
      await assert.rejects(store.load(file), { code: 'invalid-config', message: sentence });
      const archive = await api.openArchive(file);
      t.after(() => archive.close());
      assert.deepEqual(archive.images[0].references, ['odd:1']);
    }
    const plain = join(directory, 'plain.tar');
    await writeImages(plain, [{ name: 'plain:1', layers, top: { created: null, os: undefined, 'os.version': '10.0', comment: 'its own' } }]);
    await store.load(plain);
    const { Os, OsVersion, Comment } = await store.inspect('plain:1');
    assert.deepEqual({ Os, OsVersion, Comment }, { Os: 'linux', OsVersion: '10.0', Comment: 'its own' });
    assert.deepEqual(await names(store), ['plain:1']);
  });

  it('tags, removes and undoes as Docker would, image by image', async (t) => {
    const store = await opened(t);
    const told = [];
    store.addEventListener('change', ({ detail }) => told.push(detail));
    await store.load(files.two);
    await store.tag('app:1', 'other');
    assert.equal(store.undoable, 2);
    const [app] = (await store.images()).filter(({ repository }) => repository === 'app');
    const removed = await store.rmi([app.id, 'nosuch', 'other']);
    assert.deepEqual(removed.map(({ error }) => error?.code), ['image-in-use', 'no-such-image', undefined]);
    assert.deepEqual(removed[2].lines, ['Untagged: other:latest']);
    assert.match(removed[1].error.message, /^No such image: nosuch:latest$/);
    const [last] = await store.rmi(['app:1']);
    assert.equal(last.lines[0], 'Untagged: app:1');
    assert.equal(last.lines[1], `Deleted: ${app.id}`);
    assert.deepEqual(await names(store), ['db:1']);
    await store.undo();
    await store.undo();
    assert.deepEqual(await names(store), ['app:1', 'db:1', 'other:latest']);
    assert.equal((await store.verify()).verdict, 'intact');
    assert.deepEqual(told.map(({ elsewhere }) => elsewhere), Array(6).fill(false));
    await fails(store.tag('nosuch', 'x'), 'no-such-image', /^No such image: nosuch:latest$/);
    await fails(store.tag('app:1', 'UPPER'), 'invalid-reference');
    await fails(store.inspect('nosuch'), 'no-such-image');
  });

  it('collects what nothing needs, and then undoes nothing', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.two);
    const { size } = await store.df();
    assert.deepEqual(await store.collect(), { blobs: 0, bytes: 0 });
    assert.equal(store.undoable, 1);
    const pruned = await store.prune({ all: true });
    assert.match(pruned.lines.at(-1), /^Total reclaimed space: /);
    assert.equal(pruned.reclaimed, size);
    assert.equal((await store.collect()).bytes, size);
    assert.deepEqual(await found(folder), { blobs: [], partial: [] });
    assert.equal(store.undoable, 0);
    await store.undo();
    assert.deepEqual(await store.images(), []);
  });

  it('prunes and removes as it is told', async (t) => {
    const store = await opened(t);
    await store.load(files.two);
    const id = (await store.inspect('app:1')).Id;
    const container = await store.create('db:1', { name: 'work' });
    const prune = (filters) => store.prune({ all: true, filters });
    assert.deepEqual(await prune({ label: ['nobody=has-it'] }), { lines: ['Total reclaimed space: 0B'], reclaimed: 0 });
    assert.deepEqual(await prune({ until: ['1970-01-01'] }), { lines: ['Total reclaimed space: 0B'], reclaimed: 0 });
    await fails(prune({ nosuch: ['x'] }), 'invalid-argument', /invalid filter 'nosuch'/);
    const { lines, reclaimed } = await prune({ 'label!': ['nobody=has-it'] });
    assert.deepEqual([lines.slice(1, 3), reclaimed > 0], [['untagged: app:1', `deleted: ${id}`], true]);
    assert.deepEqual(await names(store), ['db:1']);

    const work = async (filters) => (await store.ps({ all: true, filters })).map(({ name }) => name);
    await store.create('db:1', { name: 'other' });
    assert.deepEqual(await work({ name: ['wor'] }), ['work']);
    assert.deepEqual((await work({ ancestor: ['db:1'] })).sort(), ['other', 'work']);
    assert.deepEqual(await work({ id: [container.id] }), ['work']);
    await fails(work({ nosuch: ['x'] }), 'invalid-argument', /invalid filter 'nosuch'/);

    // A child keeps its parent; with `noPrune` that stays without it, too.
    for (const noPrune of [true, false]) {
      const { id: parent } = await container.commit();
      const above = await store.create(parent);
      await above.mkdir('/above');
      const { id: child } = await above.commit('child:1');
      await store.rm([above.id]);
      const [{ lines, error }] = await store.rmi(['child:1'], { noPrune });
      assert.equal(error, undefined);
      assert.deepEqual(lines.slice(0, 2), ['Untagged: child:1', `Deleted: ${child}`]);
      assert.equal(lines.includes(`Deleted: ${parent}`), !noPrune);
      if (noPrune) await store.rmi([parent]);
    }
  });

  it('makes folders of a container, and gives files other owners', async (t) => {
    const store = await opened(t);
    await store.load(files.one);
    const container = await store.create('app:1');
    await fails(container.mkdir('/deep/in/it'), 'no-such-file');
    await container.mkdir('/deep/in/it', { parents: true, mode: 0o1770 });
    await container.mkdir('/deep/in', { parents: true });
    await container.write('/deep/file', 'x');
    await container.chown('/deep/file', 1000, 2 ** 32 - 1);
    await container.chown('/deep/in', 7, 8);
    const archive = await container.open();
    t.after(() => archive.close());
    const below = [];
    for await (const { path, mode, uid, gid } of archive.files(archive.images[0].id, { path: '/deep' })) below.push([path, mode, uid, gid]);
    assert.deepEqual(below, [['deep/file', 0o644, 1000, 2 ** 32 - 1], ['deep/in', 0o755, 7, 8], ['deep/in/it', 0o1770, 0, 0]]);
    // What was closed can be used on, and is still there.
    await container.close();
    await container.close();
    await container.chmod('/deep/file', 0o600);
    assert.deepEqual((await container.diff()).map(({ kind, path }) => `${kind} ${path}`), ['A /deep', 'A /deep/file', 'A /deep/in', 'A /deep/in/it']);
  });

  it('saves in every format what can be loaded again as the same images', async (t) => {
    const store = await opened(t);
    await store.load(files.oci);
    await store.load(files.two);
    for (const format of ['docker', 'docker-legacy', 'oci']) {
      const file = join(directory, `saved-${format}.tar`);
      const saved = await store.save(['app:1', 'pod:2'], { format });
      await saved.writeTo(file);
      await saved.release();
      const archive = await api.openArchive(file);
      assert.equal((await archive.verify()).verdict, 'intact', format);
      assert.deepEqual(archive.findings.filter(({ severity }) => severity !== 'info'), []);
      await archive.close();
      const other = await opened(t);
      await other.load(file);
      assert.deepEqual(await names(other), ['app:1', 'pod:2']);
      const ids = async (store) => (await Promise.all(['app:1', 'pod:2'].map((name) => store.inspect(name)))).map(({ Id }) => Id);
      assert.deepEqual(await ids(other), await ids(store));
    }
    await fails(store.save(['nosuch']), 'no-such-image');
    await fails(store.save([]), 'invalid-argument');
  });

  for (const gzip of [false, true]) {
    it(`goes whole into one file and comes back, working containers too${gzip ? ', packed' : ''}`, async (t) => {
      const store = await opened(t);
      for (const file of Object.values(files)) await store.load(file);
      await store.tag('app:1', 'app:2');
      const web = await store.create('web:1', { name: 'web' });
      const content = Buffer.alloc(300_000, 'content');
      await web.write('/etc/large', content);
      await web.write('/etc/small', 'small');
      await store.create('pod:1', { name: 'pod' });
      // Of this image only its container is left.
      await store.rmi(['pod:1'], { force: true });

      const file = join(directory, `all-${gzip}.tar`);
      const saved = await store.exportAll({ gzip });
      await saved.writeTo(file);
      await saved.release();
      const other = await opened(t);
      await other.load(files.one);
      await other.create('app:1', { name: 'pod' });
      const plan = await other.plan(file);
      assert.deepEqual([...plan.containers].sort(), ['pod', 'web']);
      const { containers, bytes } = await other.importAll(file);
      assert.equal(bytes, plan.bytes);
      assert.deepEqual([...containers].sort(), (await store.ps({ all: true })).map(({ id }) => id).sort());

      const listed = async (store) => (await store.images({ all: true })).map((row) => JSON.stringify(row)).sort();
      const before = await listed(store);
      const after = await listed(other);
      assert.deepEqual(after.filter((row) => before.includes(row)), before);
      const [pod] = (await store.ps({ all: true })).filter(({ name }) => name === 'pod');
      const came = after.filter((row) => !before.includes(row)).map((row) => JSON.parse(row));
      assert.deepEqual(came.map(({ id, repository }) => [id, repository]), [[pod.imageId, undefined]]);
      const there = await other.container('web');
      assert.deepEqual(await there.diff(), await web.diff());
      const inside = await there.open();
      const read = async (path) => Buffer.from(await inside.readFile(inside.images[0].id, path));
      assert.deepEqual(await read('/etc/large'), content);
      assert.equal(`${await read('/etc/small')}`, 'small');
      await inside.close();
      assert.equal((await other.ps({ all: true })).length, 3);
      assert.equal((await other.verify()).verdict, 'intact');
      // Once more brings nothing.
      assert.deepEqual((await other.load(file)).containers, []);
    });
  }

  it('takes nothing of a store whose containers are not there', async (t) => {
    const store = await opened(t);
    await store.load(files.one);
    const container = await store.create('app:1', { name: 'web' });
    await container.write('/etc/motd', 'hello');
    const saved = await store.exportAll();
    const file = join(directory, 'broken.tar');
    await saved.writeTo(file);
    await saved.release();
    const bytes = await readFile(file);
    const empty = await opened(t);
    const broken = async (from, to) => {
      await writeFile(file, bytes.toString('latin1').replaceAll(from, to), 'latin1');
      return empty.load(file);
    };
    assert.ok(bytes.includes('"version":1'));
    await fails(broken('"version":1', '"version":7'), 'invalid-manifest', /^The containers in longshore-containers\.json cannot be read: version 7 is unknown here\.$/);
    const digest = createHash('sha256').update('hello').digest('hex');
    await fails(broken(`"sha256:${digest}"`, `"sha256:${'0'.repeat(64)}"`), 'missing-entry');
    assert.deepEqual(await empty.images(), []);
    assert.deepEqual(await empty.ps({ all: true }), []);
  });

  it('takes nothing of an archive with a layer that is not what its image says', async (t) => {
    for (const [kind, code, sentence] of [
      ['one', 'digest-mismatch', /^invalid diffID for layer \d: expected "sha256:[0-9a-f]{64}", got "sha256:[0-9a-f]{64}"$/],
      ['hybrid', 'digest-mismatch', /^invalid diffID for layer \d: /],
      ['oci', 'digest-mismatch', /^invalid digest for blob: /],
    ]) {
      const folder = await newFolder();
      const store = await opened(t, folder);
      await store.load(files.two);
      const before = await found(folder);
      const file = join(directory, `damaged-${kind}.tar`);
      await copyFile(files[kind], file);
      const handle = await open(file, 'r+');
      const middle = await middleOfLayer(file);
      const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, middle);
      await handle.write(Buffer.from([buffer[0] ^ 1]), 0, 1, middle);
      await handle.close();
      await store.rmi((await store.images()).map(({ id }) => id));
      await store.collect();
      await fails(store.load(file), code, sentence);
      assert.deepEqual(await found(folder), { blobs: [], partial: [] }, kind);
      assert.notDeepEqual(before.blobs, []);
    }
  });

  it('keeps nothing of a load that is stopped, or of a file that ends early', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    const large = await made('large', 'docker-legacy', '--layers', '4', '--size', '30000000', '--name', 'large:1');
    const control = new AbortController();
    const stopped = store.load(large, { signal: control.signal, onProgress: ({ phase, done }) => phase === 'store' && done > 0 && control.abort() });
    await fails(stopped, 'aborted');
    assert.deepEqual(await found(folder), { blobs: [], partial: [] });
    assert.deepEqual(await store.images(), []);
    await fails(store.load(large, { signal: AbortSignal.abort() }), 'aborted');
    const short = join(directory, 'short.tar');
    await copyFile(large, short);
    await truncate(short, 40_000_000);
    await fails(store.load(short), 'truncated');
    assert.deepEqual(await found(folder), { blobs: [], partial: [] });
    let closed;
    const closing = store.load(large, { onProgress: ({ phase, done }) => phase === 'store' && done > 0 && (closed ??= store.close()) });
    await fails(closing, 'closed');
    await closed;
    assert.deepEqual(await found(folder), { blobs: [], partial: [] });
    await fails(store.images(), 'closed');
  });

  it('names blobs that are lost or wrong, marks their images, and mends them by a load', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.two);
    const { RootFS } = await store.inspect('app:1');
    const path = (digest) => join(folder, 'blobs', digest.replace(':', '/'));
    const [digest] = RootFS.Layers.slice(-1);
    const bytes = await readFile(path(digest));
    bytes[1000] ^= 1;
    await writeFile(path(digest), bytes);
    const report = await store.verify();
    assert.deepEqual([report.verdict, report.damaged], ['damaged', [digest]]);
    const marked = (await store.images()).filter(({ damaged }) => damaged);
    assert.deepEqual(marked.map(({ repository }) => repository), ['app']);
    assert.deepEqual(report.images, marked.map(({ id }) => id));
    await assert.rejects(store.save(['app:1']), ({ code }) => code === 'damaged-image');
    await store.load(files.two);
    assert.equal((await store.verify()).verdict, 'intact');
    assert.ok((await store.images()).every(({ damaged }) => !damaged));
    // One that is gone shows when it is asked for.
    await truncate(path(digest), 1);
    await fails(store.save(['app:1']), 'damaged-blob');
    assert.deepEqual((await store.images()).filter(({ damaged }) => damaged).length, 1);
    await store.load(files.one);
    assert.equal((await store.verify()).verdict, 'intact');
  });

  for (const [how, read] of Object.entries({
    'a layer is packed': (store) => store.save(['app:1'], { layers: 'gzip' }),
    'the whole is packed': (store) => store.save(['app:1'], { gzip: true }),
    'all is exported and packed': (store) => store.exportAll({ gzip: true }),
    ...Object.fromEntries(['docker', 'docker-legacy', 'oci'].map((format) => [`it is written as ${format}`, written(format)])),
    'it is streamed': async (store) => new Response((await store.save(['app:1'])).stream()).arrayBuffer(),
    'the config is read': (store) => store.save(['app:1']),
  })) {
    it(`names a wrong blob and marks its images when ${how}`, async (t) => {
      const folder = await newFolder();
      const store = await opened(t, folder);
      await store.load(files.two);
      const { Id, RootFS } = await store.inspect('app:1');
      const digest = how === 'the config is read' ? Id : RootFS.Layers.at(-1);
      const path = join(folder, 'blobs', digest.replace(':', '/'));
      const bytes = await readFile(path);
      bytes[100] ^= 1;
      await writeFile(path, bytes);
      await assert.rejects(read(store), ({ code, detail }) => code === 'damaged-blob' && detail.digest === digest);
      assert.deepEqual((await store.images()).filter(({ damaged }) => damaged).map(({ repository }) => repository), ['app']);
      assert.equal((await readdir(directory)).find((name) => name.startsWith('wrong')), undefined);
      await store.load(files.two);
      assert.equal((await store.verify()).verdict, 'intact');
    });
  }

  it('marks nothing that has its blobs, however it came by them', async (t) => {
    const { store, path } = await withLayer(t);
    const bytes = await readFile(path);
    const marked = async () => (await store.images()).filter(({ damaged }) => damaged).length;
    await truncate(path, 1);
    await store.verify();
    assert.equal(await marked(), 1);
    await store.load(files.one);
    await store.undo();
    assert.deepEqual([await marked(), (await store.verify()).verdict], [0, 'intact']);
    await (await store.save(['app:1'])).release();
    // From a backup, say.
    await truncate(path, 1);
    await store.verify();
    await writeFile(path, bytes);
    assert.equal(await marked(), 1);
    assert.equal((await store.verify()).verdict, 'intact');
    assert.equal(await marked(), 0);
    // Where nothing was marked, what can be undone stays so.
    await store.tag('app:1', 'app:2');
    await store.verify();
    assert.equal(store.undoable, 1);
  });

  it('brings nothing back whose blobs turned out to be wrong', async (t) => {
    const { store, path } = await withLayer(t);
    const bytes = await readFile(path);
    bytes[100] ^= 1;
    await writeFile(path, bytes);
    const archive = await store.open(['app:1']);
    t.after(() => archive.close());
    await store.rmi(['app:1']);
    await fails((await archive.save()).writeTo(join(directory, 'wrong.tar')), 'damaged-blob');
    assert.equal(store.undoable, 0);
    await store.undo();
    assert.deepEqual(await names(store), ['db:1']);
  });

  it('loses nothing that cannot be read just now', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.two);
    const { Id, RootFS } = await store.inspect('app:1');
    const aside = join(folder, 'aside');
    for (const digest of [Id, RootFS.Layers.at(-1)]) {
      const path = join(folder, 'blobs', digest.replace(':', '/'));
      await rename(path, aside);
      // No file can be opened there, and that is no news of the blob.
      await symlink(path, path);
      for (const work of [() => store.verify(), () => store.save(['app:1']), () => store.exportAll(), () => store.load(files.two)]) {
        await fails(work(), 'store-failed', /ELOOP/);
      }
      assert.equal(await readlink(path), path);
      await rename(aside, path);
    }
    assert.equal((await store.verify()).verdict, 'intact');
    assert.equal(store.undoable, 1);
  });

  it('leaves what came again while it verified', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.two);
    const [digest] = (await store.inspect('app:1')).RootFS.Layers;
    const [path, aside] = [join(folder, 'blobs', digest.replace(':', '/')), join(folder, 'aside')];
    await rename(path, aside);
    const report = await store.verify({ onProgress: ({ done, total }) => done === total && existsSync(aside) && renameSync(aside, path) });
    assert.deepEqual([report.verdict, report.damaged, report.images], ['intact', [], []]);
    assert.equal((await store.verify()).verdict, 'intact');
  });

  it('has more blobs than a process may have open files', { skip: process.platform === 'win32' && 'skipped: no such limit' }, async (t) => {
    const file = join(directory, 'many.tar');
    const images = Array.from({ length: 120 }, (_, n) => ({ name: `many:${n}`, layers: [{ step: 'a', tar: tar([{ path: `${n}` }]) }] }));
    await writeImages(file, images);
    const folder = await newFolder();
    const program = `
      import { longshore } from ${JSON.stringify(new URL('../support/longshore.mjs', import.meta.url).href)};
      const [folder, file, output] = process.argv.slice(1);
      const { openStore } = await longshore();
      const store = await openStore(folder);
      await store.load(file);
      const saved = await store.exportAll();
      await saved.writeTo(output);
      await saved.release();
      console.log((await store.verify()).verdict);
      await store.close();`;
    const limited = ['-c', 'ulimit -n 100 && exec "$@"', 'sh', process.execPath, '--input-type=module', '--eval', program];
    const output = join(directory, 'many-again.tar');
    assert.equal((await run('sh', [...limited, folder, file, output])).trim(), 'intact');
    const store = await opened(t, folder);
    assert.equal((await store.images()).filter(({ damaged }) => !damaged).length, images.length);
    assert.equal((await store.load(output)).bytes, 0);
  });

  it('leaves no blob open where another is lost', { skip: skipWithoutProc }, async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.two);
    const { Layers } = (await store.inspect('app:1')).RootFS;
    // Whichever of them is opened last.
    for (const digest of Layers) {
      await rm(join(folder, 'blobs', digest.replace(':', '/')));
      await fails(store.save(['app:1']), 'damaged-blob');
      assert.equal(openFiles(new RegExp(`^${folder}/blobs/`)), 0);
      await store.load(files.two);
    }
  });

  it('keeps no file of a pull that fails', { skip: skipWithoutProc }, async (t) => {
    const layers = [3 << 20, 2 << 20].map((size) => tar([{ path: 'a', content: Buffer.alloc(size, `${size}`) }]));
    const store = await opened(t);
    const before = temporaryFiles();
    const whole = await registryOf(t, layers);
    await store.pull(`${whole}/app:1`);
    assert.deepEqual([await names(store), temporaryFiles()], [[`${whole}/app:1`], before]);
    // The larger comes first, and is right.
    const broken = await registryOf(t, layers, { spoil: (bytes) => (bytes.length === layers[1].length ? Buffer.alloc(bytes.length) : bytes) });
    for (const pull of [(...args) => api.pull(...args), (...args) => store.pull(...args)]) {
      await fails(pull(`${broken}/app:1`, { concurrency: 1, pause: 1 }), 'digest-mismatch');
      assert.equal(temporaryFiles(), before);
    }
  });

  it('pulls no more into memory than a bound', { skip: skipWithoutProc }, async (t) => {
    // As large as what is kept in memory may be, of which there is room for 32.
    const layers = Array.from({ length: 40 }, (_, n) => tar([{ path: 'a', content: Buffer.alloc((1 << 20) - 2048, `${n} `) }]));
    const before = temporaryFiles();
    const archive = await api.pull(`${await registryOf(t, layers)}/app:1`);
    assert.equal(temporaryFiles(), before + 8);
    assert.equal((await archive.verify()).verdict, 'intact');
    await archive.close();
    const indexes = await registryOf(t, layers.slice(0, 1), { images: 20, padding: 4_000_000 });
    await assert.rejects(api.pull(`${indexes}/app:1`, { platform: 'all' }), ({ code, detail }) => code === 'limit-exceeded' && detail.limit === 'manifests');
  });

  it('takes the space of what was removed where it needs it, and not before', { skip: process.getuid?.() !== 0 && 'skipped: only root mounts' }, async (t) => {
    const other = await made('other', 'docker-legacy', '--images', '2', '--layers', '3', '--size', '900100', '--name', 'other:1', '--name', 'other:2');
    const folder = await newFolder();
    const { bytes } = await (await opened(t)).plan(other);
    await run('mount', ['-t', 'tmpfs', '-o', `size=${Math.ceil(bytes * 1.5)}`, 'tmpfs', folder]);
    t.after(() => run('umount', [folder]));
    const store = await opened(t, folder);
    await store.load(files.two);
    await fails(store.load(other), 'quota-exceeded', /bytes are missing/);
    await store.rmi(['app:1', 'db:1']);
    await store.undo();
    assert.deepEqual(await names(store), ['app:1', 'db:1']);
    await store.rmi(['app:1', 'db:1']);
    await store.load(other);
    assert.deepEqual([await names(store), (await store.verify()).verdict], [['other:1', 'other:2'], 'intact']);
    // And what others were writing when they were killed.
    await store.rmi(['other:1', 'other:2']);
    await store.collect();
    await leave(folder, bytes);
    await store.load(other);
    assert.deepEqual(await names(store), ['other:1', 'other:2']);
    await store.close();
  });

  it('removes what a killed process was writing, when it is opened', { timeout: 60_000 }, async (t) => {
    const folder = await newFolder();
    await (await opened(t, folder)).load(files.one);
    await leave(folder, 1);
    const watcher = watch(join(folder, 'partial'));
    t.after(() => watcher.close());
    const changed = once(watcher, 'change');
    const store = await opened(t, folder);
    await changed;
    assert.deepEqual((await found(folder)).partial, []);
    assert.deepEqual(await names(store), ['app:1']);
  });

  it('names what is lost where nothing may be written, too', { skip: process.getuid?.() !== 0 && 'skipped: only root mounts' }, async (t) => {
    const { folder, path, digest } = await withLayer(t);
    await truncate(path, 1);
    await run('mount', ['--bind', folder, folder]);
    t.after(() => run('umount', [folder]));
    await run('mount', ['-o', 'remount,ro,bind', folder]);
    const locked = await api.openStore(folder);
    t.after(() => locked.close());
    const report = await locked.verify();
    assert.deepEqual([report.verdict, report.damaged, report.images], ['damaged', [digest], []]);
    await fails(locked.save(['app:1']), 'damaged-blob');
    await fails(locked.tag('app:1', 'app:2'), 'store-failed');
    await (await locked.save(['db:1'])).release();
  });

  it("unpacks a tar over a container's files, to which its hard links may lead", async (t) => {
    const store = await opened(t, await newFolder());
    await store.load(files.two);
    const first = await store.create('app:1');
    await first.write('/etc/one', 'of the image');
    await first.commit('base:1');
    const container = await store.create('base:1');
    const entries = [
      { path: 'hx', kind: 'hard-link', link: 'one' },
      { path: 'new', content: 'of the tar' },
      { path: 'hy', kind: 'hard-link', link: 'new' },
      { path: 'out', link: '/data' },
      { path: 'out/x', content: 'elsewhere' },
    ];
    await container.mkdir('/data');
    await container.apply(tar(entries), { path: '/etc' });
    const before = await container.diff();
    assert.deepEqual(before.map(({ kind, path }) => `${kind} ${path}`), ['A /data', 'A /data/x', 'C /etc', 'A /etc/hx', 'A /etc/hy', 'A /etc/new', 'A /etc/out']);
    const archive = await container.open();
    t.after(() => archive.close());
    const texts = ['etc/hx', 'etc/hy', 'data/x'].map(async (path) => Buffer.from(await archive.readFile(archive.images[0].id, path)).toString());
    assert.deepEqual(await Promise.all(texts), ['of the image', 'of the tar', 'elsewhere']);
    for (const [entry, code] of [
      [{ path: 'lost', kind: 'hard-link', link: 'nosuch' }, 'no-such-file'],
      [{ path: 'one/x' }, 'not-a-directory'],
      [{ path: '../evil' }, 'invalid-argument'],
    ]) {
      await fails(container.apply(tar([entry]), { path: '/etc' }), code);
    }
    await assert.rejects(container.write('/\ud800', ''), { code: 'invalid-argument', message: 'path must be well-formed Unicode.' });
    assert.deepEqual(await container.diff(), before);
  });

  it('marks containers whose files are lost, until these are written again', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.two);
    const container = await store.create('app:1', { name: 'web' });
    await store.create('app:1', { name: 'other' });
    const damaged = async () => (await store.ps({ all: true })).flatMap(({ name, damaged }) => (damaged ? [name] : []));
    // Not among the small contents that share a blob.
    const content = new Uint8Array(1 << 20).fill(7);
    await container.write('/etc/large', content);
    const digest = `sha256:${createHash('sha256').update(content).digest('hex')}`;
    await truncate(join(folder, 'blobs', digest.replace(':', '/')), 1);
    const { verdict, images, containers } = await store.verify();
    assert.deepEqual([verdict, images, containers], ['damaged', [], [container.id]]);
    assert.deepEqual(await damaged(), ['web']);
    await container.write('/etc/large', content);
    assert.deepEqual([await damaged(), (await store.verify()).verdict], [[], 'intact']);
    // One that is gone shows when it is asked for, or kept on.
    for (const work of [() => container.commit(), () => container.chmod('/etc/large', 0o600)]) {
      await truncate(join(folder, 'blobs', digest.replace(':', '/')), 1);
      await fails(work(), 'damaged-blob');
      assert.deepEqual(await damaged(), ['web']);
      await container.write('/etc/large', content);
    }
    await truncate(join(folder, 'blobs', digest.replace(':', '/')), 1);
    await store.verify();
    await container.remove('/etc/large');
    assert.deepEqual(await damaged(), []);
  });

  it('says so where its catalog is damaged, and leaves it as it is', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.one);
    await store.close();
    const file = join(folder, 'catalog/1.json');
    for (const [content, reason] of [
      ['', /catalog is empty/],
      ['{', /JSON/],
      ['null', /catalog is none/],
      ['[]', /catalog is none/],
      ['{"version":1}', /catalog is none/],
      ['{"version":2,"rows":{}}', /newer version/],
    ]) {
      await writeFile(file, content);
      const damaged = await api.openStore(folder);
      await fails(damaged.images(), 'store-failed', reason);
      await fails(damaged.tag('app:1', 'app:2'), 'store-failed', reason);
      await fails(damaged.collect(), 'store-failed', reason);
      await damaged.close();
      assert.equal(await readFile(file, 'utf8'), content);
    }
  });

  it('removes nothing that others came to need while it slept', async (t) => {
    const folder = await newFolder();
    const [store, other] = [await opened(t, folder), await opened(t, folder)];
    await store.load(files.two);
    await store.rmi(['app:1', 'db:1']);
    // Of the clean-up, what is between saying so and removing the first blob takes an hour.
    const { stat } = fsPromises;
    let slept;
    const mocked = t.mock.method(fsPromises, 'stat', async (path, ...options) => {
      if (`${path}`.includes('/blobs/')) {
        slept ??= (async () => {
          mocked.mock.restore();
          syncBuiltinESMExports();
          const [catalog] = (await readdir(join(folder, 'catalog'))).sort((a, b) => parseInt(b, 10) - parseInt(a, 10));
          await utimes(join(folder, 'catalog', catalog), 0, 0);
          return other.load(files.two);
        })();
        const { lines, bytes } = await slept;
        assert.deepEqual([lines.length, bytes], [2, 0]);
      }
      return stat(path, ...options);
    });
    syncBuiltinESMExports();
    t.after(syncBuiltinESMExports);
    assert.deepEqual(await store.collect(), { blobs: 0, bytes: 0 });
    assert.ok(slept);
    assert.deepEqual([await names(store), (await store.verify()).verdict], [['app:1', 'db:1'], 'intact']);
  });

  it('loses nothing when its process is killed, whatever it did', async () => {
    const folder = await newFolder();
    const inputs = Object.values(files);
    let survivors = 0;
    for (let seed = 1; seed <= KILLS; seed += 1) {
      const child = spawn(process.execPath, [PROCESS, `${seed}`, 'a', 'Infinity', folder, ...inputs], { stdio: ['ignore', 'pipe', 'inherit'] });
      const exit = once(child, 'exit');
      await once(child.stdout, 'data');
      await sleep((seed * 7919) % 700);
      child.kill('SIGKILL');
      assert.deepEqual(await exit, [null, 'SIGKILL'], `seed ${seed}: it ended by itself`);
      const store = await api.openStore(folder);
      const report = await store.verify();
      assert.equal(report.verdict, 'intact', `seed ${seed}: ${report.damaged}`);
      survivors += (await store.images()).length;
      await store.collect();
      assert.deepEqual(await store.collect(), { blobs: 0, bytes: 0 });
      await store.close();
      assert.deepEqual(await found(folder), { blobs: await needed(folder), partial: [] }, `seed ${seed}`);
    }
    assert.ok(survivors > 0);
  });

  it('is used by two processes at once, and neither loses what the other does', async (t) => {
    const folder = await newFolder();
    const store = await opened(t, folder);
    await store.load(files.two);
    // Each gives names of its own, and takes half of them away: every order of these gives the same names.
    const program = `
      import { longshore } from ${JSON.stringify(new URL('../support/longshore.mjs', import.meta.url).href)};
      const [me, folder] = process.argv.slice(1);
      const { openStore } = await longshore();
      const store = await openStore(folder);
      for (let n = 0; n < 40; n += 1) {
        await store.tag('app:1', me + ':' + n);
        if (n % 2) for (const { error } of await store.rmi([me + ':' + n])) if (error) throw new Error(error.message);
      }
      await store.close();`;
    await Promise.all(['a', 'b'].map((me) => run(process.execPath, ['--input-type=module', '--eval', program, me, folder])));
    const expected = ['a', 'b'].flatMap((me) => Array.from({ length: 20 }, (_, n) => `${me}:${2 * n}`));
    assert.deepEqual(await names(store), ['app:1', 'db:1', ...expected].sort());
    // And with blobs that come and go.
    const churns = ['c', 'd'].map((me, n) => run(process.execPath, [PROCESS, `${n + 77}`, me, '60', folder, ...Object.values(files)]));
    for (const told of await Promise.all(churns)) assert.match(told, /"load":/);
    assert.equal((await store.verify()).verdict, 'intact');
    await store.collect();
    assert.deepEqual(await found(folder), { blobs: await needed(folder), partial: [] });
  });
});
