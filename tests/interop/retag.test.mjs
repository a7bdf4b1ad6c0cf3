// An archive that Longshore retagged, in the hands of the programs that it is for: the engine loads and runs it, and
// skopeo and podman find the same names.
import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { fixtures, imageId, namesIn } from '../support/fixtures.mjs';
import { BUILT, makeArchives } from '../support/images.mjs';
import { longshore, rewrite } from '../support/longshore.mjs';
import { skipUnless, skopeo, skopeoNames, startPodman, staticBusybox, umoci } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';

// What is done to each archive of makeArchives, and the names that it shall then have, by image.
const CASES = [
  {
    title: 'docker save, one image: a second tag',
    archive: 'single',
    edit: (archive) => archive.tag('base:1', 'registry.local/team/base:1.0'),
    names: { base: ['base:1', 'registry.local/team/base:1.0'] },
  },
  {
    title: 'docker save, three tags: one goes, one comes',
    archive: 'tags',
    edit: async (archive) => {
      await archive.untag('mysql:5.5');
      await archive.tag('mysql', 'localhost:5000/mysql:lts');
    },
    names: { mysql: ['localhost:5000/mysql:lts', 'mysql:5.5.16', 'mysql:latest'] },
  },
  {
    title: 'docker save, three images that share layers: all move to another registry',
    archive: 'several',
    edit: (archive) =>
      archive.rename([
        { from: 'registry.local:5000/team', to: 'mirror.example/apps' },
        { from: 'docker.io/library', to: 'mirror.example' },
      ]),
    names: {
      base: ['mirror.example/base:1'],
      mysql: ['mirror.example/mysql:5.5', 'mirror.example/mysql:5.5.16', 'mirror.example/mysql:latest'],
      tool: ['mirror.example/apps/tool:1'],
    },
  },
  {
    title: 'docker save by ID: a first name',
    archive: 'untagged',
    edit: (archive) => archive.tag(archive.images[0].id, 'tool:1'),
    names: { tool: ['tool:1'] },
  },
  {
    title: 'skopeo, one name: another in its place',
    archive: 'skopeoSingle',
    edit: async (archive) => {
      await archive.tag('base:1', 'team/base:2');
      await archive.untag('base:1');
    },
    names: { base: ['team/base:2'] },
  },
  {
    title: 'skopeo, three tags: one goes, one comes',
    archive: 'skopeoTags',
    edit: async (archive) => {
      await archive.untag('mysql:latest');
      await archive.tag('mysql:5.5', 'registry.local:5000/db/mysql:5');
    },
    names: { mysql: ['mysql:5.5', 'mysql:5.5.16', 'registry.local:5000/db/mysql:5'] },
  },
];

