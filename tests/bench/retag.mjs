// Opening, tagging and saving: in Chromium, where the archive's size must not matter, and by whole processes to disk.
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startDocker } from '../support/engine.mjs';
import { skopeo, skopeoNames } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { SOURCE, makeArchive } from './inputs.mjs';
import { inChromium } from './pages.mjs';
import { fastest, goal, median, ms, table } from './report.mjs';
import { BYTES, PARENT, RUNS, WORK } from './settings.mjs';

export const peers = ['dockerd', 'skopeo'];

const SMALL = Math.min(40e6, BYTES / 100);
/** Calls in a browser take milliseconds: the median of a few would be noise. */
const BROWSER_RUNS = 5 * RUNS;
const TARGET = 'registry.local/team/big:1';

export async function measure(context, directory) {
  const large = await makeArchive(join(directory, 'large.tar'), BYTES);
  const small = await makeArchive(join(directory, 'small.tar'), SMALL);
  const [{ size }, { size: sizeOfSmall }] = [await stat(large), await stat(small)];
  console.log(`Archive: ${size} bytes; the small one: ${sizeOfSmall}.\n`);
  await browser(large, small);
  await processes(context, directory, large);
}

/** Opening, tagging and saving in Chromium. */
async function browser(large, small) {
  const measured = await inChromium({ large, small }, async (chromium) => {
    const results = { small: [], large: [] };
    await chromium.evaluate(retagInPage, { id: 'small', source: SOURCE, target: TARGET });
    for (let turn = 0; turn < BROWSER_RUNS; turn += 1) {
      for (const id of ['small', 'large']) {
        results[id].push(await chromium.evaluate(retagInPage, { id, source: SOURCE, target: TARGET }));
      }
    }
    return results;
  });
  const time = (id, key) => median(measured[id].map((result) => result[key]));
  const last = measured.large.at(-1);
  if (!last.renamed || last.size < BYTES) throw new Error('the Blob is not the retagged archive');
  const row = (what, key) => {
    const ratio = time('large', key) / time('small', key);
    return [what, ms(time('small', key)), ms(time('large', key)), ratio.toFixed(2), goal('≤ 1.3', ratio <= 1.3)];
  };
  table(
    ['Chromium', 'small', 'large', 'ratio', 'goal'],
    [
      row('open: file → list of images', 'opened'),
      row('open, tag, save to a Blob', 'saved'),
      ['bytes read', measured.small.at(-1).reads.bytes, last.reads.bytes, '', goal('< 2 MB', last.reads.bytes < 2e6)],
      ['reads', measured.small.at(-1).reads.count, last.reads.count, '', ''],
      ['wasm memory', '', last.memory, '', goal('< 64 MB', last.memory < 64e6)],
    ],
  );
}

/** Runs in the page. */
async function retagInPage({ id, source, target }) {
  const { memoryUsed, openArchive } = await import('/lib/index.js');
  const file = document.getElementById(id).files[0];
  const start = performance.now();
  const archive = await openArchive(file);
  if (archive.images.length !== 1) throw new Error('no image');
  const opened = performance.now() - start;
  await archive.tag(source, target);
  const { blob } = await archive.save();
  const saved = performance.now() - start;
  const result = { opened, saved, size: blob.size, reads: archive.reads, memory: await memoryUsed() };
  // The names are in the last members.
  result.renamed = (await blob.slice(-20_000).text()).includes(target);
  await archive.close();
  return result;
}

/** The same work by whole processes, the result on disk. */
async function processes(context, directory, large) {
  const engine = await startDocker(context, { parent: PARENT });
  const output = join(directory, 'output.tar');
  const node = (...args) => run(process.execPath, [WORK, 'retag', large, SOURCE, TARGET, ...args]);
  const check = async () => {
    const names = await skopeoNames(output);
    if (!names.includes(TARGET)) throw new Error(`this is no retagged archive: ${names}`);
  };
  let told;
  const contenders = {
    cp: () => run('cp', [large, output]),
    longshore: timed(async () => {
      told = JSON.parse(await node(output));
    }, check),
    edit: () => node(),
    skopeo: timed(() => skopeo('copy', '--quiet', `docker-archive:${large}`, `docker-archive:${output}:${TARGET}`), check),
    engine: timed(async () => {
      await engine.docker('load', '--quiet', '--input', large);
      await engine.docker('tag', SOURCE, TARGET);
      await engine.docker('save', '--output', output, SOURCE, TARGET);
    }, check),
  };
  const time = await fastest(contenders, RUNS, async () => {
    await rm(output, { force: true });
    await engine.empty();
    await run('sync', []);
  });
  const rows = [
    ['`cp A B`', 'cp', ''],
    ['Longshore in Node, A → B', 'longshore', '≤ 1.15 × cp', time.longshore / time.cp <= 1.15],
    ['`skopeo copy docker-archive:A docker-archive:B:NAME`', 'skopeo', '≥ 5 × Longshore', time.skopeo / time.longshore >= 5],
    ['`docker load && docker tag && docker save`', 'engine', '≥ 10 × Longshore', time.engine / time.longshore >= 10],
    ['Longshore in Node, the edit alone', 'edit', 'skopeo ≥ 100 ×', time.skopeo / time.edit >= 100],
  ];
  const line = ([what, name, aim, met]) => [
    what,
    ms(time[name]),
    (time[name] / time.cp).toFixed(3),
    (time[name] / time.longshore).toFixed(3),
    (time[name] / time.edit).toFixed(1),
    aim && goal(aim, met),
  ];
  table(['whole process', 'time', '÷ cp', '÷ Longshore', '÷ edit alone', 'goal'], rows.map(line));
  console.log(`Longshore in Node read ${told.reads.bytes} bytes to edit; peak resident memory ${told.rss} bytes.\n`);
}

/** Work that is timed by itself, and then checked: a contender that does not do it is not one. */
function timed(work, check) {
  return async () => {
    const start = performance.now();
    await work();
    const time = performance.now() - start;
    await check?.();
    return time;
  };
}
