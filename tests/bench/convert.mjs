// docker to OCI and back, layers as they are, by whole processes to disk.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { skopeo } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { SOURCE, makeArchive } from './inputs.mjs';
import { fastest, goal, ms, table } from './report.mjs';
import { BYTES, RUNS, WORK } from './settings.mjs';

export const peers = ['skopeo'];

export async function measure(context, directory) {
  const large = await makeArchive(join(directory, 'large.tar'), BYTES);
  const layout = join(directory, 'layout.tar');
  const output = join(directory, 'converted.tar');
  const work = (format, from) => run(process.execPath, [WORK, 'save', from, format, output]);
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
      await run(process.execPath, [WORK, 'save', large, 'oci', layout]);
    }
  }
  await rm(output, { force: true });
  await rm(layout, { force: true });
  table(['convert to disk, layers as they are', 'Longshore in Node', '`skopeo copy`', 'skopeo ÷ Longshore', 'goal'], rows);
}
