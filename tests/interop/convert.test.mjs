// Archives that Longshore made from others, in the hands of the programs that they are for: they load, and run.
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { fixtures, namesIn } from '../support/fixtures.mjs';
import { BUILT, makeArchives } from '../support/images.mjs';
import { longshore } from '../support/longshore.mjs';
import { buildah, skipUnless, skopeo, startPodman, umoci } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { tar } from '../support/tars.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const FORMATS = ['docker', 'docker-legacy', 'oci'];

describe('archives made from others', { skip: skipUnless('dockerd', 'skopeo', 'umoci', 'podman', 'buildah', 'busybox') }, () => {
  const context = lasting();
  let engine;
  let directory;
  let files;
  let ids;
  let openArchive;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
    ({ files, ids } = await makeArchives(engine, directory));
    // What podman and skopeo make of them: an OCI layout with gzip layers.
    files.oci = join(directory, 'oci.tar');
    await skopeo('copy', '--quiet', `docker-archive:${files.tags}:mysql:5.5`, `oci-archive:${files.oci}:localhost/mysql:5.5`);
    ({ openArchive } = await longshore());
  });

  /** Opens `input`, saves it with `options`, and checks what came out. */
  async function convert(input, name, options) {
    const output = join(directory, `${name}.tar`);
    const archive = await openArchive(input);
    try {
      const saved = await archive.save(options);
      await saved.writeTo(output);
    } finally {
      await archive.close();
    }
    const again = await openArchive(output);
    try {
      const report = await again.verify();
      assert.equal(report.verdict, 'intact', JSON.stringify(report.findings));
      return { output, images: again.images, format: again.format };
    } finally {
      await again.close();
    }
  }

  for (const format of FORMATS.filter((format) => format !== 'oci')) {
    it(`the engine loads and runs ${format}, from its own archive and from an OCI layout`, async () => {
      await convertAndRun(files.several, `several-as-${format}`, { format }, Object.keys(BUILT));
      await engine.empty();
      const { output } = await convert(files.oci, `oci-as-${format}`, { format });
      await engine.docker('load', '--input', output);
      assert.deepEqual(await engine.images(), Object.fromEntries(Object.entries(await namesIn(output))));
      assert.equal(await engine.run('localhost/mysql:5.5'), BUILT.mysql.prints);
    });
  }

  async function convertAndRun(input, name, options, images) {
    const { output } = await convert(input, name, options);
    await engine.empty();
    await engine.docker('load', '--input', output);
    const expected = images.flatMap((image) => BUILT[image].names.map((name) => [name, ids[image]]));
    assert.deepEqual(await engine.images(), Object.fromEntries(expected.sort(([a], [b]) => (a < b ? -1 : 1))));
    for (const image of images) assert.equal(await engine.run(BUILT[image].names[0]), BUILT[image].prints);
  }

  it('docker-legacy is what the engine itself saves, to the byte, from whatever it is made', async () => {
    const own = join(directory, 'own.tar');
    await engine.empty();
    await engine.docker('load', '--input', files.several);
    await engine.docker('save', '--output', own, 'mysql:5.5.16', 'mysql:5.5', 'mysql:latest');
    const { output: legacy } = await convert(own, 'legacy', { format: 'docker-legacy' });
    await assert.doesNotReject(run('cmp', [own, legacy]));
    const { output: layout } = await convert(own, 'own-layout', { format: 'oci' });
    const { output: back } = await convert(layout, 'own-back', { format: 'docker-legacy' });
    await assert.doesNotReject(run('cmp', [own, back]));
  });

  it('some of the images, with layers packed anew', async () => {
    const { output, images } = await convert(files.several, 'subset', {
      format: 'docker',
      images: ['mysql:5.5', 'base:1'],
      layers: 'gzip',
    });
    assert.equal(images.length, 2);
    assert.ok(images.every(({ layers }) => layers.every(({ digest, diffId }) => digest !== diffId)));
    await engine.empty();
    await engine.docker('load', '--input', output);
    assert.equal(await engine.run('mysql:5.5.16'), BUILT.mysql.prints);
    assert.equal((await engine.docker('images', '--quiet', 'registry.local:5000/team/tool')).trim(), '');
  });

  it('two archives become one', async () => {
    const one = await openArchive(files.single);
    const other = await openArchive(files.oci);
    const output = join(directory, 'merged.tar');
    try {
      const saved = await one.save({ format: 'docker', add: [other] });
      await saved.writeTo(output);
    } finally {
      await one.close();
      await other.close();
    }
    await engine.empty();
    await engine.docker('load', '--input', output);
    assert.equal(await engine.run('base:1'), BUILT.base.prints);
    assert.equal(await engine.run('localhost/mysql:5.5'), BUILT.mysql.prints);
  });

  it('skopeo, umoci, podman and buildah take an OCI layout', async () => {
    const { output, images } = await convert(files.tags, 'layout', { format: 'oci' });
    const id = images[0].id;
    const reference = 'docker.io/library/mysql:5.5.16';
    const config = await skopeo('inspect', '--raw', '--config', `oci-archive:${output}:${reference}`);
    assert.equal(JSON.parse(config).config.User, '1000');
    const copy = join(directory, 'copied');
    await skopeo('copy', '--quiet', `oci-archive:${output}:${reference}`, `dir:${copy}`);

    // umoci reads folders.
    const layout = join(directory, 'layout');
    const bundle = join(directory, 'bundle');
    await mkdir(layout);
    await run('tar', ['-xf', output, '-C', layout]);
    await umoci('unpack', '--image', `${layout}:${reference}`, bundle);
    assert.equal(await run('cat', [join(bundle, 'rootfs/etc/mysql/my.cnf')]), BUILT.mysql.prints);

    // podman load takes a layout with one name only: it does not know which one is meant.
    const { output: single, images: loaded } = await convert(files.single, 'single-layout', { format: 'oci' });
    const podman = await startPodman(context);
    await podman('load', '--input', single);
    const listed = await podman('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}');
    assert.equal(listed.trim(), `docker.io/library/base:1 ${loaded[0].id}`);

    const build = await buildah(context);
    const pulled = (await build('pull', '--quiet', `oci-archive:${output}:${reference}`)).trim();
    assert.equal(`sha256:${pulled}`, id);
    await rm(bundle, { recursive: true, force: true });
  });

  it('an unpacked layout opens as a folder', async () => {
    const layout = join(directory, 'by-skopeo');
    await skopeo('copy', '--quiet', `docker-archive:${files.single}`, `oci:${layout}:base`);
    const { output, format } = await convert(layout, 'folder', { format: 'docker' });
    assert.equal(format, 'docker-oci');
    const archive = await openArchive(layout);
    assert.equal(archive.format, 'oci');
    await archive.tag('base', 'base:1');
    await (await archive.save({ format: 'docker' })).writeTo(output);
    await archive.close();
    await engine.empty();
    await engine.docker('load', '--input', output);
    assert.equal(await engine.run('base:1'), BUILT.base.prints);
  });

  it('what Docker 1.9 wrote gets the image ID that the engine gives it', async () => {
    const v1 = join(directory, 'v1.tar');
    await fixtures(['docker-v1', '--name', 'app:1', v1]);
    await engine.empty();
    await engine.docker('load', '--input', v1);
    const byEngine = await engine.images();
    const { output } = await convert(v1, 'v1-as-docker', { format: 'docker' });
    assert.deepEqual(await namesIn(output), byEngine);
  });

  it('and so does what older ones wrote, and commands that Go escapes', async () => {
    // In every version's own way: with white space, fields that nobody knows any more, and times as clocks have them.
    const container = { Cmd: ['/bin/sh', '-c', 'a && b <c> "\u2028"'], Memory: 0, Volumes: {}, ExposedPorts: {}, Labels: { b: '&', a: '' }, Entrypoint: null };
    const json = (id, version) => ({
      id,
      created: version === '1.9.1' ? '2015-11-03T12:00:00.120000000Z' : '2014-10-13T21:19:18.100-07:00',
      container: '',
      container_config: container,
      config: { ...container, OnBuild: [], ArgsEscaped: false },
      docker_version: version,
      os: 'linux',
      architecture: 'amd64',
      author: 'A & B',
      Size: 7,
    });
    const versions = { 'one:1': '1.9.1', 'two:1': '1.6.2', 'three:1': undefined, 'four:1': '1.8.3-dev', 'five:1': '1.8.3' };
    const entries = Object.entries(versions).flatMap(([name, version], number) => {
      const id = `${number}`.repeat(64);
      return [
        { path: `${id}/` },
        { path: `${id}/VERSION`, content: '1.0' },
        { path: `${id}/json`, content: JSON.stringify(json(id, version), null, number % 2) },
        { path: `${id}/layer.tar`, content: tar([{ path: 'name', content: name }]) },
      ];
    });
    const repositories = Object.keys(versions).map((name, number) => [name.split(':')[0], { 1: `${number}`.repeat(64) }]);
    const file = join(directory, 'old.tar');
    await writeFile(file, tar([...entries, { path: 'repositories', content: JSON.stringify(Object.fromEntries(repositories)) }]));
    await engine.empty();
    await engine.docker('load', '--input', file);
    const byEngine = await engine.images();
    const { output } = await convert(file, 'old-as-docker', { format: 'docker' });
    assert.deepEqual(await namesIn(output), byEngine);
  });
});
