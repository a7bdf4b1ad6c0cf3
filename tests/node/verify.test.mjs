// Verifying in Node: what is whole is said to be, and what is not is found, in threads that can be stopped.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { pathToFileURL } from 'node:url';
import { fixtures, middleOfLayer } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { skipUnless } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { temporary } from '../support/temp.mjs';

const KINDS = ['docker-legacy', 'docker-hybrid', 'containerd', 'containerd-gzip', 'skopeo', 'crane', 'oci', 'oci-gzip', 'oci-platforms'];

let api;
before(async () => {
  api = await longshore();
});

async function made(t, kind, ...options) {
  const file = join(await temporary(t), `${kind}.tar`);
  // skopeo writes one image to an archive.
  await fixtures([kind, '--images', kind === 'skopeo' ? '1' : '2', '--layers', '3', '--size', '700000', '--name', 'app:1', '--name', 'db:1', ...options, file]);
  return file;
}

async function opened(t, input, options) {
  const archive = await api.openArchive(input, options);
  t.after(() => archive.close());
  return archive;
}

async function fails(work, code) {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof api.LongshoreError, `${error.stack}`);
    assert.equal(error.code, code);
    return true;
  });
}

/** Flips one bit. */
async function changeByte(file, offset) {
  const handle = await open(file, 'r+');
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, offset);
  await handle.write(Buffer.from([buffer[0] ^ 1]), 0, 1, offset);
  await handle.close();
}

const sha256 = (bytes) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

describe('compatibility', () => {
  it('knows what layers hold once they were verified, until the next edit', async (t) => {
    const folder = await temporary(t);
    await fixtures(['variants', folder]);
    const readers = { 'diff-id-other': 'crane', 'oci-layer-corrupt': 'containerd', 'layer-below-file': 'docker-24', 'layer-twice-gzip': 'podman' };
    for (const [name, reader] of Object.entries(readers)) {
      const archive = await opened(t, join(folder, `${name}.tar`));
      const loads = async () => (await archive.compatibility()).find((one) => one.reader === reader).verdict === 'loads';
      assert.equal(await loads(), true, name);
      await archive.verify();
      assert.equal(await loads(), false, name);
      await archive.tag(archive.images[0].id, 'another:1');
      assert.equal(await loads(), true, name);
      // Of what is edited while it is verified, nothing is known either.
      let edited;
      await archive.verify({ onProgress: () => (edited ??= archive.undo()) });
      await edited;
      assert.equal(await loads(), true, name);
      await archive.verify();
      assert.equal(await loads(), false, name);
    }
  });
});