/** Names by image to image IDs by name, as the engine lists them. */
function expectedImages(names, ids) {
  const pairs = Object.entries(names).flatMap(([image, list]) => list.map((name) => [name, ids[image]]));
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** podman completes short names with `localhost/`, skopeo writes them with Docker Hub's address. */
const familiar = (name) => name.replace(/^localhost\//, '').replace(/^docker\.io\/(library\/)?/, '');

async function podmanImages(t, file) {
  const podman = await startPodman(t);
  await podman('load', '--quiet', '--input', file);
  const lines = await podman('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}');
  const pairs = lines.trim().split('\n').map((line) => line.split(' '));
  return Object.fromEntries(pairs.map(([name, id]) => [familiar(name), id]).sort());
}

/** The ID of the image that skopeo finds under `source`. */
async function skopeoId(source) {
  return imageId(await skopeo('inspect', '--raw', '--config', source));
}

describe('retagged archives', { skip: skipUnless('dockerd', 'skopeo', 'podman', 'umoci', 'busybox') }, () => {
  const context = lasting();
  let engine;
  let directory;
  let made;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
    made = await makeArchives(engine, directory);
  });

  for (const { title, archive, edit, names } of CASES) {
    it(title, async (t) => {
      const output = join(await temporary(t), 'retagged.tar');
      await rewrite(made.files[archive], output, edit);
      const expected = expectedImages(names, made.ids);

      await engine.empty();
      await engine.docker('load', '--input', output);
      assert.deepEqual(await engine.images(), expected);
      for (const [image, list] of Object.entries(names)) {
        for (const name of list) assert.equal(await engine.run(name), BUILT[image].prints, name);
      }

      assert.deepEqual((await skopeoNames(output)).map(familiar).sort(), Object.keys(expected).sort());
      for (const name of await skopeoNames(output)) {
        assert.equal(await skopeoId(`docker-archive:${output}:${name}`), expected[familiar(name)], name);
      }
      assert.deepEqual(await podmanImages(t, output), expected);
    });
  }

  it('every name taken away: the engine loads the image without one', async (t) => {
    const output = join(await temporary(t), 'untagged.tar');
    await rewrite(made.files.single, output, (archive) => archive.untag('base:1'));
    await engine.empty();
    await engine.docker('load', '--input', output);
    assert.deepEqual(await engine.images(), { '<none>:<none>': made.ids.base });
    assert.equal(await engine.run(made.ids.base), BUILT.base.prints);
  });

  it('inspect says what docker image inspect says', async () => {
    const { openArchive } = await longshore();
    await engine.empty();
    await engine.docker('load', '--input', made.files.several);
    const archive = await openArchive(made.files.several);
    for (const [name] of Object.values(BUILT).map(({ names }) => names)) {
      const ours = await archive.inspect(name);
      const [dockers] = JSON.parse(await engine.docker('image', 'inspect', name));
      for (const key of ['Id', 'Comment', 'Created', 'Author', 'Config', 'Architecture', 'Os', 'RootFS']) {
        assert.deepEqual(ours[key], dockers[key], `${name}: ${key}`);
      }
      assert.deepEqual(ours.RepoTags.toSorted(), dockers.RepoTags.toSorted());
    }
    await archive.close();
  });

  it('no edit: the archive is the same to the byte', async (t) => {
    for (const [name, file] of Object.entries(made.files)) {
      const output = join(await temporary(t), 'same.tar');
      await rewrite(file, output, () => {});
      await assert.doesNotReject(run('cmp', [file, output]), name);
    }
  });

  it('undone edits: the archive is the same to the byte', async (t) => {
    const output = join(await temporary(t), 'same.tar');
    await rewrite(made.files.several, output, async (archive) => {
      await archive.tag('base:1', 'other:1');
      await archive.untag('mysql:5.5');
      await archive.undo();
      await archive.undo();
    });
    await assert.doesNotReject(run('cmp', [made.files.several, output]));
  });

  // Docker 25 and later write an OCI layout beside manifest.json. The engine here reads the one, umoci and skopeo's
  // oci-archive the other: they must tell the same.
  for (const kind of ['docker-hybrid', 'containerd', 'containerd-gzip']) {
    it(`${kind}: both indexes have the new names`, async (t) => {
      const folder = await temporary(t);
      const input = join(folder, 'input.tar');
      const output = join(folder, 'output.tar');
      const names = ['app:1', 'tool:2', 'app:latest', 'registry.local:5000/team/tool:3'];
      const file = ['--file', `bin/busybox=${staticBusybox()}`];
      await fixtures([kind, '--images', '2', ...file, ...names.flatMap((name) => ['--name', name]), input]);
      const before = await namesIn(input);
      await rewrite(input, output, async (archive) => {
        await archive.tag('app:1', 'mirror.example/app:stable');
        await archive.untag('app');
        await archive.untag('tool:2');
      });
      const app = before['app:1'];
      const tool = before['tool:2'];
      const expected = {
        'app:1': app,
        'mirror.example/app:stable': app,
        'registry.local:5000/team/tool:3': tool,
      };

      await engine.empty();
      await engine.docker('load', '--input', output);
      assert.deepEqual(await engine.images(), expected);
      const printed = await engine.run('mirror.example/app:stable', '/bin/busybox', 'echo', 'aboard');
      assert.equal(printed, 'aboard\n');
      assert.deepEqual((await skopeoNames(output)).sort(), Object.keys(expected).sort());
      assert.deepEqual(await podmanImages(t, output), expected);

      // In an OCI layout these tools know an image by its bare tag.
      for (const [tag, id] of [['1', app], ['stable', app], ['3', tool]]) {
        assert.equal(await skopeoId(`oci-archive:${output}:${tag}`), id, tag);
      }
      const layout = join(folder, 'layout');
      await mkdir(layout);
      await run('tar', ['-xf', output, '-C', layout]);
      const tags = (await umoci('ls', '--layout', layout)).trim().split('\n').sort();
      assert.deepEqual(tags, ['1', '3', 'stable']);
    });
  }
});
