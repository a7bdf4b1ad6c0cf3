// A store: an archive loaded, and an image saved again.
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { startDocker } from '../support/engine.mjs';
import { run } from '../support/run.mjs';
import { SOURCE, makeArchive } from './inputs.mjs';
import { inChromium } from './pages.mjs';
import { ms, table } from './report.mjs';
import { BYTES, PARENT, RUNS } from './settings.mjs';

export const peers = ['dockerd'];

/** Loading into a store and saving from it, in Chromium and in Node, beside the real engine and a copy. */
export async function measure(context, directory) {
  const file = await makeArchive(join(directory, 'store.tar'), BYTES / 4);
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
    await inChromium({ file }, async (chromium) => {
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
