// `npm run bench`: Longshore beside the programs that do the same, in one run, as Markdown tables. `npm run bench -- PART...`
// runs only some of its parts: retag, convert, verify, push, store.
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
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
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
import { pushing } from './push.mjs';
import { fastest, goal, median, ms, table } from './report.mjs';

const BYTES = Number(process.env.BENCH_BYTES ?? 2 ** 32);
const RUNS = Number(process.env.BENCH_RUNS ?? 4);
const PARENT = process.env.BENCH_DIR ?? tmpdir();
const SMALL = Math.min(40e6, BYTES / 100);
/** Calls in a browser take milliseconds: the median of a few would be noise. */
const BROWSER_RUNS = 5 * RUNS;
/** What the layers with programs in them hold, before they are compressed. */
const PACKED = Math.min(6e8, BYTES / 4);
/** Which parts are to run. */
const wanted = (part) => process.argv.length < 3 || process.argv.slice(2).includes(part);
// 7 layers make an archive of 31 members; the first layer is a small one.
const LAYERS = 7;

const SOURCE = 'big:1';
const TARGET = 'registry.local/team/big:1';
const root = fileURLToPath(new URL('../..', import.meta.url));

const absent = skipUnless('dockerd', 'skopeo', 'docker-registry');
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
  if (wanted('retag')) {
    await browser(large, small);
    await processes(directory, large);
  }
  if (wanted('convert')) await converting(directory, large);
  await rm(large);
  if (wanted('store')) await storing(directory, await makeArchive(join(directory, 'store.tar'), BYTES / 4));
  if (wanted('verify')) {
    const plain = await makeArchive(join(directory, 'plain.tar'), BYTES / 2);
    const { file, layers } = await makePacked(directory);
    await run('cksum', [plain, file, ...layers]);
    await verifying(directory, plain, file, layers);
  }
  if (wanted('push')) await pushing(context, { directory, parent: PARENT, bytes: BYTES / 4, runs: RUNS });
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

