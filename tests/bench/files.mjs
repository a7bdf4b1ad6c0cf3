// The files inside layers: indexing them, opening one, exporting all, beside tar and the real engine.
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startDocker } from '../support/engine.mjs';
import { longshore } from '../support/longshore.mjs';
import { run } from '../support/run.mjs';
import { makeDeep, makeDistribution } from './inputs.mjs';
import { inChromium, wasmMemory } from './pages.mjs';
import { fastest, goal, ms, table } from './report.mjs';
import { BYTES, PARENT, RUNS, WORK } from './settings.mjs';

export const peers = ['dockerd'];

/** That of Debian with some packages. */
const DISTRIBUTION = Math.min(3e8, BYTES / 4);

export async function measure(context, directory) {
  const { plain, packed } = await makeDistribution(directory, DISTRIBUTION);
  await inChromium({ plain: plain.file, packed: packed.file }, async (page) => {
    await indexing(page, plain, packed);
    await exporting(context, directory, page, plain.file);
    const memory = await wasmMemory(page);
    console.log(`Peak wasm memory of one module in these rows: ${memory} bytes (${goal('< 64 MB', memory < 64e6)}).\n`);
  });
  await opening(await makeDeep(directory, BYTES / 4));
}

/** Making the index of all layers, in a program and a page that have done so before, beside tar. */
async function indexing(page, plain, packed) {
  const list = (options, { layers }) => run('sh', ['-c', `for layer; do tar ${options} "$layer"; done > /dev/null`, 'sh', ...layers]);
  const rows = [];
  for (const [id, options, image] of [['plain', '-tvf', plain], ['packed', '-tzvf', packed]]) {
    const time = await fastest(
      {
        tar: () => list(options, image),
        node: () => indexInNode(image.file),
        chromium: () => page.evaluate(indexInPage, id),
      },
      // What compiles the wasm compiles it again while it runs, better and better.
      Math.max(RUNS, 9) + 1,
    );
    const row = (what, own, most) => [what, ms(own), (own / time.tar).toFixed(2), most ? goal(`≤ ${most}`, own / time.tar <= most) : ''];
    rows.push(
      row(`\`tar ${options}\`, layer by layer`, time.tar),
      row(`Longshore in Node, ${id}`, time.node, 1.2),
      row(`Longshore in Chromium, ${id}`, time.chromium, 1.5),
    );
  }
  table([`index the layers of an image of ${DISTRIBUTION} bytes`, 'time', 'time ÷ tar', 'goal'], rows);
}

/** The time that it takes until the root directory of the merged file system is there. */
async function indexInNode(file) {
  const { openArchive } = await longshore();
  const archive = await openArchive(file);
  const start = performance.now();
  const { entries } = await archive.folder(archive.images[0].id, '');
  const time = performance.now() - start;
  if (entries.length === 0) throw new Error('no files');
  await archive.close();
  return time;
}

/** The same, in the page. */
async function indexInPage(id) {
  const { openArchive } = await import('/lib/index.js');
  const archive = await openArchive(document.getElementById(id).files[0]);
  const start = performance.now();
  const { entries } = await archive.folder(archive.images[0].id, '');
  const time = performance.now() - start;
  if (entries.length === 0) throw new Error('no files');
  await archive.close();
  return time;
}

/** A file at the end of a large gzip layer, once that is indexed. */
async function opening({ file, layers, path }) {
  const { openArchive } = await longshore();
  const archive = await openArchive(file);
  const id = archive.images[0].id;
  const start = performance.now();
  const { length } = await archive.readFile(id, path);
  const first = performance.now() - start;
  const time = await fastest(
    {
      tar: () => run('sh', ['-c', 'tar -xzOf "$0" "$1" > /dev/null', layers[0], path]),
      node: () => archive.readFile(id, path),
    },
    Math.max(RUNS / 2, 2),
  );
  await archive.close();
  const row = (what, own, aim = '') => [what, ms(own), (time.tar / own).toFixed(1), aim];
  table(
    [`open the last file of a gzip layer of ${(await stat(layers[0])).size} bytes (${length} bytes)`, 'time', 'tar ÷ it', 'goal'],
    [
      row('`tar -xzOf LAYER FILE`', time.tar),
      row('Longshore in Node, the first time', first),
      row('Longshore in Node, again', time.node, goal('≥ 50', time.tar / time.node >= 50)),
    ],
  );
}

/** The merged file system as a tar: by whole processes to disk, and in a page as far as its bytes. */
async function exporting(context, directory, page, file) {
  const engine = await startDocker(context, { parent: PARENT });
  await engine.docker('load', '--quiet', '--input', file);
  const container = (await engine.docker('create', 'plain:1')).trim();
  const output = join(directory, 'export.tar');
  const time = await fastest(
    {
      docker: () => engine.docker('export', '--output', output, container),
      node: () => run(process.execPath, [WORK, 'export', file, 'plain:1', output]),
      chromium: () => page.evaluate(exportInPage),
    },
    RUNS,
    async () => {
      await rm(output, { force: true });
      await run('sync', []);
    },
  );
  const row = (what, own) => [what, ms(own), (own / time.docker).toFixed(2)];
  table(
    ['export the merged file system', 'time', 'time ÷ docker export'],
    [
      row('`docker export`, the image loaded and a container made before', time.docker),
      row('Longshore in Node, the whole process', time.node),
      row('Longshore in Chromium, until the Blob is there', time.chromium),
    ],
  );
  await engine.docker('rm', container);
}

/** Runs in the page. */
async function exportInPage() {
  const { openArchive } = await import('/lib/index.js');
  const archive = await openArchive(document.getElementById('plain').files[0]);
  const start = performance.now();
  const { size } = await archive.exportFiles('plain:1');
  const time = performance.now() - start;
  if (size < 1e6) throw new Error('no files');
  await archive.close();
  return time;
}
