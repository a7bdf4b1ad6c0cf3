// Pushing an archive whose layers are not compressed: `longshore push` and a page beside `skopeo copy` and `docker push`; and
// pushing it once more.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { skopeo } from '../support/peers.mjs';
import { startRegistry } from '../support/registry.mjs';
import { run } from '../support/run.mjs';
import { serve } from '../../web/serve.mjs';
import { makeArchive } from './inputs.mjs';
import { fastest, goal, ms, table } from './report.mjs';
import { BYTES, PARENT, RUNS } from './settings.mjs';

// The first layer is a small one.
const LAYERS = 5;
const CLI = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

export const peers = ['dockerd', 'skopeo', 'docker-registry'];

/**
 * Times whole processes, taking turns, each against an empty registry on this machine; prints a table. All of them compress:
 * what a registry is given is gzip.
 */
export async function measure(context, directory) {
  const bytes = BYTES / 4;
  const archive = await makeArchive(join(directory, 'push.tar'), bytes, LAYERS);
  const engine = await startDocker(context, { parent: PARENT });
  await engine.docker('load', '--input', archive);
  const destination = () => `docker://${host}/big:1`;
  let host;
  let ends = [];
  const end = async () => {
    for (const one of ends.splice(0)) await one();
  };
  context.after(end);
  const page = '<!doctype html><link rel="icon" href="data:,"><input type="file" id="file">';
  const server = await serve({ policy: '', pages: { '/bench.html': page } });
  context.after(server.close);
  const { openStore } = await import('../../dist/lib/node.js');
  const store = await openStore(join(directory, 'push-store'));
  context.after(() => store.close());
  await store.load(archive);
  const again = { store: [], chromium: [] };
  const time = await fastest(
    {
      longshore: () => run(process.execPath, [CLI, 'push', archive, 'big:1', `${host}/big:1`]),
      skopeo: () => skopeo('copy', '--quiet', '--dest-tls-verify=false', `docker-archive:${archive}`, destination()),
      docker: async () => {
        await engine.docker('tag', 'big:1', `${host}/big:1`);
        await engine.docker('push', '--quiet', `${host}/big:1`);
      },
      store: async () => {
        const { first, second } = await twice(() => store.push('big:1', { to: `${host}/big:1` }));
        again.store.push(second);
        return first;
      },
      chromium: async () => {
        // Not a window of which the browser keeps nothing: there, what is packed stays in memory.
        const profile = join(directory, 'push-profile');
        const { first, second } = await withPage('chromium', server.origin, async (page) => {
          await page.goto('/bench.html');
          await page.setFiles('#file', archive);
          return page.evaluate(twiceInPage, `${host}/big:1`);
        }, { profile, expectErrors: true });
        await rm(profile, { recursive: true, force: true, maxRetries: 5 });
        again.chromium.push(second);
        return first;
      },
    },
    RUNS,
    async () => {
      await end();
      ends = [];
      ({ host } = await startRegistry({ after: (one) => ends.unshift(one) }, { cors: true }));
      await run('sync', []);
    },
  );
  // The last one of them really did.
  const { Layers } = JSON.parse(await skopeo('inspect', '--tls-verify=false', destination()));
  if (Layers.length !== LAYERS) throw new Error('this is not what was pushed');
  const row = (what, own, most) => {
    const ratio = own / time.skopeo;
    return [what, ms(own), `${(bytes / 1e3 / own).toFixed(0)} MB/s`, ratio.toFixed(2), most ? goal(`≤ ${most}`, ratio <= most) : ''];
  };
  const second = (what, list) => [what, ms(Math.min(...list)), '', '', goal('< 1 s', Math.min(...list) < 1000)];
  table(
    [`push: ${bytes} bytes, layers not compressed`, 'time', 'of what they hold', 'time ÷ skopeo', 'goal'],
    [
      row('`skopeo copy`', time.skopeo),
      row('`docker push`, the image loaded before', time.docker),
      row('`longshore push`', time.longshore, 1.2),
      row('a store in Node', time.store),
      row('an archive in Chromium', time.chromium, 2),
      second('the same from the store once more', again.store),
      second('the same in Chromium once more', again.chromium),
    ],
  );
}

/** How long a push takes, and the next one. */
async function twice(push) {
  const times = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const start = performance.now();
    await push();
    times.push(performance.now() - start);
  }
  return { first: times[0], second: times[1] };
}

/** Runs in the page. */
async function twiceInPage(to) {
  const { openArchive } = await import('/lib/index.js');
  const archive = await openArchive(document.getElementById('file').files[0]);
  const times = [];
  for (let turn = 0; turn < 2; turn += 1) {
    const start = performance.now();
    await archive.push('big:1', { to });
    times.push(performance.now() - start);
  }
  return { first: times[0], second: times[1] };
}
