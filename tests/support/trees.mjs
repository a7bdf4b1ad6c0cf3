// An image with all that layers can do to files, and file systems as programs see them that are not ours.
import { createHash } from 'node:crypto';
import { copyFile, lstat, mkdir, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { staticBusybox } from './peers.mjs';
import { run } from './run.mjs';

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
export const OF_CONTAINERS = new Set(['.dockerenv', 'dev', 'dev/console', 'dev/pts', 'dev/shm', 'etc', 'etc/hostname', 'etc/hosts', 'etc/mtab', 'etc/resolv.conf', 'proc', 'sys']);

/** Builds the image `files:1`; `folder` is new. */
export async function buildFiles(engine, folder) {
  await mkdir(folder);
  await copyFile(staticBusybox(), join(folder, 'busybox'));
  await writeFile(join(folder, 'Dockerfile'), DOCKERFILE);
  await engine.docker('build', '--quiet', '--network', 'none', '--tag', 'files:1', folder);
}

export const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

/** The headers of a tar, by Python's reader: one that is not ours, and knows all of pax. */
export async function members(file) {
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

/** What the engine exports of an image, but for what it puts into each container. */
export async function exported(engine, image, file) {
  const id = (await engine.docker('create', image)).trim();
  await engine.docker('export', '--output', file, id).finally(() => engine.docker('rm', id));
  const found = await members(file);
  for (const path of Object.keys(found)) if (OF_CONTAINERS.has(path)) delete found[path];
  return found;
}

/** The same of a folder. */
export async function unpacked(folder) {
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

