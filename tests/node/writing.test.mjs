// Saving in Node: what is written is the archive, whole, or nothing.
import assert from 'node:assert/strict';
import { chmod, lstat, open, readFile, readdir, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fixtures } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { run } from '../support/run.mjs';
import { temporary } from '../support/temp.mjs';

const NAME = 'registry.local/team/app:2';

let api;
let content;
before(async () => {
  api = await longshore();
});

/** A folder with an archive in it, and the archive open with one edit. */
async function edited(t) {
  const folder = await temporary(t);
  const file = join(folder, 'app.tar');
  if (!content) {
    await fixtures(['docker-legacy', '--layers', '3', '--size', '9000000', '--name', 'app:1', file]);
    content = await readFile(file);
  }
  await writeFile(file, content);
  const archive = await api.openArchive(file);
  t.after(() => archive.close());
  await archive.tag('app:1', NAME);
  return { folder, file, archive, saved: await archive.save(), output: join(folder, 'out.tar') };
}

async function namesOf(file) {
  const archive = await api.openArchive(file);
  await archive.close();
  return archive.images[0].references;
}

async function fails(work, code) {
  await assert.rejects(work, (error) => {
    assert.ok(error instanceof api.LongshoreError, `${error}`);
    assert.equal(error.code, code);
    return true;
  });
}

/** Nothing but these files is in the folder: no half-written one above all. */
async function holds(folder, ...names) {
  assert.deepEqual((await readdir(folder)).sort(), names.sort());
}

describe('writeTo', () => {
  it('writes the archive and tells its progress', async (t) => {
    const { folder, saved, output } = await edited(t);
    const reports = [];
    await saved.writeTo(output, { onProgress: (report) => reports.push(report) });
    assert.deepEqual(await namesOf(output), ['app:1', NAME]);
    assert.equal((await stat(output)).size, saved.size);
    assert.ok(reports.length > 2);
    assert.ok(reports.every(({ phase, total }) => phase === 'write' && total === saved.size));
    assert.deepEqual(reports.map(({ done }) => done), reports.map(({ done }) => done).toSorted((a, b) => a - b));
    assert.equal(reports.at(-1).done, saved.size);
    await holds(folder, 'app.tar', 'out.tar');
  });

  it('writes what the stream gives', async (t) => {
    const { saved, output } = await edited(t);
    await saved.writeTo(output);
    const chunks = [];
    for await (const chunk of saved.stream()) chunks.push(chunk);
    assert.ok(Buffer.concat(chunks).equals(await readFile(output)));
  });

  it('writes over the file that it reads, twice', async (t) => {
    const { folder, file, archive, saved } = await edited(t);
    await saved.writeTo(file);
    await archive.untag('app:1');
    await (await archive.save()).writeTo(file);
    assert.deepEqual(await namesOf(file), [NAME]);
    await holds(folder, 'app.tar');
  });

  it('writes what a link points to, and keeps a file as private as it was', async (t) => {
    const { folder, saved, output } = await edited(t);
    await writeFile(output, '', { mode: 0o600 });
    await symlink('out.tar', join(folder, 'link'));
    await saved.writeTo(join(folder, 'link'));
    assert.ok((await lstat(join(folder, 'link'))).isSymbolicLink());
    assert.deepEqual(await namesOf(output), ['app:1', NAME]);
    assert.equal((await stat(output)).mode & 0o777, 0o600);
  });

  it('writes into a pipe or a device, and where a link leads to nothing yet', async (t) => {
    const { file, folder, archive, saved, output } = await edited(t);
    const [pipe, received, link] = ['pipe', 'received', 'link'].map((name) => join(folder, name));
    await run('mkfifo', [pipe]);
    const reader = run('sh', ['-c', 'cat "$1" >"$2"', 'sh', pipe, received]);
    await saved.writeTo(pipe);
    await reader;
    assert.ok((await lstat(pipe)).isFIFO());
    await saved.writeTo(output);
    assert.ok((await readFile(received)).equals(await readFile(output)));
    await fails(api.openArchive(pipe), 'read-failed');
    await symlink('later.tar', link);
    await saved.writeTo(link);
    assert.ok((await lstat(link)).isSymbolicLink());
    assert.deepEqual(await namesOf(join(folder, 'later.tar')), ['app:1', NAME]);
    await symlink('round', join(folder, 'round'));
    await fails(saved.writeTo(join(folder, 'round')), 'write-failed');
    await fails(saved.writeTo(folder), 'write-failed');
    // The device is a node of our own, should it be replaced.
    if (process.getuid() === 0) {
      const device = join(folder, 'null');
      await run('mknod', [device, 'c', '1', '3']);
      await saved.writeTo(device);
      assert.ok((await lstat(device)).isCharacterDevice());
    }
    assert.deepEqual((await readdir(folder)).filter((name) => name.includes('partial')), []);
    await archive.close();
    assert.ok((await readFile(file)).equals(content));
  });

  it('takes a file that may only be read', async (t) => {
    const { file, saved, output } = await edited(t);
    await chmod(file, 0o444);
    const absent = join(output, 'no-folder');
    // It is told by the name that was asked for.
    await assert.rejects(saved.writeTo(absent), ({ code, detail }) => code === 'write-failed' && detail.reason.endsWith(`'${absent}'`));
    const archive = await api.openArchive(file);
    t.after(() => archive.close());
    await (await archive.save()).writeTo(output);
    assert.ok((await readFile(output)).equals(content));
  });

  it('never takes the bytes of another file for those of a closed archive', async (t) => {
    const { folder, archive, saved, output } = await edited(t);
    await archive.close();
    // The next file to be opened gets the number of the one that was closed.
    await writeFile(join(folder, 'other'), Buffer.alloc(content.length, 'Z'));
    const other = await open(join(folder, 'other'));
    t.after(() => other.close());
    await fails(saved.writeTo(output), 'closed');
    await fails(async () => {
      for await (const chunk of saved.stream()) assert.ok(!chunk.includes('ZZZZ'));
    }, 'closed');
    await fails(archive.save(), 'closed');
    await holds(folder, 'app.tar', 'other');
  });

  it('notices that the file was changed in place', async (t) => {
    const { folder, file, archive, saved, output } = await edited(t);
    const handle = await open(file, 'r+');
    await handle.write(Buffer.alloc(5000, 'Q'), 0, 5000, 600_000);
    await handle.close();
    await fails(saved.writeTo(output), 'source-changed');
    await fails(archive.save(), 'source-changed');
    await holds(folder, 'app.tar');
  });

  it('still has the file when another one took its place', async (t) => {
    const { folder, file, saved, output } = await edited(t);
    await writeFile(join(folder, 'new'), 'something else');
    await rename(join(folder, 'new'), file);
    await saved.writeTo(output);
    assert.deepEqual(await namesOf(output), ['app:1', NAME]);
  });

  it('stops when told, and leaves what was there', async (t) => {
    const { folder, saved, output } = await edited(t);
    await writeFile(output, 'as it was');
    const controller = new AbortController();
    await fails(saved.writeTo(output, { signal: controller.signal, onProgress: () => controller.abort() }), 'aborted');
    await fails(saved.writeTo(output, { signal: AbortSignal.abort() }), 'aborted');
    assert.equal(await readFile(output, 'utf8'), 'as it was');
    await holds(folder, 'app.tar', 'out.tar');
  });
});

