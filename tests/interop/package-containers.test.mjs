// Working containers of the package beside those of a real engine: the same changes, the same diff, an image that runs.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { startDocker } from '../support/engine.mjs';
import { makeArchives } from '../support/images.mjs';
import { longshore } from '../support/longshore.mjs';
import { DOCKER, skipUnless } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { tar } from '../support/tars.mjs';
import { lasting, temporary } from '../support/temp.mjs';

describe('containers of the package', { skip: skipUnless('dockerd', 'busybox') }, () => {
  const context = lasting();
  let api;
  let engine;
  let directory;
  let made;

  before(async () => {
    api = await longshore();
    directory = await temporary(context);
    engine = await startDocker(context);
    made = await makeArchives(engine, directory);
  });

  async function opened(t, ...archives) {
    const store = await api.openStore(join(await temporary(t), 'store'));
    t.after(() => store.close());
    for (const archive of archives) await store.load(made.files[archive]);
    return store;
  }

  /** An engine's container after a script; the caller removes it. */
  async function engineContainer(t, image, script) {
    await engine.empty();
    await engine.docker('load', '--input', made.files.several);
    const name = 'theirs';
    t.after(() => engine.docker('rm', '--force', name));
    await engine.docker('run', '--network', 'none', '--name', name, '--user', '0', '--workdir', '/', image, 'sh', '-c', script);
    return name;
  }

  const linesOf = (diff) => diff.map(({ kind, path }) => `${kind} ${path}`).sort();

  it('change as a real one does, line by line of the diff', async (t) => {
    const theirs = await engineContainer(
      t,
      'base:1',
      'echo two > /etc/release; mkdir -p /srv/www; echo hi > /srv/www/index; ln -s index /srv/www/link; chmod 600 /etc/release; mv /bin/cat /bin/kat; rm /bin/ls',
    );
    const store = await opened(t, 'several');
    const ours = await store.create('base:1', { name: 'ours' });
    await ours.write('/etc/release', 'two\n');
    await ours.write([{ path: '/srv/www/index', content: 'hi\n' }]);
    await ours.symlink('srv/www/link', 'index');
    await ours.chmod('/etc/release', 0o600);
    await ours.move('/bin/cat', '/bin/kat');
    await ours.remove('/bin/ls');
    const expected = (await engine.docker('diff', theirs)).trim().split('\n').sort();
    assert.deepEqual(linesOf(await ours.diff()), expected);
  });

  it('take a tar as `docker cp` does, or refuse it, too', async (t) => {
    await engine.empty();
    await engine.docker('load', '--input', made.files.several);
    const store = await opened(t, 'several');
    const file = join(await temporary(t), 'given.tar');
    const hardLink = (path, link) => ({ path, link, kind: 'hard-link' });
    for (const [entries, code] of [
      [[hardLink('hx', 'release'), { path: 'a/x', content: 'x' }, hardLink('a/y', 'a/../hx')]],
      [[hardLink('hx', 'nosuch')], 'no-such-file'],
      [[hardLink('hx', '../bin/cat')], 'invalid-argument'],
      [[{ path: 'release/x' }], 'not-a-directory'],
      [[{ path: 'nl', link: '/bin' }, { path: 'nl/x', content: 'x' }]],
      [[{ path: 'nl', link: 'nosuch' }, { path: 'nl/x', content: 'x' }], 'file-exists'],
      [[{ path: 'l', link: 'a' }, { path: 'a/' }, { path: 'l/x' }, { path: 'l', link: 'b' }, { path: 'b/x' }, { path: 'l/y' }]],
      [[{ path: '../evil' }], 'invalid-argument'],
      [[{ path: '/../here' }, { path: 'a/../there' }, { path: './', mode: 0o700 }]],
      [[{ path: 'l', link: '', kind: 'symlink' }], 'invalid-argument'],
    ]) {
      await writeFile(file, tar(entries));
      const [theirs, ours] = [(await engine.docker('create', 'base:1')).trim(), await store.create('base:1')];
      const told = JSON.stringify(entries);
      const expected = await run('sh', ['-c', '"$0" cp - "$1:/etc" < "$2"', DOCKER, theirs, file], { env: engine.env }).then(
        async () => (await engine.docker('diff', theirs)).trim().split('\n').sort(),
        () => undefined,
      );
      const done = ours.apply(await readFile(file), { path: '/etc' });
      if (expected) {
        assert.equal(code, undefined, told);
        await done;
        assert.deepEqual(linesOf(await ours.diff()), expected, told);
      } else {
        assert.ok(code, told);
        await assert.rejects(done, { code }, told);
        assert.deepEqual(await ours.diff(), [], told);
      }
      await engine.docker('rm', theirs);
    }
  });

  it('become images that the engine loads and runs', async (t) => {
    const store = await opened(t, 'several');
    const container = await store.create('base:1');
    await container.write([
      { path: '/etc/release', content: 'changed here\n' },
      { path: '/opt/run', content: '#!/bin/sh\ncat /etc/release /srv/inner/link\n', mode: 0o755 },
      { path: '/srv/.keep', content: '' },
    ]);
    const entries = [{ path: 'inner/' }, { path: 'inner/file', content: 'from a tar\n' }, { path: 'inner/link', link: 'file' }];
    await container.apply(tar(entries), { path: '/srv' });
    const { id, lines } = await container.commit('team/changed:2', {
      author: 'Ada',
      message: 'changed',
      changes: ['ENTRYPOINT ["/opt/run"]', 'LABEL org.example.a="b c"', 'ENV DEBUG=1'],
      created: '2024-02-29T12:00:00Z',
    });
    assert.deepEqual(lines, [id]);
    assert.deepEqual((await store.inspect('team/changed:2')).RootFS.Layers.length, (await store.inspect('base:1')).RootFS.Layers.length + 1);
    const output = join(await temporary(t), 'changed.tar');
    const saved = await store.save(['team/changed:2']);
    await saved.writeTo(output);
    await saved.release();
    await engine.empty();
    await engine.docker('load', '--input', output);
    assert.equal(await engine.docker('run', '--rm', '--network', 'none', 'team/changed:2'), 'changed here\nfrom a tar\n');
    const [inspected] = JSON.parse(await engine.docker('image', 'inspect', 'team/changed:2'));
    assert.equal(inspected.Id, id);
    assert.equal(inspected.Author, 'Ada');
    assert.equal(inspected.Config.Labels['org.example.a'], 'b c');
    assert.ok(inspected.Config.Env.includes('DEBUG=1'));
    const history = JSON.parse(`[${(await engine.docker('history', '--no-trunc', '--format', '{{json .}}', 'team/changed:2')).trim().split('\n').join(',')}]`);
    assert.equal(history[0].Comment, 'changed');
    // The same at the same time is the same image, and the diff of a container of it is empty.
    const again = await container.commit(undefined, {
      author: 'Ada',
      message: 'changed',
      changes: ['ENTRYPOINT ["/opt/run"]', 'LABEL org.example.a="b c"', 'ENV DEBUG=1'],
      created: '2024-02-29T12:00:00Z',
    });
    assert.equal(again.id, id);
    assert.deepEqual(await (await store.create('team/changed:2')).diff(), []);
    assert.equal((await store.verify()).verdict, 'intact');
  });

  it("go along in the store's export, of which the engine loads the images", async (t) => {
    const store = await opened(t, 'several');
    await store.tag('base:1', 'team/base:2');
    const container = await store.create('base:1', { name: 'work' });
    await container.write('/etc/release', 'changed here\n');
    const output = join(await temporary(t), 'all.tar');
    const saved = await store.exportAll();
    await saved.writeTo(output);
    await saved.release();
    await engine.empty();
    const lines = (await engine.docker('load', '--input', output)).trim().split('\n');
    const names = (await store.images()).map(({ repository, tag }) => `Loaded image: ${repository}:${tag}`);
    assert.ok(names.includes('Loaded image: team/base:2'));
    assert.deepEqual(lines.sort(), names.sort());
    const [{ Id }] = JSON.parse(await engine.docker('image', 'inspect', 'team/base:2'));
    assert.equal(Id, (await store.inspect('base:1')).Id);

    const other = await api.openStore(join(await temporary(t), 'other'));
    t.after(() => other.close());
    await other.load(output);
    assert.deepEqual(await (await other.container('work')).diff(), await container.diff());
  });

  it('stand against removing their image, as Docker says it', async (t) => {
    const store = await opened(t, 'single');
    const container = await store.create('base:1', { name: 'user' });
    const [refused] = await store.rmi(['base:1']);
    assert.match(refused.error.message, /^conflict: unable to remove repository reference "base:1" \(must force\) - container [0-9a-f]{12} is using its referenced image [0-9a-f]{12}$/);
    await container.write('/a', 'b');
    const [forced] = await store.rmi(['base:1'], { force: true });
    assert.equal(forced.error, undefined);
    assert.deepEqual(linesOf(await container.diff()), ['A /a']);
    await store.collect();
    const archive = await container.open();
    t.after(() => archive.close());
    const image = archive.images[0].id;
    assert.equal(Buffer.from(await archive.readFile(image, '/a')).toString(), 'b');
    assert.equal(Buffer.from(await archive.readFile(image, '/etc/release')).toString(), 'built for Longshore\n');
    await store.rm(['user']);
    assert.deepEqual(await store.ps({ all: true }), []);
    await store.undo();
    assert.deepEqual((await store.ps({ all: true })).map(({ name, changes }) => [name, changes]), [['user', 1]]);
  });

  it('take what is given in many ways, all or nothing', async (t) => {
    const store = await opened(t, 'single');
    const container = await store.create('base:1');
    const many = Array.from({ length: 500 }, (_, index) => ({ path: `/srv/${index % 10}/${index}`, content: new TextEncoder().encode(`${index}`) }));
    await container.write(many);
    assert.equal((await store.ps({ all: true }))[0].changes, 511);
    await container.write('/blob', new Blob(['from a Blob']), { mode: 0o4755, uid: 7, gid: 8, mtime: 1_700_000_000 });
    const archive = await container.open();
    t.after(() => archive.close());
    const found = [];
    for await (const entry of archive.files(archive.images[0].id, { path: '/' })) if (['blob', 'srv/9/499'].includes(entry.path)) found.push(entry);
    assert.deepEqual(found.map(({ path, mode, uid, gid, mtime, size }) => (path === 'blob' ? { path, mode, uid, gid, mtime, size } : { path, mode, size })), [
      { path: 'blob', mode: 0o4755, uid: 7, gid: 8, mtime: 1_700_000_000, size: 11 },
      { path: 'srv/9/499', mode: 0o644, size: 3 },
    ]);
    const before = await container.diff();
    await assert.rejects(container.write([{ path: '/new', content: 'x' }, { path: '/bin', content: 'y' }]), { code: 'is-a-directory' });
    await assert.rejects(container.remove('/nosuch'), { code: 'no-such-file' });
    await assert.rejects(container.chmod('/../..', 0o777), { code: 'invalid-argument' });
    await assert.rejects(container.chmod('/etc/release', 0o10644), { code: 'invalid-argument' });
    await assert.rejects(container.chown('/etc/release', -1, 2 ** 32), { code: 'invalid-argument' });
    await assert.rejects(container.apply('/etc/release'), { code: 'invalid-argument' });
    await assert.rejects(container.commit('Foo'), { code: 'invalid-reference' });
    await assert.rejects(container.commit('foo', { changes: ['RUN true'] }), { code: 'invalid-argument', message: 'RUN is not a valid change command' });
    assert.deepEqual(await container.diff(), before);
    assert.equal((await store.images()).length, 1);
  });

  it('keep small contents together, and none that nothing needs', async (t) => {
    const store = await opened(t, 'single');
    const before = await store.verify();
    const container = await store.create('base:1', { name: 'many' });
    // Blobs of 8 MiB at most hold those of up to 256 kB.
    const size = (index) => (index % 40 === 39 ? 400_000 : (index * 7919) % 150_000);
    const content = (index) => Buffer.alloc(size(index), `${index} `);
    const files = Array.from({ length: 400 }, (_, index) => index);
    await container.write(files.map((index) => ({ path: `/many/${index}`, content: content(index) })));
    const kept = await store.verify();
    assert.equal(kept.blobs - before.blobs, 10 + 4);
    assert.equal(kept.bytes - before.bytes, files.reduce((sum, index) => sum + size(index), 0));
    // The same from a tar, and files of the image that are copied when their mode changes.
    const packed = gzipSync(tar(files.map((index) => ({ path: `${index}`, content: content(index) }))));
    await container.mkdir('/unpacked');
    await container.apply(packed, { path: '/unpacked' });
    await container.chmod('/bin/cat', 0o700);
    const archive = await container.open();
    t.after(() => archive.close());
    for (const index of [0, 1, 38, 39, 200, 399]) {
      for (const folder of ['many', 'unpacked']) {
        assert.ok(content(index).equals(await archive.readFile(archive.images[0].id, `${folder}/${index}`)), `${folder}/${index}`);
      }
    }
    await container.commit('many:1');
    const saved = await store.save(['many:1']);
    t.after(() => saved.release());
    const file = join(await temporary(t), 'many.tar');
    await saved.writeTo(file);
    await engine.empty();
    await engine.docker('load', '--input', file);
    const sums = (await engine.docker('run', '--rm', '--network', 'none', 'many:1', 'sh', '-c', 'cd /many && cat * | sha256sum; cd ../unpacked && cat * | sha256sum')).trim();
    const order = files.map(String).sort();
    const expected = createHash('sha256').update(Buffer.concat(order.map((name) => content(Number(name))))).digest('hex');
    assert.deepEqual(sums.split('\n'), [`${expected}  -`, `${expected}  -`]);

    await store.rmi(['many:1']);
    await store.rm(['many']);
    await store.collect();
    assert.equal((await store.verify()).bytes, before.bytes);
  });
});
