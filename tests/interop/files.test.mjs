// The files of images, as Longshore sees them and as the real programs do: what `docker export` gives, what umoci unpacks.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { longshore } from '../support/longshore.mjs';
import { skipUnless, skopeo, umoci } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { OF_CONTAINERS, buildFiles, exported, members, sha256, unpacked } from '../support/trees.mjs';

/** The same of what Longshore says. */
async function seen(archive, image) {
  const found = {};
  for await (const { path, kind, mode, uid, gid, size, link } of archive.files(image)) {
    found[path] = { kind, mode, uid, gid };
    if (kind === 'file') Object.assign(found[path], { size, hash: sha256(await archive.readFile(image, path)) });
    if (kind === 'symlink') found[path].link = link;
  }
  return found;
}

async function written(stream, file) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  await writeFile(file, Buffer.concat(chunks));
  return file;
}

describe('files of images', { skip: skipUnless('dockerd', 'skopeo', 'umoci', 'busybox', 'python3') }, () => {
  const context = lasting();
  let directory;
  let engine;
  let openArchive;
  const files = {};

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
    await buildFiles(engine, join(directory, 'build'));
    files.docker = join(directory, 'files.tar');
    await engine.docker('save', '--output', files.docker, 'files:1');
    files.oci = join(directory, 'oci.tar');
    await skopeo('copy', '--quiet', `docker-archive:${files.docker}:files:1`, `oci-archive:${files.oci}:localhost/files:1`);
    ({ openArchive } = await longshore());
  });

  async function opened(t, file) {
    const archive = await openArchive(file);
    t.after(() => archive.close());
    return [archive, archive.images[0].id];
  }

  it('are those that docker export gives, from plain layers and from gzip', async (t) => {
    const expected = await exported(engine, 'files:1', join(directory, 'exported.tar'));
    for (const archive of [files.docker, files.oci]) {
      const [open, image] = await opened(t, archive);
      const own = await seen(open, image);
      for (const path of Object.keys(own)) if (OF_CONTAINERS.has(path)) delete own[path];
      assert.deepEqual(own, expected);
      const again = await members(await written(open.exportFiles(image), join(directory, 'own.tar')));
      for (const path of Object.keys(again)) if (OF_CONTAINERS.has(path)) delete again[path];
      assert.deepEqual(again, expected);
    }
    assert.ok(Object.keys(expected).length > 40);
    assert.equal(expected['c/new'], undefined);
    assert.deepEqual(expected['a/three'].hash, expected['a/two'].hash);
  });

  it('are those that umoci unpacks', async (t) => {
    const layout = join(directory, 'layout');
    await skopeo('copy', '--quiet', `oci-archive:${files.oci}`, `oci:${layout}:files`);
    const bundle = join(directory, 'bundle');
    await umoci('unpack', '--image', `${layout}:files`, bundle);
    const expected = await unpacked(join(bundle, 'rootfs'));
    const [open, image] = await opened(t, files.oci);
    assert.deepEqual(await seen(open, image), expected);
    await rm(bundle, { recursive: true });
  });

  it('are loaded alike where a layer goes through a link of a lower one', async (t) => {
    // overlay2 unpacks each layer by itself: there, such paths replace the link, and what has its other name below is refused.
    const engine = await startDocker(t, { drivers: ['vfs'] });
    // Built by hand: no engine would write such a layer.
    const script = `
import hashlib, io, json, sys, tarfile
def layer(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w') as tar:
        for name, kind, value in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
            else:
                info.linkname = value
                info.mode = 0o644 if kind == tarfile.LNKTYPE else 0o755
                tar.addfile(info)
    return out.getvalue()
F, D, S, L = tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE
layers = [
    layer([('usr', D, ''), ('usr/lib', D, ''), ('usr/lib/one', F, b'1'), ('usr/lib/two', F, b'2'), ('lib', S, 'usr/lib'), ('dir', D, ''), ('dir/a', F, b'a'), ('dir/b', F, b'b'), ('file', F, b'f')]),
    layer([('lib/three', F, b'3'), ('lib/.wh.one', F, b''), ('hard', L, 'usr/lib/two'), ('dir/.wh..wh..opq', F, b''), ('dir/c', F, b'c'), ('file', D, ''), ('file/inside', F, b'i'), ('./dotted', F, b'd'), ('/absolute', F, b'x')]),
]
config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {'Cmd': ['x']}, 'rootfs': {'type': 'layers', 'diff_ids': ['sha256:' + hashlib.sha256(one).hexdigest() for one in layers]}}).encode()
with tarfile.open(sys.argv[1], 'w') as tar:
    def put(name, content):
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    put('config.json', config)
    for number, one in enumerate(layers): put(f'{number}.tar', one)
    put('manifest.json', json.dumps([{'Config': 'config.json', 'RepoTags': ['links:1'], 'Layers': ['0.tar', '1.tar']}]).encode())
`;
    const file = join(directory, 'links.tar');
    await run('python3', ['-c', script, file]);
    await engine.docker('load', '--input', file);
    const expected = await exported(engine, 'links:1', join(directory, 'links-exported.tar'));
    const [open, image] = await opened(t, file);
    assert.deepEqual(await seen(open, image), expected);
    assert.equal(expected['usr/lib/three'].size, 1);
  });

  it('are added, changed and deleted by layers, as the history of the image tells', async (t) => {
    const [open, image] = await opened(t, files.docker);
    const changes = async (layer) => {
      const found = [];
      for await (const { change, file } of open.layerChanges(image, layer)) found.push(`${change[0].toUpperCase()} ${file.path}`);
      return found.sort();
    };
    const last = open.images[0].layers.length - 1;
    assert.deepEqual(await changes(last - 2), ['A dangling/in', 'A c/old', 'C a', 'C a/deep', 'C c', 'C dangling'].sort());
    assert.ok((await changes(last)).includes('D c/new'));
    const { score, wasted, paths } = await open.efficiency(image);
    // A layer has bin/busybox as a hard link, which for dive is one of no bytes.
    assert.ok(score > 0.7 && score < 0.75, `${score}`);
    assert.ok(wasted > 0 && paths.some(({ path }) => path === 'c/new'), JSON.stringify(paths));
  });
});

