// Image archives from lists of files: with names, modes and numbers of files that no file system here would take.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';

const TYPES = { file: '0', 'hard-link': '1', symlink: '2', directory: '5' };

/**
 * A tar of entries `{ path, content = '', link, kind, mode, uid, gid, user, mtime }`. The kind follows from the others: a path that
 * ends in a slash is a directory, a link is symbolic.
 */
export function tar(entries) {
  const chunks = [];
  for (const { path, content = '', link = '', kind, mode, uid = 0, gid = 0, user = 'root', mtime = 1_700_000_000 } of entries) {
    const data = Buffer.from(content);
    const type = TYPES[kind ?? (path.endsWith('/') ? 'directory' : link ? 'symlink' : 'file')];
    if (Buffer.byteLength(path) > 100) {
      // As GNU tar writes a name that is long.
      const name = Buffer.from(`${path}\0`);
      chunks.push(header({ path: '././@LongLink', size: name.length, type: 'L' }), padded(name));
    }
    chunks.push(header({ path, link, mode: mode ?? (type === '5' ? 0o755 : 0o644), uid, gid, user, size: data.length, mtime, type }), padded(data));
  }
  return Buffer.concat([...chunks, Buffer.alloc(1024)]);
}

function header({ path, link = '', mode = 0o644, uid = 0, gid = 0, user = '', size, mtime = 0, type }) {
  const block = Buffer.alloc(512);
  const octal = (value, at, length) => block.write(`${value.toString(8).padStart(length - 1, '0')}\0`, at, 'latin1');
  Buffer.from(path).copy(block, 0, 0, 100);
  octal(mode, 100, 8);
  octal(uid, 108, 8);
  octal(gid, 116, 8);
  octal(size, 124, 12);
  octal(mtime, 136, 12);
  block.write('        ', 148, 'latin1');
  block.write(type, 156, 'latin1');
  Buffer.from(link).copy(block, 157, 0, 100);
  block.write('ustar  \0', 257, 'latin1');
  block.write(user, 265, 'latin1');
  block.write(user, 297, 'latin1');
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function padded(data) {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}

/**
 * Writes an archive as `docker save` of old does. Each image is `{ name, layers: [{ step, tar }], config }`, or has `names`; `top` is
 * what its config says beside.
 */
export async function writeImages(file, images) {
  const members = new Map();
  const manifest = images.map(({ name, names = [name], layers, config = {}, top = {} }) => {
    const paths = layers.map(({ tar }) => {
      const path = `${sha256(tar)}/layer.tar`;
      members.set(path, tar);
      return path;
    });
    const text = JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      created: '2024-05-01T12:00:00Z',
      config,
      history: layers.map(({ step }) => ({ created: '2024-05-01T12:00:00Z', created_by: step })),
      rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => `sha256:${sha256(tar)}`) },
      ...top,
    });
    const Config = `${sha256(text)}.json`;
    members.set(Config, text);
    return { Config, RepoTags: names, Layers: paths };
  });
  members.set('manifest.json', JSON.stringify(manifest));
  await writeFile(file, tar([...members].map(([path, content]) => ({ path, content }))));
}

function sha256(data) {
  return createHash('sha256').update(data).digest('hex');
}
