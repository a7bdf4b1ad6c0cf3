// Verifying in Chromium, with one Worker and with two, and in Node, against programs that read the same bytes.
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { skopeo } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { makeArchive, makePacked } from './inputs.mjs';
import { inChromium, wasmMemory } from './pages.mjs';
import { fastest, goal, ms, table } from './report.mjs';
import { BYTES, RUNS, WORK } from './settings.mjs';

export const peers = ['skopeo'];

export async function measure(context, directory) {
  const plain = await makeArchive(join(directory, 'plain.tar'), BYTES / 2);
  const { file: packed, layers } = await makePacked(directory, Math.min(6e8, BYTES / 4));
  const files = { plain, packed };
  // A page for each number of Workers, which are started by its first call.
  await inChromium(files, (one) => inChromium(files, (two) => verifying(directory, one, two, files, layers)));
}

/** Everything takes turns: whole processes, and calls in the pages. */
async function verifying(directory, one, two, { plain, packed }, layers) {
  const work = (...args) => run(process.execPath, [WORK, ...args]);
  let memory = 0;
  const inPage = async (page, id, workers) => {
    const time = await page.evaluate(verifyInPage, { id, workers });
    // Now: Workers that have nothing to do end soon.
    memory = Math.max(memory, await wasmMemory(page));
    return time;
  };
  const copy = join(directory, 'copy');
  for (const [page, workers] of [[one, 1], [two, 2]]) await inPage(page, 'packed', workers);
  const time = await fastest(
    {
      sum: () => run('sha256sum', [plain]),
      plain: () => work('verify', plain),
      one: () => inPage(one, 'plain', 1),
      two: () => inPage(two, 'plain', 2),
      gzip: () => run('sh', ['-c', 'gzip -dc "$@" | sha256sum', 'sh', ...layers]),
      skopeo: () => skopeo('copy', '--quiet', `oci-archive:${packed}`, `dir:${copy}`),
      packed: () => work('verify', packed),
      both: () => inPage(two, 'packed', 2),
    },
    RUNS,
    () => rm(copy, { recursive: true, force: true }),
  );
  const speed = (what, own, aim = () => '') => [what, ms(own), (time.sum / own).toFixed(2), aim(time.sum / own)];
  table(
    [`verify: ${(await stat(plain)).size} bytes, layers not compressed`, 'time', 'speed ÷ sha256sum', 'goal'],
    [
      speed('`sha256sum`', time.sum),
      speed('Longshore in Node', time.plain),
      speed('Longshore in Chromium, one Worker', time.one, (ratio) => goal('≥ 0.9', ratio >= 0.9)),
      speed('Longshore in Chromium, two Workers', time.two, (ratio) => goal('> 1', ratio > 1)),
    ],
  );
  const ratios = (own) => [time.gzip, time.skopeo].map((peer) => (own / peer).toFixed(2));
  const row = (what, own, most) => [what, ms(own), ...ratios(own), most ? goals(most, own / time.gzip, own / time.skopeo) : ''];
  const goals = (most, ...found) => ['gzip', 'skopeo'].map((peer, number) => goal(`≤ ${most} × ${peer}`, found[number] <= most)).join('; ');
  table(
    [`verify: ${(await stat(packed)).size} bytes, an OCI archive with gzip layers`, 'time', '÷ gzip', '÷ skopeo', 'goal'],
    [
      row('`gzip -dc LAYERS \\| sha256sum`', time.gzip),
      row('`skopeo copy oci-archive: dir:`', time.skopeo),
      row('Longshore in Node', time.packed, 1),
      row('Longshore in Chromium, two Workers', time.both, 1.3),
    ],
  );
  console.log(`Peak wasm memory of one module in these rows: ${memory} bytes (${goal('< 64 MB', memory < 64e6)}).\n`);
}

/** Runs in the page. */
async function verifyInPage({ id, workers }) {
  Object.defineProperty(navigator, 'hardwareConcurrency', { value: workers, configurable: true });
  const { openArchive } = await import('/lib/index.js');
  const archive = await openArchive(document.getElementById(id).files[0]);
  const start = performance.now();
  const { verdict } = await archive.verify();
  const time = performance.now() - start;
  if (verdict !== 'intact') throw new Error(`the archive is ${verdict}`);
  await archive.close();
  return time;
}