describe('the package', () => {
  it('suggests the tags that people put beside a version, and says what memory it has', async () => {
    assert.deepEqual(await api.suggestTags('2.1.10'), ['2.1', '2', 'latest']);
    assert.deepEqual(await api.suggestTags('nightly'), []);
    await assert.rejects(api.suggestTags(7), { code: 'invalid-argument' });
    const bytes = await api.memoryUsed();
    assert.ok(bytes > 0 && bytes % 65_536 === 0, `${bytes} bytes`);
  });
});

describe('openArchive', () => {
  it('takes arrays, Blobs, Files and URLs', async (t) => {
    await edited(t);
    const server = createServer((request, response) => {
      if (request.url === '/app%2.tar') response.writeHead(200, { 'content-length': content.length }).end(content);
      else response.writeHead(404).end();
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.after(() => server.close());
    const url = (path) => new URL(`http://127.0.0.1:${server.address().port}${path}`);

    const reports = [];
    const inputs = [
      [new Uint8Array(content), 'image.tar'],
      [new Blob([content]), 'image.tar'],
      [new File([content], 'mine.tar'), 'mine.tar'],
      [url('/app%2.tar'), 'app%2.tar'],
    ];
    for (const [input, name] of inputs) {
      const archive = await api.openArchive(input, { onProgress: (report) => reports.push(report) });
      assert.equal(archive.name, name);
      assert.deepEqual(archive.images[0].references, ['app:1']);
      await archive.close();
    }
    const fetched = reports.filter(({ phase }) => phase === 'fetch');
    assert.deepEqual(fetched.at(-1), { phase: 'fetch', done: content.length, total: content.length });
    await fails(api.openArchive(url('/nothing')), 'fetch-failed');
  });

  it('says what it does not take', async (t) => {
    const { archive, saved, output } = await edited(t);
    await fails(api.openArchive(null), 'invalid-argument');
    await fails(api.openArchive(new URL('file://elsewhere/x')), 'invalid-argument');
    await fails(api.openArchive(join(output, 'nothing')), 'read-failed');
    await fails(archive.tag(1, 'x'), 'invalid-argument');
    await fails(archive.rename([null]), 'invalid-argument');
    await fails(archive.inspect(), 'invalid-argument');
    await fails(archive.save({ images: [null] }), 'invalid-argument');
    await fails(archive.save({ platforms: [] }), 'invalid-argument');
    await fails(api.openStore(''), 'invalid-argument');
    await fails(saved.writeTo(), 'invalid-argument');
  });
});
