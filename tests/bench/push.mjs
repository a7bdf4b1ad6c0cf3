// Pushing an archive whose layers are not compressed: `longshore push` beside `skopeo copy` and `docker push`.
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startDocker } from '../support/engine.mjs';
import { skopeo } from '../support/peers.mjs';
import { startRegistry } from '../support/registry.mjs';
import { run } from '../support/run.mjs';
import { makeArchive } from './inputs.mjs';
import { fastest, ms, table } from './report.mjs';
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
  const time = await fastest(
    {
      longshore: () => run(process.execPath, [CLI, 'push', archive, 'big:1', `${host}/big:1`]),
      skopeo: () => skopeo('copy', '--quiet', '--dest-tls-verify=false', `docker-archive:${archive}`, destination()),
      docker: async () => {
        await engine.docker('tag', 'big:1', `${host}/big:1`);
        await engine.docker('push', '--quiet', `${host}/big:1`);
      },
    },
    RUNS,
    async () => {
      await end();
      ends = [];
      ({ host } = await startRegistry({ after: (one) => ends.unshift(one) }));
      await run('sync', []);
    },
  );
  // The last one of them really did.
  const { Layers } = JSON.parse(await skopeo('inspect', '--tls-verify=false', destination()));
  if (Layers.length !== LAYERS) throw new Error('this is not what was pushed');
  const row = (what, own) => [what, ms(own), `${(bytes / 1e3 / own).toFixed(0)} MB/s`, (own / time.skopeo).toFixed(2)];
  table(
    [`push: ${bytes} bytes, layers not compressed`, 'time', 'of what they hold', 'time ÷ skopeo'],
    [row('`skopeo copy`', time.skopeo), row('`docker push`, the image loaded before', time.docker), row('`longshore push`', time.longshore)],
  );
}
