// The files of images, as Longshore sees them and as the real programs do: what `docker export` gives, what umoci unpacks.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { lstat, mkdir, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { longshore } from '../support/longshore.mjs';
import { has, skipUnless, skopeo, staticBusybox, umoci } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const DOCKERFILE = `FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "/bin"]
ENV PATH=/bin
RUN mkdir -p /a/deep/tree /b /c /usr/lib && echo one > /a/one && echo two > /a/two && echo b > /b/b && echo c > /c/c \
 && ln -s usr/lib /lib && ln -s ../../../etc/passwd /a/deep/link && ln -s /nowhere /dangling && ln -s loop /loop \
 && echo library > /lib/library && ln /lib/library /library-again && chmod 4755 /a/one && chmod 1777 /b && chown 123:456 /a/two \
 && mkfifo /pipe && echo odd > "/a/$(printf 'odd name\\nwith a line')" && echo umlaut > /a/größe && mkdir "/a/$(printf 'x%.0s' $(seq 1 120))" && echo long > "/a/$(printf 'x%.0s' $(seq 1 120))/file"
RUN rm /a/one && rm -r /b && rm -r /c && mkdir /c && echo new > /c/new && echo changed > /lib/library && echo more > /lib/more
RUN rm -r /a/deep && echo file > /a/deep && rm /dangling && mkdir /dangling && echo in > /dangling/in && touch -d '1969-12-31 00:00:00' /c/old
RUN chmod 600 /a/two && chown 7:8 /usr/lib/more && ln /a/two /a/three && dd if=/dev/zero of=/zeros bs=1M count=3
RUN rm -r /c && mkdir /c && mkdir -p /b/again && echo back > /b/again/b
CMD ["sh"]
`;

/** What `docker create` puts into each container, and so into what it exports. */
const OF_CONTAINERS = new Set(['.dockerenv', 'dev', 'dev/console', 'dev/pts', 'dev/shm', 'etc', 'etc/hostname', 'etc/hosts', 'etc/mtab', 'etc/resolv.conf', 'proc', 'sys']);

const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** The headers of a tar, by Python's reader: one that is not ours, and knows all of pax. */
async function members(file) {
  const script = `
import hashlib, json, sys, tarfile
kinds = {b'0': 'file', b'\\0': 'file', b'1': 'hard-link', b'2': 'symlink', b'3': 'character-device', b'4': 'block-device', b'5': 'directory', b'6': 'fifo', b'S': 'file'}
with tarfile.open(sys.argv[1], errors='surrogateescape') as tar:
    found = {}
    for one in tar:
        name = one.name.strip('/')
        if name in ('', '.'): continue
        entry = {'kind': kinds[one.type], 'mode': one.mode & 0o7777, 'uid': one.uid, 'gid': one.gid}
        if one.isreg() or one.islnk():
            content = tar.extractfile(one).read()
            entry.update(kind='file', size=len(content), hash=hashlib.sha256(content).hexdigest())
        if one.issym(): entry['link'] = one.linkname
        found[name.encode('utf8', 'surrogateescape').decode('utf8', 'replace')] = entry
json.dump(found, sys.stdout)
`;
  return JSON.parse(await run('python3', ['-c', script, file]));
}

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

/** The same of a folder. */
async function unpacked(folder) {
  const found = {};
  const walk = async (inner) => {
    const below = await readdir(join(folder, inner), { withFileTypes: true });
    const paths = below.map(async (one) => [join(inner, one.name), ...(one.isDirectory() ? await walk(join(inner, one.name)) : [])]);
    return (await Promise.all(paths)).flat();
  };
  for (const path of await walk('')) {
    const stat = await lstat(join(folder, path));
    const kinds = [['isFile', 'file'], ['isDirectory', 'directory'], ['isSymbolicLink', 'symlink'], ['isFIFO', 'fifo'], ['isCharacterDevice', 'character-device'], ['isBlockDevice', 'block-device']];
    const kind = kinds.find(([is]) => stat[is]())[1];
    found[path] = { kind, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
    if (kind === 'file') Object.assign(found[path], { size: stat.size, hash: sha256(await readFile(join(folder, path))) });
    if (kind === 'symlink') found[path].link = await readlink(join(folder, path));
  }
  return found;
}

async function written(stream, file) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  await writeFile(file, Buffer.concat(chunks));
  return file;
}

describe('files of images', { skip: skipUnless('dockerd', 'skopeo', 'umoci', 'busybox') }, () => {
  const context = lasting();
  let directory;
  let engine;
  let openArchive;
  const files = {};

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
    const build = join(directory, 'build');
    await mkdir(build);
    await copyFile(staticBusybox(), join(build, 'busybox'));
    await writeFile(join(build, 'Dockerfile'), DOCKERFILE);
    await engine.docker('build', '--quiet', '--network', 'none', '--tag', 'files:1', build);
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
    const id = (await engine.docker('create', 'files:1')).trim();
    const file = join(directory, 'exported.tar');
    await engine.docker('export', '--output', file, id);
    const expected = await members(file);
    for (const path of Object.keys(expected)) if (OF_CONTAINERS.has(path)) delete expected[path];
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
    const id = (await engine.docker('create', 'links:1')).trim();
    const exported = join(directory, 'links-exported.tar');
    await engine.docker('export', '--output', exported, id);
    const expected = await members(exported);
    for (const path of Object.keys(expected)) if (OF_CONTAINERS.has(path)) delete expected[path];
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
    assert.ok(score > 0.9 && score < 1, `${score}`);
    assert.ok(wasted > 0 && paths.some(({ path }) => path === 'c/new'), JSON.stringify(paths));
  });
});

const corpus = process.env.LONGSHORE_CORPUS;

describe('files of real archives', { skip: corpus && existsSync(corpus) && has('python3') ? false : 'skipped: no LONGSHORE_CORPUS' }, () => {
  it('are listed, merged and exported, and tar agrees', async (t) => {
    const { openArchive } = await longshore();
    const directory = await temporary(t);
    const rows = (await readFile(join(corpus, 'INDEX.tsv'), 'utf8')).trim().split('\n').slice(1).map((row) => row.split('\t'));
    let images = 0;
    let total = 0;
    for (const [name] of rows) {
      const archive = await openArchive(join(corpus, name)).catch(() => undefined);
      if (!archive) continue;
      try {
        for (const { id, layers, platform } of archive.images) {
          if (platform.os === 'windows') continue;
          let own = 0;
          try {
            for await (const { size, kind, links } of archive.files(id)) own += kind === 'file' && links === 1 ? size : 0;
          } catch (error) {
            // What the archive leaves out, or has damaged, is told.
            assert.ok(['missing-entry', 'truncated', 'invalid-tar', 'invalid-compression', 'invalid-argument'].includes(error.code), `${name}: ${error.stack}`);
            continue;
          }
          const file = await written(archive.exportFiles(id), join(directory, 'exported.tar'));
          const found = await members(file);
          let count = 0;
          for await (const _ of archive.files(id)) count += 1;
          assert.equal(Object.keys(found).length, count, name);
          images += 1;
          total += own;
          assert.ok(layers.length >= 0);
        }
      } finally {
        await archive.close();
      }
    }
    t.diagnostic(`${images} images, ${total} bytes`);
    assert.ok(images > 50, `${images}`);
  });
});
