// The archives that are measured.
import { mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fixtures } from '../support/fixtures.mjs';
import { run } from '../support/run.mjs';

/** What the image in `makeArchive`'s archive is called. */
export const SOURCE = 'big:1';
// 7 layers make an archive of 31 members; the first layer is a small one.
const LAYERS = 7;

/** An archive in Docker's legacy layout, `layers` of pseudo-random bytes but for the first one; read once, so that it comes from memory. */
export async function makeArchive(file, bytes, layers = LAYERS) {
  const size = Math.floor(bytes / (layers - 1));
  await fixtures(['docker-legacy', '--layers', `${layers}`, '--size', `${size}`, '--name', SOURCE, file], { release: true });
  await run('cksum', [file]);
  return file;
}

/** An archive of an image whose layers hold `least` bytes of this machine's own programs, as OCI with gzip; and those layers as files. */
export async function makePacked(directory, least) {
  const found = (await run('find', ['/usr/lib', '/usr/bin', '-xdev', '-type', 'f', '-size', '+256k', '-printf', '%s %p\n'])).trim().split('\n');
  const files = found.map((line) => line.split(' ')).filter(([, path]) => path).sort(([, a], [, b]) => (a < b ? -1 : 1));
  const chosen = [];
  let bytes = 0;
  for (const [size, path] of files) {
    if (bytes > least) break;
    bytes += Number(size);
    chosen.push('--file', `${path.slice(1)}=${path}`);
  }
  const file = join(directory, 'packed.tar');
  const perLayer = `${Math.ceil(chosen.length / 2 / 4)}`;
  await fixtures(['oci-gzip', '--layers', '1', '--name', 'packed:1', ...chosen, '--per-layer', perLayer, file], { release: true });
  const blobs = join(directory, 'blobs');
  await mkdir(blobs);
  await run('tar', ['-xf', file, '-C', blobs]);
  const inside = join(blobs, 'blobs/sha256');
  const layers = [];
  for (const name of await readdir(inside)) if ((await stat(join(inside, name))).size > 100_000) layers.push(join(inside, name));
  await run('cksum', [file, ...layers]);
  return { file, layers };
}
