// Compressed archives in Node: what real tools packed opens as what it was, and nothing stays behind.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fixtures } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { skipUnless } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';

/** What packs, the name that it is known by, the extension, and the one that stands for `.tar` too. */
const TOOLS = [
  { program: 'gzip', options: [], packing: 'gzip', names: ['app.tar.gz', 'app.tgz', 'app.tar.GZ'] },
  { program: 'bzip2', options: [], packing: 'bzip2', names: ['app.tar.bz2', 'app.tbz2'] },
  { program: 'xz', options: ['-1'], packing: 'xz', names: ['app.tar.xz', 'app.txz'] },
  { program: 'xz', options: ['-1', '--block-size=200000', '-T2'], packing: 'xz', names: ['app.tar.xz'] },
  { program: 'zstd', options: ['-q'], packing: 'zstd', names: ['app.tar.zst', 'app.tzst'] },
  { program: 'zstd', options: ['-q', '-19', '--long=27'], packing: 'zstd', names: ['app.tar.zst'] },
  { program: 'lz4', options: ['-q'], packing: 'lz4', names: ['app.tar.lz4'] },
];

let api;
let plain;
let content;
const context = lasting();
before(async () => {
  api = await longshore();
  const directory = await temporary(context);
  plain = join(directory, 'app.tar');
  await fixtures(['docker-hybrid', '--images', '2', '--layers', '3', '--size', '700000', '--name', 'app:1', '--name', 'db:1', plain]);
  content = await readFile(plain);
});

const pack = ({ program, options }, file) => run(program, [...options, '-c', file], { encoding: 'buffer' });
const gzip = { program: 'gzip', options: ['-1'] };

async function opened(t, input, options) {
  const archive = await api.openArchive(input, options);
  t.after(() => archive.close());
  return archive;
}

async function fails(work, code, detail) {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof api.LongshoreError, `${error.stack}`);
    assert.equal(error.code, code, error.message);
    assert.match(error.message, /\S.*\.$/s);
    for (const [name, value] of Object.entries(detail ?? {})) assert.equal(error.detail[name], value);
    return true;
  });
}

/** The temporary files that there are: those with a name, and those that are only open. */
async function left() {
  const named = (await readdir(tmpdir())).filter((name) => /^longshore-[0-9a-f-]{36}/.test(name));
  const links = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
  return [...named, ...(await Promise.all(links)).filter((path) => /longshore-[0-9a-f-]{36}/.test(path))];
}

async function nothingIsLeft() {
  assert.deepEqual(await left(), []);
}

