// Images whose config Longshore changed, in the hands of the engine: it runs them as was asked.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { BUILT, makeArchives } from '../support/images.mjs';
import { rewrite } from '../support/longshore.mjs';
import { skipUnless, skopeo } from '../support/peers.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const CHANGES = {
  env: { EDITED: 'by hand' },
  labels: { 'org.example.edited': 'yes' },
  exposedPorts: { 8080: true },
  volumes: { '/data': true },
  user: '1234',
  workingDir: '/srv',
  stopSignal: 'SIGINT',
  author: 'me',
  created: '2024-02-29T12:00:00Z',
  message: 'edited',
};

/** The same by `docker commit`, which does not take STOPSIGNAL. */
const INSTRUCTIONS = [
  'ENV EDITED="by hand"',
  'LABEL org.example.edited=yes',
  'EXPOSE 8080',
  'VOLUME /data',
  'USER 1234',
  'WORKDIR /srv',
];

describe('edited configs', { skip: skipUnless('dockerd', 'skopeo', 'busybox') }, () => {
  const context = lasting();
  let engine;
  let directory;
  let made;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
    made = await makeArchives(engine, directory);
  });

  /** Loads the archive after an edit; gives the new ID. */
  async function loaded(t, archive, image, changes) {
    const output = join(await temporary(t), 'edited.tar');
    let ids;
    await rewrite(made.files[archive], output, async (open) => {
      ids = await open.edit(image, changes);
    });
    await engine.empty();
    await engine.docker('load', '--input', output);
    return { id: ids[0], output };
  }

  const inspected = async (image) => JSON.parse(await engine.docker('image', 'inspect', image))[0];

  it('are what docker commit --change makes of the image', async (t) => {
    await engine.empty();
    await engine.docker('load', '--input', made.files.single);
    const container = (await engine.docker('create', 'base:1')).trim();
    const instructions = INSTRUCTIONS.flatMap((instruction) => ['--change', instruction]);
    const commit = engine.docker('commit', ...instructions, '--author', 'me', container, 'committed:1');
    // The engine keeps an image as long as it has a container of it.
    await commit.finally(() => engine.docker('rm', container));
    const theirs = await inspected('committed:1');

    const { id } = await loaded(t, 'single', 'base:1', CHANGES);
    const ours = await inspected('base:1');
    assert.equal(ours.Id, id);
    for (const key of ['Env', 'Labels', 'ExposedPorts', 'Volumes', 'User', 'WorkingDir', 'Cmd', 'Entrypoint']) {
      assert.deepEqual(ours.Config[key], theirs.Config[key], key);
    }
    assert.equal(ours.Config.StopSignal, 'SIGINT');
    assert.deepEqual([ours.Author, ours.Created, ours.Comment], ['me', '2024-02-29T12:00:00Z', 'edited']);
    const [step] = (await engine.docker('history', '--no-trunc', '--format', '{{.CreatedBy}}|{{.Comment}}', 'base:1')).split('\n');
    assert.match(step, /^ENV EDITED=by hand; LABEL org\.example\.edited=yes; EXPOSE 8080\/tcp; .*\|edited$/);
  });

  for (const archive of ['single', 'tags', 'skopeoSingle', 'skopeoTags']) {
    it(`run: ${archive}`, async (t) => {
      const image = archive.endsWith('ingle') ? 'base' : 'mysql';
      const [name] = BUILT[image].names;
      const { id, output } = await loaded(t, archive, name, { labels: { edited: 'yes' } });
      const names = Object.entries(await engine.images());
      assert.ok(names.length > 0 && names.every(([, other]) => other === id), JSON.stringify(names));
      assert.equal(await engine.run(name), BUILT[image].prints);
      const config = JSON.parse(await skopeo('inspect', '--config', '--raw', `docker-archive:${output}`));
      assert.equal(config.config.Labels.edited, 'yes');
    });
  }

  it('start with another entry point', async (t) => {
    await loaded(t, 'single', 'base:1', { entrypoint: ['/bin/busybox', 'echo'], cmd: ['edited'] });
    assert.equal(await engine.run('base:1'), 'edited\n');
  });
});