const corpus = process.env.LONGSHORE_CORPUS;

describe('files of real archives', { skip: corpus && existsSync(corpus) ? skipUnless('python3') : 'skipped: no LONGSHORE_CORPUS' }, () => {
  it('are listed, merged and exported, and tar agrees', async (t) => {
    const { openArchive } = await longshore();
    const directory = await temporary(t);
    const rows = (await readFile(join(corpus, 'INDEX.tsv'), 'utf8')).trim().split('\n').slice(1).map((row) => row.split('\t'));
    let images = 0;
    let files = 0;
    for (const [name] of rows) {
      const archive = await openArchive(join(corpus, name)).catch(() => undefined);
      if (!archive) continue;
      try {
        for (const { id, platform } of archive.images) {
          if (platform.os === 'windows') continue;
          const own = {};
          try {
            for await (const { path, kind, size } of archive.files(id)) own[path] = kind === 'file' ? size : kind;
          } catch (error) {
            // What the archive leaves out, or has damaged, is told.
            assert.ok(['missing-entry', 'truncated', 'invalid-tar', 'invalid-compression', 'invalid-argument'].includes(error.code), `${name}: ${error.stack}`);
            continue;
          }
          const file = await written(archive.exportFiles(id), join(directory, 'exported.tar'));
          const found = Object.entries(await members(file)).map(([path, { kind, size }]) => [path, kind === 'file' ? size : kind]);
          assert.deepEqual(own, Object.fromEntries(found), name);
          images += 1;
          files += found.length;
        }
      } finally {
        await archive.close();
      }
    }
    t.diagnostic(`${images} images, ${files} files`);
    assert.ok(images > 50, `${images}`);
  });
});