describe('a compressed archive', { skip: skipUnless('bzip2', 'xz', 'zstd', 'lz4') }, () => {
  for (const tool of TOOLS) {
    const { program, options, packing, names } = tool;
    it(`by ${[program, ...options].join(' ')} opens as what it was`, async (t) => {
      const file = join(await temporary(t), 'unnamed');
      const packed = await pack(tool, plain);
      await writeFile(file, packed);
      const expected = await opened(t, plain);
      for (const name of names) {
        const path = join(file, '..', name);
        await writeFile(path, packed);
        const archive = await opened(t, path);
        assert.deepEqual([archive.packing, archive.name], [[packing], 'app.tar']);
        assert.deepEqual([archive.images, archive.findings, archive.size], [expected.images, expected.findings, content.length]);
        assert.equal((await archive.verify()).verdict, 'intact');
        await archive.tag('app:1', 'app:2');
        const out = join(file, '..', 'out.tar');
        await (await archive.save()).writeTo(out);
        assert.equal(await run('tar', ['-xOf', out, 'oci-layout']), await run('tar', ['-xOf', plain, 'oci-layout']));
        await archive.close();
      }
      await nothingIsLeft();
    });
  }

  it('is told by its bytes, not by its name', async (t) => {
    const directory = await temporary(t);
    const [wrong, none] = [join(directory, 'app.tar'), join(directory, 'app.tar.gz')];
    await writeFile(wrong, await pack(TOOLS[0], plain));
    await writeFile(none, content);
    assert.deepEqual((await opened(t, wrong)).packing, ['gzip']);
    const archive = await opened(t, none);
    assert.deepEqual([archive.packing, archive.name], [[], 'app.tar.gz']);
  });

  it('may be an array, a Blob or a File', async (t) => {
    const packed = await pack(TOOLS[4], plain);
    for (const [input, name] of [[new Uint8Array(packed), 'image.tar'], [new Blob([packed]), 'image.tar'], [new File([packed], 'my.tar.zst'), 'my.tar']]) {
      const archive = await opened(t, input);
      assert.deepEqual([archive.packing, archive.name, archive.images.length], [['zstd'], name, 2]);
      assert.equal((await archive.verify()).verdict, 'intact');
    }
    assert.deepEqual(packed, await pack(TOOLS[4], plain), 'the caller keeps the array');
  });

  it('may be compressed three times, but not four', async (t) => {
    const directory = await temporary(t);
    let file = plain;
    const packings = [];
    for (const tool of [TOOLS[0], TOOLS[4], TOOLS[0]]) {
      const next = join(directory, `${packings.length}`);
      await writeFile(next, await pack(tool, file));
      file = next;
      packings.unshift(tool.packing);
      const archive = await opened(t, file);
      assert.deepEqual(archive.packing, packings);
      assert.deepEqual(archive.images[0].references, ['app:1']);
      await archive.close();
    }
    const next = join(directory, 'four');
    await writeFile(next, await pack(gzip, file));
    await fails(api.openArchive(next), 'compressed', { compression: 'gzip' });
    await nothingIsLeft();
  });

  it('may have several members, zeros and junk at its end', async (t) => {
    const file = join(await temporary(t), 'app.tar.gz');
    const half = content.length >> 1;
    for (const tool of TOOLS) {
      const parts = [];
      for (const part of [content.subarray(0, half), content.subarray(half)]) {
        await writeFile(file, part);
        parts.push(await pack(tool, file));
      }
      await writeFile(file, Buffer.concat([...parts, Buffer.alloc(700)]));
      const archive = await opened(t, file);
      // Only xz has a place for zeros.
      const found = tool.program === 'xz' ? [] : ['trailing-bytes'];
      assert.deepEqual([archive.size, archive.findings.map(({ code }) => code)], [content.length, found], tool.program);
      const podman = (await archive.compatibility()).find(({ reader }) => reader === 'podman');
      assert.equal(podman.verdict, found.length > 0 ? 'refuses' : 'loads', tool.program);
      await archive.close();
    }
    const packed = await pack(gzip, plain);
    await writeFile(file, Buffer.concat([packed, Buffer.from('junk')]));
    const archive = await opened(t, file);
    const { code, severity, detail } = archive.findings[0];
    assert.deepEqual([code, severity, detail.actual], ['trailing-bytes', 'warning', 4]);
    const report = await archive.verify();
    assert.deepEqual([report.verdict, report.findings[0].code], ['intact', 'trailing-bytes']);
  });

  it('is refused where it is cut or damaged, or holds no archive', async (t) => {
    const file = join(await temporary(t), 'app.tar.gz');
    for (const tool of TOOLS) {
      const packed = await pack(tool, plain);
      await writeFile(file, packed.subarray(0, packed.length >> 1));
      await fails(api.openArchive(file), 'truncated');
      packed.fill(0x55, packed.length >> 1, (packed.length >> 1) + 100);
      await writeFile(file, packed);
      await assert.rejects(api.openArchive(file), ({ code }) => ['invalid-compression', 'truncated'].includes(code));
    }
    const text = join(file, '..', 'text');
    await writeFile(text, 'This is a letter, not an image.\n'.repeat(100));
    await writeFile(file, await pack(gzip, text));
    await fails(api.openArchive(file), 'not-a-tar');
    await writeFile(text, '');
    await writeFile(file, await pack(gzip, text));
    await fails(api.openArchive(file), 'empty-file');
    await nothingIsLeft();
  });

  it('is stopped where it becomes too much', async (t) => {
    const file = join(await temporary(t), 'app.tar.gz');
    await writeFile(file, await pack(gzip, plain));
    await fails(api.openArchive(file, { limits: { bytes: 1_000_000 } }), 'limit-exceeded', { limit: 'bytes', expected: 1_000_000 });
    // 100 MB of zeros: allowed as such, but not at such a ratio.
    const zeros = join(file, '..', 'zeros');
    await writeFile(zeros, Buffer.alloc(100 << 20));
    await writeFile(file, await pack(gzip, zeros));
    await fails(api.openArchive(file, { limits: { ratio: 100 } }), 'limit-exceeded', { limit: 'ratio' });
    await fails(api.openArchive(file, { limits: { ratio: 0 } }), 'invalid-argument');
    await nothingIsLeft();
  });

  it('tells its progress, and stops at once when told', async (t) => {
    const file = join(await temporary(t), 'app.tar.bz2');
    const big = join(file, '..', 'big.tar');
    const noise = createHash('shake256', { outputLength: 8 << 20 }).update('').digest();
    await writeFile(big, Buffer.concat([noise, content]));
    const packed = await pack(TOOLS[1], plain);
    await writeFile(file, packed);
    const reports = [];
    await opened(t, file, { onProgress: (report) => reports.push(report) }).then((archive) => archive.close());
    const unpacking = reports.filter(({ phase }) => phase === 'unpack');
    assert.deepEqual(unpacking[0], { phase: 'unpack', done: 0, total: packed.length });
    assert.deepEqual(unpacking.at(-1), { phase: 'unpack', done: packed.length, total: packed.length });
    assert.equal(reports.at(-1).phase, 'index');

    await writeFile(file, await pack(TOOLS[1], big));
    const during = new AbortController();
    const stopped = api.openArchive(file, { signal: during.signal, onProgress: ({ done }) => done > 0 && during.abort() });
    await fails(stopped, 'aborted');
    const timed = new AbortController();
    setTimeout(() => timed.abort(), 30);
    const later = [];
    const onProgress = ({ done, total }) => timed.signal.aborted && later.push(done / total);
    await fails(api.openArchive(file, { signal: timed.signal, onProgress }), 'aborted');
    assert.ok(!later.includes(1), `went on to ${later}`);
    await fails(api.openArchive(file, { signal: AbortSignal.abort() }), 'aborted');
    await nothingIsLeft();
  });

  it('leaves nothing even where the program crashes', async (t) => {
    const file = join(await temporary(t), 'app.tar.gz');
    await writeFile(file, await pack(gzip, plain));
    const program = `
      import { openArchive } from ${JSON.stringify(new URL('../../dist/lib/node.js', import.meta.url).href)};
      const archive = await openArchive(${JSON.stringify(file)});
      process.kill(process.pid, 'SIGKILL');
    `;
    await assert.rejects(run(process.execPath, ['--input-type=module', '--eval', program]), /SIGKILL/);
    await nothingIsLeft();
  });
});