/** Loading into a store and saving from it, in Chromium and in Node, beside the real engine and a copy. */
async function storing(directory, file) {
  await run('cksum', [file]);
  const page = '<!doctype html><link rel="icon" href="data:,"><input type="file" id="file">';
  const server = await serve({ policy: '', pages: { '/bench.html': page } });
  context.after(server.close);
  const engine = await startDocker(context, { parent: PARENT });
  const { openStore } = await import('../../dist/lib/node.js');
  const times = { cp: [], docker: [], node: [], chromium: [], chromiumSave: [], nodeSave: [] };
  const copy = join(directory, 'copy');
  const clock = async (name, work) => {
    await run('sync', []);
    const start = performance.now();
    const told = await work();
    times[name].push(performance.now() - start);
    return told;
  };
  for (let turn = 0; turn < RUNS; turn += 1) {
    await clock('cp', () => run('cp', [file, copy]));
    await rm(copy);
    await clock('docker', () => engine.docker('load', '--quiet', '--input', file));
    await engine.empty();
    const store = await openStore(copy);
    await clock('node', () => store.load(file));
    await clock('nodeSave', async () => {
      const saved = await store.save([SOURCE]);
      await saved.release();
    });
    await store.close();
    await rm(copy, { recursive: true });
    // Not a window of which the browser keeps nothing: there it would copy nothing either.
    const profile = join(directory, 'profile');
    await withPage('chromium', server.origin, async (chromium) => {
      await chromium.goto('/bench.html');
      await chromium.setFiles('#file', file);
      await run('sync', []);
      const { load, save } = await chromium.evaluate(storeInPage, SOURCE);
      times.chromium.push(load);
      times.chromiumSave.push(save);
    }, { profile });
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
  const best = (name) => Math.min(...times[name]);
  const row = (what, name) => [what, ms(best(name)), (best(name) / best('cp')).toFixed(2), (best(name) / best('docker')).toFixed(2)];
  table(
    [`a store, ${(await stat(file)).size} bytes`, 'time', '÷ cp', '÷ docker load'],
    [
      row('`cp A B`', 'cp'),
      row('`docker load`', 'docker'),
      row('Longshore in Node: load', 'node'),
      row('Longshore in Chromium: load', 'chromium'),
      row('Longshore in Node: save, until it can be written', 'nodeSave'),
      row('Longshore in Chromium: save, until the Blob is there', 'chromiumSave'),
    ],
  );
}

/** Runs in the page. */
async function storeInPage(name) {
  const { openStore } = await import('/lib/index.js');
  const store = await openStore();
  const file = document.getElementById('file').files[0];
  const start = performance.now();
  await store.load(file);
  const load = performance.now() - start;
  const { blob } = await store.save([name]);
  const save = performance.now() - start - load;
  if (blob.size < file.size * 0.99) throw new Error('the Blob is not the image');
  await store.close();
  return { load, save };
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

/** Verifying in Chromium, with one Worker and with all, against `sha256sum` of the same bytes. */
async function verifying(directory, plain, packed, layers) {
  const page = '<!doctype html><link rel="icon" href="data:,"><input type="file" id="plain"><input type="file" id="packed">';
  const server = await serve({ policy: '', pages: { '/bench.html': page } });
  context.after(server.close);
  const inChromium = async (id, workers) =>
    withPage('chromium', server.origin, async (chromium) => {
      await chromium.goto('/bench.html');
      await chromium.setFiles('#plain', plain);
      await chromium.setFiles('#packed', packed);
      const results = [];
      for (let turn = 0; turn <= RUNS; turn += 1) results.push(await chromium.evaluate(verifyInPage, { id, workers }));
      // The first one starts the Workers.
      return { time: Math.min(...results.slice(1).map(({ time }) => time)), memory: Math.max(...results.map(({ memory }) => memory)) };
    });
  const work = (...args) => run(process.execPath, [join(root, 'tests/bench/work.mjs'), ...args]);
  const copy = join(directory, 'copy');
  const time = await fastest(
    {
      sum: () => run('sha256sum', [plain]),
      plain: () => work('verify', plain),
      gzip: () => run('sh', ['-c', 'gzip -dc "$@" | sha256sum', 'sh', ...layers]),
      skopeo: () => skopeo('copy', '--quiet', `oci-archive:${packed}`, `dir:${copy}`),
      packed: () => work('verify', packed),
    },
    RUNS,
    () => rm(copy, { recursive: true, force: true }),
  );
  const one = await inChromium('plain', 1);
  const two = await inChromium('plain', 2);
  const both = await inChromium('packed', 2);
  const peak = Math.max(one.memory, two.memory, both.memory);
  const { size: plainSize } = await stat(plain);
  const { size: packedSize } = await stat(packed);
  table(
    [`verify: ${plainSize} bytes, layers not compressed`, 'time', 'speed ÷ sha256sum', 'goal'],
    [
      ['`sha256sum`', ms(time.sum), '1.00', ''],
      ['Longshore in Node', ms(time.plain), (time.sum / time.plain).toFixed(2), ''],
      ['Longshore in Chromium, one Worker', ms(one.time), (time.sum / one.time).toFixed(2), goal('≥ 0.9', time.sum / one.time >= 0.9)],
      ['Longshore in Chromium, two Workers', ms(two.time), (time.sum / two.time).toFixed(2), goal('> 1', time.sum / two.time > 1)],
    ],
  );
  const best = Math.min(time.gzip, time.skopeo);
  table(
    [`verify: ${packedSize} bytes, an OCI archive with gzip layers`, 'time', 'time ÷ the faster of the first two', 'goal'],
    [
      ['`gzip -dc LAYERS \\| sha256sum`', ms(time.gzip), (time.gzip / best).toFixed(2), ''],
      ['`skopeo copy oci-archive: dir:`', ms(time.skopeo), (time.skopeo / best).toFixed(2), ''],
      ['Longshore in Node', ms(time.packed), (time.packed / best).toFixed(2), goal('≤ 1', time.packed <= best)],
      ['Longshore in Chromium, two Workers', ms(both.time), (both.time / best).toFixed(2), goal('≤ 1.3', both.time / best <= 1.3)],
    ],
  );
  console.log(`Peak wasm memory of one module in these rows: ${peak} bytes (${goal('< 64 MB', peak < 64e6)}).\n`);
}

/** Runs in the page. */
async function verifyInPage({ id, workers }) {
  Object.defineProperty(navigator, 'hardwareConcurrency', { value: workers, configurable: true });
  const { memoryUsed, openArchive } = await import('/lib/index.js');
  const archive = await openArchive(document.getElementById(id).files[0]);
  const start = performance.now();
  const { verdict } = await archive.verify();
  const time = performance.now() - start;
  if (verdict !== 'intact') throw new Error(`the archive is ${verdict}`);
  const memory = await memoryUsed();
  await archive.close();
  return { time, memory };
}

/** docker to OCI and back, layers as they are, by whole processes to disk. */
async function converting(directory, large) {
  const layout = join(directory, 'layout.tar');
  const output = join(directory, 'converted.tar');
  const work = (format, from) => run(process.execPath, [join(root, 'tests/bench/work.mjs'), 'save', format, from, output]);
  const rows = [];
  for (const [what, from, to] of [
    ['docker → OCI', large, 'oci'],
    ['OCI → docker', layout, 'docker'],
  ]) {
    const source = to === 'oci' ? `docker-archive:${large}` : `oci-archive:${layout}`;
    const target = to === 'oci' ? `oci-archive:${output}` : `docker-archive:${output}:${SOURCE}`;
    const time = await fastest(
      {
        longshore: () => work(to, from),
        skopeo: () => skopeo('copy', '--quiet', ...(to === 'oci' ? ['--dest-oci-accept-uncompressed-layers'] : []), source, target),
      },
      Math.max(2, RUNS / 2),
      async () => {
        await rm(output, { force: true });
        await run('sync', []);
      },
    );
    const ratio = time.skopeo / time.longshore;
    rows.push([what, ms(time.longshore), ms(time.skopeo), ratio.toFixed(2), goal('≥ 3', ratio >= 3)]);
    if (to === 'oci') {
      await rm(output, { force: true });
      await run(process.execPath, [join(root, 'tests/bench/work.mjs'), 'save', 'oci', large, layout]);
    }
  }
  await rm(output, { force: true });
  await rm(layout, { force: true });
  table(['convert to disk, layers as they are', 'Longshore in Node', '`skopeo copy`', 'skopeo ÷ Longshore', 'goal'], rows);
}

/** An archive of an image whose layers hold this machine's own programs, as OCI with gzip; and those layers as files. */
async function makePacked(directory) {
  const found = (await run('find', ['/usr/lib', '/usr/bin', '-xdev', '-type', 'f', '-size', '+256k', '-printf', '%s %p\n'])).trim().split('\n');
  const files = found.map((line) => line.split(' ')).filter(([, path]) => path).sort(([, a], [, b]) => (a < b ? -1 : 1));
  const chosen = [];
  let bytes = 0;
  for (const [size, path] of files) {
    if (bytes > PACKED) break;
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
  return { file, layers };
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
