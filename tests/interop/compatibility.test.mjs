// What is predicted of odd archives, against the programs that it is predicted of: the same verdict, and where an image
// loads, the same IDs and names.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { fixtures, predictions } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { has, skipUnless, skopeo, startPodman } from '../support/peers.mjs';
import { lasting, temporary } from '../support/temp.mjs';

// Docker leaves gzip to unpigz, which lets pass what follows the data. Without it, Docker refuses that.
const BY_UNPIGZ = ['archive-gzip-junk', 'layers-gzip-junk', 'layers-gzip-zeros', 'oci-gzip-zeros'];

// What Docker's engine lets its containerd do, and nerdctl, but not `ctr` of containerd 1.6. Of two images with one name it may
// have collected the first by the time that it unpacks it. Links that lead to links it follows in an order that Go leaves to chance.
const NOT_BY_CTR = [
  'two-same-tag',
  'layer-symlink-chain',
  'arch-arm64',
  'config-no-platform',
  'os-plan9',
  'os-windows',
  'tag-ipv6',
  'tag-long',
  'tag-upper-registry',
];

// With overlay file systems, which Docker and podman use where they can, a layer is unpacked by itself.
const BY_OVERLAY = ['layer-label-dot', 'layer-link-lower', 'layer-hides-own', 'layer-hides-below', 'layer-hides-bare', 'layer-hides-above'];

// The readers have nothing in common, and each waits half of the time.
describe('compatibility', { skip: skipUnless('dockerd', 'podman', 'skopeo'), concurrency: true }, () => {
  const context = lasting();
  let variants;
  const files = {};
  let predicted;
  let engine;

  before(async () => {
    const directory = await temporary(context);
    await fixtures(['variants', directory]);
    variants = JSON.parse(await readFile(join(directory, 'variants.json'), 'utf8'));
    for (const { name } of variants) files[name] = join(directory, `${name}.tar`);
    predicted = await allPredicted(Object.values(files));
    engine = await startDocker(context);
  });

  /**
   * Has a reader load every variant. `load` resolves to what it then has, as lines of text; `lines` says the same of what
   * was predicted.
   */
  async function compare(reader, load, lines, skipped = []) {
    const wrong = [];
    let compared = 0;
    for (const { name, row, expected } of variants.filter(({ name }) => !skipped.includes(name))) {
      const prediction = predicted[files[name]].find((one) => one.reader === reader);
      const { found, failure } = await load(files[name]).then((found) => ({ found }), (failure) => ({ failure }));
      const told = prediction.verdict === 'loads' ? lines(prediction.images).sort() : undefined;
      try {
        // Where the ID could not be predicted, the name has to do.
        const hasIds = prediction.images.every(({ id }) => id);
        assert.deepEqual(hasIds ? found?.sort() : found?.map((line) => line.split(' ')[0]).sort(), told);
        if (expected[reader]) assert.equal(Boolean(found), expected[reader] === 'accepts');
      } catch (difference) {
        const why = [prediction.reason, failure?.message, difference.message];
        wrong.push(`${name} (${row}):\n${why.filter(Boolean).join('\n')}`);
      }
      compared += 1;
    }
    assert.equal(wrong.length, 0, `${wrong.length} of ${compared} differ\n\n${wrong.join('\n\n')}`);
    assert.ok(compared > 100, `${compared} archives`);
    return `${compared} archives`;
  }

  it('docker load', async (t) => {
    const load = async (file) => {
      // What came before a failure stays: it must not be there when the next archive is looked at.
      await engine.empty();
      await engine.docker('load', '--input', file);
      return Object.entries(await engine.images()).map(([name, id]) => `${name} ${id}`);
    };
    const driver = (await engine.docker('info', '--format', '{{.Driver}}')).trim();
    t.diagnostic(await compare('docker-24', load, listed, [...(has('unpigz') ? [] : BY_UNPIGZ), ...(driver === 'overlay2' ? [] : BY_OVERLAY)]));
  });

  it('podman load', async (t) => {
    const podman = await startPodman(context, ['overlay', 'vfs']);
    const driver = (await podman('info', '--format', '{{.Store.GraphDriverName}}')).trim();
    const load = async (file) => {
      await podman('rmi', '--all', '--force');
      await podman('load', '--quiet', '--input', file);
      const images = await podman('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}');
      return images.trim().split('\n').filter(Boolean);
    };
    t.diagnostic(await compare('podman', load, listed, driver === 'overlay' ? [] : BY_OVERLAY));
  });

  // It unpacks what it imports, and says where that fails. Names it has by rules of its own.
  it('ctr images import', { skip: skipUnless('ctr') }, async (t) => {
    const load = async (file) => {
      const names = (await engine.ctr('images', 'list', '--quiet')).split('\n').filter(Boolean);
      if (names.length > 0) await engine.ctr('images', 'remove', '--sync', ...names);
      await engine.ctr('images', 'import', file);
      return [];
    };
    const packed = variants.filter(({ outer }) => outer.length > 0).map(({ name }) => name);
    t.diagnostic(await compare('containerd', load, () => [], [...NOT_BY_CTR, ...packed, ...(has('unpigz') ? [] : BY_UNPIGZ)]));
  });

  it('skopeo copy', async (t) => {
    const load = async (file) => {
      const to = await temporary(context);
      const transport = basename(file).startsWith('oci-') ? 'oci-archive' : 'docker-archive';
      await skopeo('copy', '--quiet', `${transport}:${file}`, `dir:${to}`);
      return [JSON.parse(await readFile(join(to, 'manifest.json'), 'utf8')).config.digest];
    };
    t.diagnostic(await compare('skopeo', load, (images) => images.map(({ id }) => id)));
  });
});

/** What the package predicts of files once they were verified, and what the core does where the package opens none. */
async function allPredicted(files) {
  const { openArchive } = await longshore();
  const predicted = {};
  for (const file of files) {
    const archive = await openArchive(file).catch(() => undefined);
    if (!archive) continue;
    await archive.verify();
    predicted[file] = await archive.compatibility();
    await archive.close();
  }
  return { ...(await predictions(files.filter((file) => !(file in predicted)))), ...predicted };
}

/** Images as their lists print them. A name with a digest is not listed. */
function listed(images) {
  return images.flatMap(({ id, names }) => {
    const tags = names.filter((name) => !name.includes('@'));
    return (tags.length > 0 ? tags : ['<none>:<none>']).map((name) => (id ? `${name} ${id}` : name));
  });
}
