// Verifying in Chromium, with one Worker and with two, and in Node, against programs that read the same bytes.
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { skopeo } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { makeArchive, makePacked } from './inputs.mjs';
import { inChromium } from './pages.mjs';
import { fastest, goal, ms, table } from './report.mjs';
import { BYTES, RUNS, WORK } from './settings.mjs';

export const peers = ['skopeo'];

export async function measure(context, directory) {
  const plain = await makeArchive(join(directory, 'plain.tar'), BYTES / 2);
  const { file: packed, layers } = await makePacked(directory, Math.min(6e8, BYTES / 4));
  const verify = (id, workers) =>
    inChromium({ plain, packed }, async (chromium) => {
      const results = [];
      for (let turn = 0; turn <= RUNS; turn += 1) results.push(await chromium.evaluate(verifyInPage, { id, workers }));
      // The first one starts the Workers.
      return { time: Math.min(...results.slice(1).map(({ time }) => time)), memory: Math.max(...results.map(({ memory }) => memory)) };
    });
  const work = (...args) => run(process.execPath, [WORK, ...args]);
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
  const one = await verify('plain', 1);
  const two = await verify('plain', 2);
  const both = await verify('packed', 2);
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
