// `npm run bench`: Longshore beside the programs that do the same, in one run, as a Markdown table.
//
// BENCH_BYTES (4 GiB), BENCH_RUNS (4) and BENCH_DIR (the system's temporary directory; it needs six times BENCH_BYTES) may be
// set. How it is measured:
// - The contenders take turns. Of whole processes the fastest run counts: a virtual machine takes up to three times as long
//   to fill memory that it has to ask its host for, which hits every program in some of its runs. In the browser, where
//   little memory is filled, the median counts.
// - The input is read once before, so that it comes from the page cache for all. Before each run the last one's output is
//   removed and `sync` waits for the disk, so that nobody pays for another's writes. No run waits for the disk at its end.
// - Times are of whole processes, start to exit; in the browser, of calls in a page that has opened one archive before.
import { readFileSync } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { cpus, release, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { skipUnless, skopeo, skopeoNames } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { temporary } from '../support/temp.mjs';
import { serve } from '../../web/serve.mjs';

const BYTES = Number(process.env.BENCH_BYTES ?? 2 ** 32);
const RUNS = Number(process.env.BENCH_RUNS ?? 4);
const PARENT = process.env.BENCH_DIR ?? tmpdir();
const SMALL = Math.min(40e6, BYTES / 100);
/** Calls in a browser take milliseconds: the median of a few would be noise. */
const BROWSER_RUNS = 5 * RUNS;
// 7 layers make an archive of 31 members; the first layer is a small one.
const LAYERS = 7;

const SOURCE = 'big:1';
const TARGET = 'registry.local/team/big:1';
const root = fileURLToPath(new URL('../..', import.meta.url));

const absent = skipUnless('dockerd', 'skopeo');
if (absent) throw new Error(absent);

// What has to be undone at the end, last first; also when something fails.
const ends = [];
const context = { after: (end) => ends.unshift(end) };
try {
  await main();
} finally {
  for (const end of ends) await end();
}

async function main() {
  const directory = await temporary(context, PARENT);
  const large = await makeArchive(join(directory, 'large.tar'), BYTES);
  const small = await makeArchive(join(directory, 'small.tar'), SMALL);
  await run('cksum', [large, small]);

  console.log(await machine());
  const size = (await stat(large)).size;
  console.log(`Archive: ${size} bytes; the small one: ${(await stat(small)).size}. Runs: ${RUNS}.\n`);
  await browser(large, small);
  await processes(directory, large);
  console.log(await run('cargo', ['xtask', 'sizes'], { cwd: root }));
}

async function makeArchive(file, bytes) {
  const size = Math.floor(bytes / (LAYERS - 1));
  const args = ['docker-legacy', '--layers', `${LAYERS}`, '--size', `${size}`, '--name', SOURCE, file];
  await fixtures(args, { release: true });
  return file;
}

/** Opening, tagging and saving in Chromium. */
async function browser(large, small) {
  const page = '<!doctype html><link rel="icon" href="data:,"><input type="file" id="large"><input type="file" id="small">';
  const server = await serve({ policy: '', pages: { '/bench.html': page } });
  context.after(server.close);
  const measured = await withPage('chromium', server.origin, async (chromium) => {
    await chromium.goto('/bench.html');
    await chromium.setFiles('#large', large);
    await chromium.setFiles('#small', small);
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
async function processes(directory, large) {
  const engine = await startDocker(context, { parent: PARENT });
  const output = join(directory, 'output.tar');
  const node = (...args) => run(process.execPath, [join(root, 'tests/bench/retag.mjs'), large, SOURCE, TARGET, ...args]);
  let told;
  const contenders = {
    cp: () => run('cp', [large, output]),
    longshore: async () => {
      told = JSON.parse(await node(output));
    },
    edit: () => node(),
    skopeo: () => skopeo('copy', '--quiet', `docker-archive:${large}`, `docker-archive:${output}:${TARGET}`),
    engine: async () => {
      await engine.docker('load', '--quiet', '--input', large);
      await engine.docker('tag', SOURCE, TARGET);
      await engine.docker('save', '--output', output, SOURCE, TARGET);
    },
  };
  const times = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let turn = 0; turn < RUNS; turn += 1) {
    const order = Object.entries(contenders);
    // Each turn begins with another one.
    order.push(...order.splice(0, turn % order.length));
    for (const [name, work] of order) {
      await rm(output, { force: true });
      await engine.empty();
      await run('sync', []);
      const start = performance.now();
      await work();
      times[name].push(performance.now() - start);
      if (name !== 'cp' && name !== 'edit') await check(name, output);
    }
  }
  const time = Object.fromEntries(Object.entries(times).map(([name, list]) => [name, Math.min(...list)]));
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

/** A contender that does not do the work is not one. */
async function check(name, output) {
  const names = await skopeoNames(output);
  if (!names.includes(TARGET)) throw new Error(`${name} wrote ${names}`);
}

async function machine() {
  const processor = readFileSync('/proc/cpuinfo', 'utf8').match(/model name\s*: (.*)/)?.[1] ?? cpus()[0].model;
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  const versions = [
    `Node ${process.versions.node}`,
    (await skopeo('--version')).trim(),
    (await run('dockerd', ['--version'])).trim().split(',')[0].replace('Docker version', 'Docker Engine'),
    (await run('chromium', ['--version'])).trim().split(' built')[0],
  ];
  return `${processor}, ${cpus().length} cores, ${memory} GiB, Linux ${release()}; ${versions.join('; ')}.\n`;
}

function median(list) {
  const sorted = list.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function ms(time) {
  return time < 1000 ? `${time.toFixed(1)} ms` : `${(time / 1000).toFixed(2)} s`;
}

function goal(text, met) {
  return `${text}: ${met ? 'met' : '**missed**'}`;
}

function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n') + '\n');
}
