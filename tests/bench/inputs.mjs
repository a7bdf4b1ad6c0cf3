// The archives that are measured.
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
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

/** Where a distribution's files are: small ones, programs, libraries. */
const PLACES = ['/usr/share', '/usr/bin', '/usr/lib'];
/** What is larger is in no small distribution. */
const LARGEST = 8e6;

/** A tar of `bytes` of this machine's files of each place, in the order of their names; `last` is one more file, at the end. */
async function makeLayer(file, places, bytes, last = []) {
  const list = `${file}.list`;
  const find = `find ${places.join(' ')} -xdev -size -${LARGEST}c \\( -type f -o -type l -o -type d \\) -printf '%s %p\\n' | sort -k 2`;
  await run('sh', ['-c', `${find} | awk '{ sum += $1; sub(/^[0-9]+ /, ""); if (sum < ${bytes}) print }' > ${list}`]);
  const names = ['--no-recursion', '--transform', 's,^/,,', '--absolute-names', '--files-from', list, ...last];
  await run('tar', ['--owner=0', '--group=0', '--mtime=@0', '--create', '--file', file, ...names]);
  return file;
}

/** An archive as Docker loads it: one image with these layers, which are packed by a program where there is one. */
async function imageOf(directory, name, layers, pack) {
  const digests = await Promise.all(layers.map(async (layer) => (await run('sha256sum', [layer])).split(' ')[0]));
  const files = layers.map((layer) => (pack ? `${layer}.gz` : layer));
  if (pack) await Promise.all(layers.map((layer) => run('sh', ['-c', `gzip -n ${pack} < ${layer} > ${layer}.gz`])));
  const rootfs = { type: 'layers', diff_ids: digests.map((digest) => `sha256:${digest}`) };
  await writeFile(join(directory, 'config.json'), JSON.stringify({ architecture: 'amd64', os: 'linux', config: { Cmd: ['true'] }, rootfs }));
  const Layers = files.map((file) => basename(file));
  await writeFile(join(directory, 'manifest.json'), JSON.stringify([{ Config: 'config.json', RepoTags: [name], Layers }]));
  const file = join(directory, `${name.replace(':', '-')}.tar`);
  await run('tar', ['--directory', directory, '--create', '--file', file, 'manifest.json', 'config.json', ...Layers]);
  await run('cksum', [file, ...files]);
  return { file, layers: files };
}

/** An image the size of a small distribution, `bytes` in three layers of this machine's files: plain, and as gzip. */
export async function makeDistribution(directory, bytes) {
  const layers = await Promise.all(PLACES.map((place, number) => makeLayer(join(directory, `layer${number}`), [place], bytes / PLACES.length)));
  return { plain: await imageOf(directory, 'plain:1', layers), packed: await imageOf(directory, 'packed:1', layers, '-6') };
}

/** An image of one large gzip layer, whose last file is `path`. */
export async function makeDeep(directory, bytes) {
  const path = 'the/last/file';
  const last = join(directory, 'last');
  await writeFile(last, 'found\n'.repeat(20_000));
  const layer = join(directory, 'deep');
  await makeLayer(layer, ['/usr/lib', '/usr/share'], bytes, ['--transform', `s,^${last.slice(1)}$,${path},`, last]);
  return { ...(await imageOf(directory, 'deep:1', [layer], '-1')), path };
}
