// What save makes in Node: every option, every refusal, and nothing left behind.
import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { fixtures, middleOfLayer } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const FORMATS = ['docker', 'docker-legacy', 'oci'];
const OPENED_AS = { docker: 'docker-oci', 'docker-legacy': 'docker', oci: 'oci' };
const KINDS = ['docker-legacy', 'docker-hybrid', 'containerd-gzip', 'crane', 'oci', 'oci-gzip', 'docker-v1'];

let api;
let directory;
const context = lasting();
const known = new Map();
before(async () => {
  api = await longshore();
  directory = await temporary(context);
});

/** An archive with two images of three layers, or what the options say. */
async function made(kind, ...options) {
  const args = options.length > 0 ? options : ['--images', '2', '--layers', '3', '--size', '700000', '--name', 'app:1', '--name', 'db:1'];
  const key = [kind, ...args].join(' ');
  if (!known.has(key)) {
    const file = join(directory, `${known.size}.tar`);
    await fixtures([kind, ...args, file]);
    known.set(key, file);
  }
  return known.get(key);
}

async function opened(t, input, options) {
  const archive = await api.openArchive(input, options);
  t.after(() => archive.close());
  return archive;
}

async function bytesOf(saved) {
  const chunks = [];
  for await (const chunk of saved.stream()) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** What a save gives, opened. */
async function reopened(t, saved) {
  return opened(t, await bytesOf(saved));
}

async function fails(work, code) {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof api.LongshoreError, `${error.stack}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, /\S/);
    return true;
  });
}

/** How many temporary files are open. */
async function open() {
  const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
  return (await Promise.all(links)).filter((path) => /longshore-[0-9a-f-]{36}/.test(path)).length;
}

const diffIds = (images) => images.map(({ layers }) => layers.map(({ diffId }) => diffId));
const packings = ({ images }) => new Set(images.flatMap(({ layers }) => layers.map(({ mediaType }) => /\+(\w+)$/.exec(mediaType)?.[1] ?? 'none')));

describe('save', () => {
  for (const kind of KINDS) {
    it(`makes every format of ${kind}, the same bytes each time`, async (t) => {
      const archive = await opened(t, await made(kind));
      for (const format of FORMATS) {
        const saved = await archive.save({ format });
        const bytes = await bytesOf(saved);
        assert.equal(bytes.length, saved.size);
        assert.ok(bytes.equals(await bytesOf(await archive.save({ format }))), format);
        const again = await opened(t, bytes);
        assert.equal(again.format, OPENED_AS[format]);
        assert.deepEqual(again.images.map(({ references }) => references), [['app:1'], ['db:1']]);
        assert.equal((await again.verify()).verdict, 'intact');
        if (kind !== 'docker-v1') assert.deepEqual(diffIds(again.images), diffIds(archive.images));
      }
    });
  }

  it('packs layers as it is told, the same bytes each time', async (t) => {
    for (const kind of ['docker-legacy', 'oci-gzip']) {
      const archive = await opened(t, await made(kind));
      for (const layers of ['none', 'gzip', 'zstd']) {
        const bytes = await bytesOf(await archive.save({ format: 'oci', layers }));
        assert.ok(bytes.equals(await bytesOf(await archive.save({ format: 'oci', layers }))), layers);
        const again = await opened(t, bytes);
        assert.deepEqual([...packings(again)], [layers]);
        assert.deepEqual(diffIds(again.images), diffIds(archive.images));
        assert.equal((await again.verify()).verdict, 'intact');
      }
    }
  });

  it('gives the archive as it is, byte for byte', async (t) => {
    const file = await made('docker-hybrid');
    const archive = await opened(t, file);
    for (const options of [undefined, {}, { format: 'same' }, { add: [], gzip: false }]) {
      const saved = await archive.save(options);
      assert.equal(saved.name, archive.name);
      assert.ok((await bytesOf(saved)).equals(await readFile(file)));
    }
    assert.equal(await open(), 0);
  });

  it('packs the whole file, of a plain archive and of an edited one', async (t) => {
    const file = await made('docker-hybrid');
    for (const input of [file, new Uint8Array(await readFile(file))]) {
      const archive = await opened(t, input);
      const reports = [];
      const saved = await archive.save({ gzip: true, onProgress: (report) => reports.push(report) });
      assert.equal(saved.name, `${archive.name}.gz`);
      const bytes = await bytesOf(saved);
      assert.equal(bytes.length, saved.size);
      assert.ok(gunzipSync(bytes).equals(await readFile(file)));
      assert.ok(bytes.equals(await bytesOf(await archive.save({ gzip: true }))));
      assert.deepEqual(reports.at(-1), { phase: 'pack', done: archive.size, total: archive.size });

      await archive.tag('app:1', 'app:2');
      const edited = await archive.save({ gzip: true, format: 'oci', layers: 'zstd' });
      const again = await reopened(t, edited);
      assert.deepEqual([again.packing, again.format, [...packings(again)]], [['gzip'], 'oci', ['zstd']]);
      assert.deepEqual(again.images[0].references, ['app:1', 'app:2']);
      assert.equal((await again.verify()).verdict, 'intact');
      await archive.close();
    }
  });

  it('takes some of the images', async (t) => {
    const archive = await opened(t, await made('docker-hybrid'));
    const [, second] = archive.images;
    for (const image of ['db:1', second.id, second.id.slice(7, 19)]) {
      const again = await reopened(t, await archive.save({ images: [image] }));
      assert.deepEqual(again.images.map(({ id, references }) => [id, references]), [[second.id, ['db:1']]]);
      assert.equal(again.format, 'docker-oci', 'the nearest to its own');
    }
    const both = await reopened(t, await archive.save({ images: ['db:1', 'app:1', 'db:1'] }));
    assert.equal(both.images.length, 2);
    await fails(archive.save({ images: ['nothing'] }), 'no-such-image');
  });

  it('takes some of the platforms', async (t) => {
    const archive = await opened(t, await made('oci-platforms', '--images', '3', '--name', 'app:1'));
    const name = ({ os, architecture, variant }) => [os, architecture, variant].filter(Boolean).join('/');
    for (const { id, platform } of archive.images) {
      const again = await reopened(t, await archive.save({ platforms: [name(platform)] }));
      assert.deepEqual(again.images.map((image) => [image.id, image.references]), [[id, ['app:1']]]);
      assert.equal((await again.verify()).verdict, 'intact');
    }
    const two = archive.images.slice(0, 2).map(({ platform }) => name(platform));
    assert.equal((await reopened(t, await archive.save({ platforms: two }))).images.length, 2);
    await fails(archive.save({ platforms: ['plan9/mips'] }), 'no-such-platform');
    await fails(archive.save({ platforms: [two[0], 'plan9/mips'] }), 'no-such-platform');
  });

  it('puts archives together, and layers that they share in once', async (t) => {
    const one = await opened(t, await made('docker-hybrid', '--images', '1', '--layers', '2', '--size', '90000', '--name', 'one:1'));
    const two = await opened(t, await made('oci-gzip', '--images', '2', '--layers', '2', '--size', '80000', '--name', 'two:1', '--name', 'two:2'));
    const three = await opened(t, new Uint8Array(await readFile(await made('crane', '--images', '1', '--layers', '2', '--size', '70000', '--name', 'three:1'))));
    for (const options of [{ format: 'oci' }, { format: 'docker-legacy', gzip: true }, { layers: 'zstd', format: 'docker' }]) {
      const again = await reopened(t, await one.save({ ...options, add: [two, three] }));
      assert.deepEqual(again.images.flatMap(({ references }) => references).sort(), ['one:1', 'three:1', 'two:1', 'two:2']);
      assert.equal((await again.verify()).verdict, 'intact');
    }
    const twice = await one.save({ format: 'docker', add: [one] });
    assert.ok((await bytesOf(twice)).equals(await bytesOf(await one.save({ format: 'docker' }))));
    const other = await opened(t, await made('docker-legacy', '--images', '1', '--layers', '1', '--size', '60000', '--name', 'one:1'));
    await fails(one.save({ add: [other] }), 'duplicate-reference');
  });

  it('refuses what is no option', async (t) => {
    const archive = await opened(t, await made('docker-hybrid'));
    const wrong = [
      null, 'oci', { format: 'tar' }, { format: 1 }, { format: null }, { layers: 'xz' }, { layers: true }, { gzip: 'yes' }, { gzip: 1 },
      { images: [] }, { images: 'app:1' }, { images: [1] }, { images: null }, { platforms: [] }, { platforms: 'linux/amd64' }, { platforms: [null] },
      { add: {} }, { add: null }, { add: [{}] }, { add: ['other.tar'] }, { add: archive },
      { limits: { bytes: -1 } }, { limits: { ratio: 'many' } },
    ];
    for (const options of wrong) await fails(archive.save(options), 'invalid-argument');
  });

  it('says that a layer is damaged, or unpacks to too much', async (t) => {
    const file = join(await temporary(t), 'damaged.tar');
    const bytes = await readFile(await made('oci-gzip'));
    await writeFile(file, bytes);
    bytes.fill(0x55, await middleOfLayer(file), (await middleOfLayer(file)) + 1000);
    await writeFile(file, bytes);
    const archive = await opened(t, file);
    await fails(archive.save({ layers: 'none' }), 'invalid-compression');
    const whole = await opened(t, await made('oci-gzip'));
    await fails(whole.save({ layers: 'none', limits: { bytes: 100_000 } }), 'limit-exceeded');
    assert.equal(await open(), 0);
  });

  it('does not take the digest of what it cannot unpack for a diff ID', async (t) => {
    const folder = await temporary(t);
    const unpacked = join(folder, 'unpacked');
    await mkdir(unpacked);
    await run('tar', ['-xf', await made('docker-v1'), '-C', unpacked]);
    for (const path of await readdir(unpacked, { recursive: true })) {
      // The beginning of gzip, and then nothing that makes sense.
      if (path.endsWith('layer.tar')) await writeFile(join(unpacked, path), Buffer.concat([Buffer.from('1f8b0800000000000003', 'hex'), Buffer.alloc(600, 0xff)]));
    }
    const archive = await opened(t, unpacked);
    await fails(archive.save({ format: 'docker-legacy' }), 'invalid-compression');
  });

  it('notices a file that was changed', async (t) => {
    const file = join(await temporary(t), 'changing.tar');
    await writeFile(file, await readFile(await made('docker-hybrid')));
    const archive = await opened(t, file);
    const saved = await archive.save({ format: 'oci', layers: 'gzip' });
    await writeFile(file, 'something else');
    await fails(archive.save({ gzip: true }), 'source-changed');
    await fails(archive.save({ format: 'oci' }), 'source-changed');
    await fails(saved.writeTo(`${file}.out`), 'source-changed');
  });
});

describe('what save leaves behind', () => {
  const BIG = ['oci-gzip', '--images', '2', '--layers', '3', '--size', '6000000', '--name', 'app:1', '--name', 'db:1'];
  const WAYS = [{ layers: 'zstd' }, { gzip: true }, { layers: 'gzip', format: 'docker', gzip: true }];

  it('is nothing once it is released, or the archive closed', async (t) => {
    const archive = await opened(t, await made('oci-gzip'));
    const first = await archive.save({ layers: 'zstd' });
    const files = await open();
    assert.ok(files > 0);
    const second = await archive.save({ layers: 'zstd', gzip: true });
    assert.equal(await open(), files + 1, 'of a whole that is packed, the layers are kept no longer');
    await first.release();
    assert.equal(await open(), 1);
    await fails(first.writeTo(join(directory, 'released')), 'closed');
    await fails(bytesOf(first), 'closed');
    await first.release();
    assert.equal((await bytesOf(second)).length, second.size);
    await archive.save({ layers: 'none' });
    await archive.close();
    assert.equal(await open(), 0);
    await fails(bytesOf(second), 'closed');
    await fails(second.writeTo(join(directory, 'closed')), 'closed');
    await fails(archive.save({ gzip: true }), 'closed');
  });

  for (const options of WAYS) {
    it(`is nothing when ${JSON.stringify(options)} is stopped, at once`, async (t) => {
      const archive = await opened(t, await made(...BIG));
      for (const isLate of [false, true]) {
        const controller = new AbortController();
        const later = [];
        const onProgress = ({ done, total }) => {
          if (controller.signal.aborted) later.push(done / total);
          else if (isLate && done > 0) controller.abort();
        };
        if (!isLate) setTimeout(() => controller.abort(), 3);
        await fails(archive.save({ ...options, signal: controller.signal, onProgress }), 'aborted');
        assert.ok(!later.includes(1), `went on to ${later}`);
        assert.equal(await open(), 0);
      }
      await fails(archive.save({ ...options, signal: AbortSignal.abort() }), 'aborted');
      const saved = await archive.save(options);
      assert.equal((await bytesOf(saved)).length, saved.size, 'and it can begin again');
    });

    it(`is nothing when the archive is closed during ${JSON.stringify(options)}`, async (t) => {
      const archive = await opened(t, await made(...BIG));
      let closing;
      const work = archive.save({ ...options, onProgress: ({ done }) => done > 0 && (closing ??= archive.close()) });
      await fails(work, 'closed');
      await closing;
      assert.equal(await open(), 0);
    });
  }

  it('is no harm where an added archive is closed meanwhile', async (t) => {
    const archive = await opened(t, await made('docker-hybrid'));
    const other = await opened(t, await made('crane', '--images', '1', '--layers', '2', '--size', '5000000', '--name', 'other:1'));
    let closing;
    const saved = await archive.save({ layers: 'zstd', add: [other], onProgress: ({ done }) => done > 0 && (closing ??= other.close()) });
    await closing;
    // Its bytes were there while they were packed; what was to be read from it is not any more.
    await fails(bytesOf(saved), 'closed');
    await fails(archive.save({ add: [other] }), 'closed');
    await archive.close();
    assert.equal(await open(), 0);
  });

  it('has what an added archive was rewritten to', async (t) => {
    const archive = await opened(t, await made('docker-hybrid'));
    const name = ['--images', '1', '--layers', '3', '--size', '300000', '--name', 'other:1'];
    for (const [kind, options] of [['oci-gzip', {}], ['containerd-gzip', { format: 'docker' }], ['oci-gzip', { format: 'oci', layers: 'zstd' }]]) {
      const other = await opened(t, await made(kind, ...name));
      await other.squash('other:1');
      const again = await reopened(t, await archive.save({ ...options, add: [other] }));
      assert.equal((await again.verify()).verdict, 'intact');
      assert.equal(again.images.find(({ references }) => references.includes('other:1')).layers.length, 1);
      // Closed meanwhile, it is no harm either.
      let closing;
      const saved = await archive.save({ layers: 'gzip', format: 'oci', add: [other], onProgress: ({ done }) => done > 0 && (closing ??= other.close()) });
      await closing;
      await fails(bytesOf(saved), 'closed');
    }
    await archive.close();
    assert.equal(await open(), 0);
  });

  it('is a stream that can be left', async (t) => {
    const archive = await opened(t, await made('docker-hybrid'));
    const saved = await archive.save({ gzip: true });
    const reader = saved.stream().getReader();
    assert.ok((await reader.read()).value.length > 0);
    await reader.cancel();
    const abandoned = saved.stream().getReader();
    await abandoned.read();
    await archive.close();
    assert.equal(await open(), 0);
  });
});

describe('a folder', () => {
  it('opens as the archive that it is, and is saved as a tar', async (t) => {
    for (const kind of ['oci-gzip', 'docker-legacy', 'docker-hybrid']) {
      const folder = join(await temporary(t), 'layout');
      await mkdir(folder);
      await run('tar', ['-xf', await made(kind), '-C', folder]);
      // What is outside stays outside.
      await symlink('/etc/hostname', join(folder, 'link'));
      const archive = await opened(t, folder);
      assert.equal(archive.name, 'layout.tar');
      assert.equal((await archive.verify()).verdict, 'intact');
      await archive.tag('app:1', 'app:2');
      const bytes = await bytesOf(await archive.save());
      assert.ok(!bytes.includes(await readFile('/etc/hostname', 'latin1').then((text) => `\0${text.trim()}\n`)));
      const again = await opened(t, bytes);
      assert.deepEqual(again.images.map(({ references }) => references), [['app:1', 'app:2'], ['db:1']]);
      assert.equal((await again.verify()).verdict, 'intact');
      assert.equal((await reopened(t, await archive.save({ format: 'docker', layers: 'gzip' }))).images.length, 2);
    }
  });

  it('is refused where it is none', async (t) => {
    const folder = await temporary(t);
    await fails(api.openArchive(folder), 'not-an-image-archive');
    await fails(api.openArchive(join(folder, 'a\0b')), 'read-failed');
    await fails(api.openArchive(join(folder, 'x'.repeat(300))), 'read-failed');
  });
});

describe('repair and compatibility', () => {
  it('repairs what is listed, as one edit', async (t) => {
    const archive = await opened(t, await made('oci-gzip'));
    const proposals = await archive.repairs();
    assert.ok(proposals.some(({ repair }) => repair === 'manifest'));
    await archive.repair(['manifest']);
    assert.deepEqual([archive.format, archive.undoable, archive.redoable], ['docker-oci', 1, 0]);
    assert.ok(!(await archive.repairs()).some(({ repair }) => repair === 'manifest'));
    const again = await reopened(t, await archive.save());
    assert.deepEqual(again.images.map(({ references }) => references), [['app:1'], ['db:1']]);
    assert.equal((await again.verify()).verdict, 'intact');
    const loads = (all) => all.find(({ reader }) => reader === 'docker-25').verdict;
    assert.equal(loads(await archive.compatibility()), 'loads');
    await archive.undo();
    assert.equal(archive.format, 'oci');
    assert.equal(loads(await archive.compatibility()), 'refuses');
    await archive.redo();
    assert.equal(loads(await archive.compatibility()), 'loads');
  });

  it('takes an image out, as one edit', async (t) => {
    const archive = await opened(t, await made('oci-gzip'));
    const size = archive.size;
    await archive.remove('db:1');
    assert.deepEqual([archive.images.length, archive.undoable], [1, 1]);
    assert.ok(archive.size < size);
    const again = await reopened(t, await archive.save());
    assert.deepEqual(again.images.map(({ references }) => references), [['app:1']]);
    assert.equal((await again.verify()).verdict, 'intact');
    await fails(archive.remove('app:1'), 'invalid-argument');
    await fails(archive.remove('db:1'), 'no-such-image');
    await archive.undo();
    assert.deepEqual([archive.images.length, archive.size], [2, size]);
  });

  it('changes the config of an image, as one edit', async (t) => {
    for (const kind of ['docker-legacy', 'docker-hybrid', 'containerd', 'oci-gzip']) {
      const archive = await opened(t, await made(kind));
      const [before, other] = archive.images;
      const { size } = archive;
      const [id, ...more] = await archive.edit('app:1', {
        env: { EDITED: 'yes' },
        labels: { 'org.example.edited': 'yes' },
        exposedPorts: { 8080: true },
        entrypoint: ['/bin/edited'],
        user: 'app',
        workingDir: '/srv',
        created: '2024-02-29T12:00:00Z',
        message: 'edited',
      });
      assert.deepEqual(more, []);
      assert.equal(archive.undoable, 1);
      const again = await reopened(t, await archive.save());
      assert.equal((await again.verify()).verdict, 'intact');
      assert.deepEqual(again.images.map(({ references }) => references), [['app:1'], ['db:1']]);
      const [after] = again.images;
      assert.equal(after.id, id);
      assert.notEqual(id, before.id);
      assert.equal(again.images[1].id, other.id);
      assert.deepEqual(after.layers, before.layers);
      assert.deepEqual(after.config.entrypoint, ['/bin/edited']);
      assert.equal(after.config.cmd, undefined);
      assert.equal(after.config.labels['org.example.edited'], 'yes');
      assert.ok(after.config.exposedPorts.includes('8080/tcp'));
      assert.deepEqual([after.config.user, after.config.workingDir, after.created], ['app', '/srv', '2024-02-29T12:00:00Z']);
      const { createdBy, comment, emptyLayer } = after.history.at(-1);
      assert.deepEqual([comment, emptyLayer], ['edited', true]);
      assert.match(createdBy, /^ENV EDITED=yes; LABEL org\.example\.edited=yes; EXPOSE 8080\/tcp; ENTRYPOINT /);
      await fails(archive.edit('app:1', { user: 'app' }), 'invalid-argument');
      await fails(archive.edit('none:1', { user: 'app' }), 'no-such-image');
      await archive.undo();
      assert.deepEqual([archive.images[0].id, archive.size], [before.id, size]);
    }
  });

  it('refuses changes that make no sense', async (t) => {
    const archive = await opened(t, await made('docker-legacy'));
    for (const changes of [null, 'x', {}, { user: 1 }, { unknown: 1 }, { stopSignal: 'SIGX' }, { exposedPorts: { 0: true } }]) {
      await fails(archive.edit('app:1', changes), 'invalid-argument');
    }
    assert.equal(archive.undoable, 0);
  });

  it('loses no edit that is made meanwhile', async (t) => {
    const archive = await opened(t, await made('oci-gzip'));
    await Promise.all([archive.repair(['manifest']), archive.tag('app:1', 'app:2'), archive.tag('app:1', 'app:3')]);
    assert.deepEqual(archive.images[0].references, ['app:1', 'app:2', 'app:3']);
    assert.equal(archive.format, 'docker-oci');
    assert.equal(archive.undoable, 3);
  });

  it('refuses what is no repair, or not listed', async (t) => {
    const archive = await opened(t, await made('docker-legacy'));
    for (const repairs of [null, 'index', ['all'], [1], ['manifest']]) await fails(archive.repair(repairs), 'invalid-argument');
    assert.equal(archive.undoable, 0);
    await archive.close();
    for (const call of [() => archive.repairs(), () => archive.repair(['manifest']), () => archive.compatibility()]) await fails(call(), 'closed');
  });
});