describe('verify', () => {
  for (const kind of KINDS) {
    it(`finds ${kind} intact, and a changed byte in it`, async (t) => {
      const file = await made(t, kind);
      const archive = await opened(t, file);
      const report = await archive.verify();
      assert.equal(report.verdict, 'intact', JSON.stringify(report.findings));
      assert.deepEqual(report.images.map(({ id, references }) => [id, references]), archive.images.map(({ id, references }) => [id, references]));
      assert.ok(report.images.every(({ verdict }) => verdict === 'intact'));
      for (const { path, digest, size, compression, role, contentDigest } of report.blobs) {
        const bytes = await run('tar', ['-xOf', file, path], { encoding: 'buffer' });
        assert.deepEqual([digest, size], [sha256(bytes), bytes.length], path);
        if (role !== 'layer') continue;
        assert.equal(compression, kind.endsWith('-gzip') || kind === 'crane' ? 'gzip' : undefined);
        const diffIds = archive.images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId));
        assert.ok(diffIds.includes(contentDigest), path);
      }
      assert.equal(report.bytes, report.blobs.reduce((sum, { size }) => sum + size, 0));

      await changeByte(file, await middleOfLayer(file));
      const damaged = await (await opened(t, file)).verify();
      assert.equal(damaged.verdict, 'damaged');
      assert.ok(damaged.images.some(({ verdict }) => verdict === 'damaged'));
      assert.equal(damaged.blobs.filter(({ verdict }) => verdict === 'damaged').length, 1);
      const codes = damaged.findings.filter(({ severity }) => severity === 'error').map(({ code }) => code);
      assert.ok(codes.length > 0 && codes.every((code) => ['digest-mismatch', 'diff-id-mismatch', 'damaged-layer'].includes(code)), `${codes}`);
    });
  }

  it("says that Docker 1.9's archives prove nothing", async (t) => {
    const { verdict } = await (await opened(t, await made(t, 'docker-v1'))).verify();
    assert.equal(verdict, 'unproven');
  });

  it('verifies what is only in memory, and an edited archive as it is now', async (t) => {
    const file = await made(t, 'docker-hybrid');
    const bytes = await readFile(file);
    const expected = await (await opened(t, file)).verify();
    for (const input of [new Uint8Array(bytes), new Blob([bytes])]) {
      const archive = await opened(t, input);
      assert.deepEqual(await archive.verify(), expected);
      await archive.tag('app:1', 'registry.local/app:2');
      const edited = await archive.verify();
      assert.equal(edited.verdict, 'intact', JSON.stringify(edited.findings));
      assert.deepEqual(edited.images[0].references, ['app:1', 'registry.local/app:2']);
    }
  });

  it('is of the archive as it was when it began', async (t) => {
    const archive = await opened(t, await made(t, 'docker-hybrid'));
    const [report] = await Promise.all([archive.verify(), archive.tag('app:1', 'app:2'), archive.verify()]);
    assert.deepEqual([report.verdict, report.images[0].references], ['intact', ['app:1']]);
    assert.deepEqual(archive.images[0].references, ['app:1', 'app:2']);
  });

  it('tells its progress', async (t) => {
    const archive = await opened(t, await made(t, 'oci-gzip', '--size', '4000000'));
    const reports = [];
    const { bytes } = await archive.verify({ onProgress: (report) => reports.push(report) });
    assert.ok(reports.length > 3);
    assert.ok(reports.every(({ phase, total }) => phase === 'verify' && total === bytes));
    assert.deepEqual(reports.map(({ done }) => done), reports.map(({ done }) => done).toSorted((a, b) => a - b));
    assert.deepEqual([reports[0].done, reports.at(-1).done], [0, bytes]);
  });

  it('stops at once when told, and can begin again', async (t) => {
    const archive = await opened(t, await made(t, 'oci-gzip', '--size', '4000000'));
    const controller = new AbortController();
    await fails(archive.verify({ signal: controller.signal, onProgress: ({ done }) => done > 0 && controller.abort() }), 'aborted');
    await fails(archive.verify({ signal: AbortSignal.abort() }), 'aborted');
    const early = new AbortController();
    const stopped = archive.verify({ signal: early.signal });
    setTimeout(() => early.abort(), 5);
    await fails(stopped, 'aborted');
    assert.equal((await archive.verify()).verdict, 'intact');
  });

  it('unpacks no more than it may', async (t) => {
    const archive = await opened(t, await made(t, 'oci-gzip'));
    const { verdict, findings } = await archive.verify({ limits: { bytes: 100_000 } });
    assert.equal(verdict, 'unproven');
    assert.ok(findings.some(({ code, detail }) => code === 'limit-exceeded' && detail.reason === 'limit-exceeded'));
    await fails(archive.verify({ limits: { ratio: -1 } }), 'invalid-argument');
  });

  it('notices that the file was changed or cut meanwhile', async (t) => {
    const file = await made(t, 'docker-legacy');
    const archive = await opened(t, file);
    await changeByte(file, await middleOfLayer(file));
    await fails(archive.verify(), 'source-changed');
    const cut = await opened(t, file);
    await writeFile(file, (await readFile(file)).subarray(0, 500_000));
    await fails(cut.verify(), 'source-changed');
  });

  it('survives that the archive is closed meanwhile', async (t) => {
    const archive = await api.openArchive(await made(t, 'docker-legacy', '--size', '9000000'));
    let closing;
    await fails(archive.verify({ onProgress: ({ done }) => done > 0 && (closing ??= archive.close()) }), 'closed');
    await closing;
    await fails(archive.verify(), 'closed');
  });

  it('does not keep the program alive', async (t) => {
    const file = await made(t, 'docker-legacy');
    const program = `
      import { openArchive } from ${JSON.stringify(new URL('../../dist/lib/node.js', import.meta.url).href)};
      const archive = await openArchive(${JSON.stringify(file)});
      console.log((await archive.verify()).verdict);
      // Idle threads are still there; nobody waits for them to end.
      setTimeout(() => console.log('still here'), 2000).unref();
    `;
    assert.equal(await run(process.execPath, ['--input-type=module', '--eval', program]), 'intact\n');
  });
});

describe('the codec', () => {
  const library = (name) => join(import.meta.dirname, '../../dist/lib', name);
  let codec;
  before(async () => {
    codec = await import(pathToFileURL(library('codec.js')).href);
    codec.initSync({ module: await readFile(library('codec_bg.wasm')) });
  });

  it('packs as it did when PACKER last went up, which has to go up if this fails', async () => {
    const { PACKER } = await import(pathToFileURL(library('making.js')).href);
    // Words in no order: what a packer finds in them depends on how it searches.
    const words = createHash('shake256', { outputLength: 1 << 19 }).update('words').digest();
    const content = Buffer.from(Array.from(words, (byte) => `/usr/lib/word-${byte % 61}`).join('\n'));
    const digest = (packing) => {
      const pack = new codec.Pack(packing);
      return sha256(Buffer.concat([pack.push(content), pack.finish()]));
    };
    assert.deepEqual(
      [PACKER, digest('gzip'), digest('zstd')],
      [
        2,
        'sha256:05b4baf8c41e74c26d2f550e0122aa52208b635a8017201a602d4e30c9953563',
        'sha256:c740dc3bc275df576c435a84e8b74935817bb8e7aa1ef4685cb2cabcd38e345d',
      ],
    );
  });

  it('keeps within 64 MB, whatever goes through it', { skip: skipUnless('bzip2', 'xz', 'zstd', 'lz4') }, async (t) => {
    const directory = await temporary(t);
    const plain = join(directory, 'plain');
    // Half of it repeats, so that windows are used.
    const random = Buffer.concat(Array.from({ length: 24 }, (_, n) => createHash('shake256', { outputLength: 1 << 20 }).update(`${n >> 1}`).digest()));
    await writeFile(plain, random);
    for (const [program, ...options] of [['gzip'], ['bzip2'], ['xz', '-T1', '-6'], ['zstd', '-q', '-12'], ['lz4', '-q']]) {
      const packed = await run(program, [...options, '-c', plain], { encoding: 'buffer' });
      const measure = new codec.Measure([new Uint8Array(packed)], undefined, 'sha256', 'sha256', {});
      while (!measure.step(4 << 20));
      const { digest, content } = measure.finish();
      assert.deepEqual([digest, content], [sha256(packed), { digest: sha256(random), size: random.length, trailing: 0 }], program);
    }
    assert.ok(codec.memoryUsed() < 64e6, `${codec.memoryUsed()} bytes`);
  });
});
