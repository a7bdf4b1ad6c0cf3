// The rules of the image store, against the engine whose rules they are: both do the same, and are compared after each step.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { startDocker } from '../support/engine.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { ROOT, besideDocker } from '../support/oracle.mjs';
import { skipUnless } from '../support/peers.mjs';
import { startRegistry } from '../support/registry.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const STEPS = 2000;

describe('engine', { skip: skipUnless('dockerd', 'busybox') }, () => {
  const context = lasting();
  let engine;
  let directory;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
  });

  it(`does what Docker does, ${STEPS} steps long`, async (t) => {
    t.diagnostic(await besideDocker('differential', engine, { semantics: join(ROOT, 'docs/semantics.md'), directory, steps: STEPS }));
  });

  it('gives a name that an archive has twice to its last image, as Docker does', async (t) => {
    const { openStore } = await longshore();
    const file = join(directory, 'twins.tar');
    await fixtures(['docker-legacy', '--images', '3', '--layers', '2', '--name', 'twin:1', '--name', 'twin:1', '--name', 'twin:1', file]);
    await engine.empty();
    const printed = await engine.docker('load', '--input', file);
    const store = await openStore(join(directory, 'twins'));
    t.after(() => store.close());
    const { repeated, names } = await store.plan(file);
    assert.deepEqual(names, ['twin:1']);
    const { lines } = await store.load(file);
    assert.deepEqual(lines, printed.trim().split('\n'));
    const [first, second, last] = [repeated[0].from, repeated[0].to, repeated[1].to];
    assert.deepEqual(repeated, [{ name: 'twin:1', from: first, to: second }, { name: 'twin:1', from: second, to: last }]);
    assert.equal((await engine.images())['twin:1'], last);
    assert.equal((await store.inspect('twin:1')).Id, last);
    assert.equal((await store.images()).length, 3);
  });

  it('tells the history of an image as Docker does', async (t) => {
    const { openStore } = await longshore();
    const file = join(directory, 'history.tar');
    await fixtures(['docker-legacy', '--images', '2', '--layers', '3', '--name', 'app:1', '--name', 'db:1', file]);
    await engine.empty();
    await engine.docker('load', '--input', file);
    await engine.docker('tag', 'app:1', 'app:2');
    const store = await openStore(join(directory, 'history'));
    t.after(() => store.close());
    await store.load(file);
    await store.tag('app:1', 'app:2');
    for (const name of ['app:1', 'db:1']) {
      // But for the sizes: these are of what is stored.
      const text = await engine.docker('history', '--no-trunc', '--human=false', '--format', '{{.ID}}|{{.CreatedBy}}|{{.Comment}}', name);
      const rows = (await store.history(name)).map(({ id = '<missing>', createdBy, comment }) => [id, createdBy, comment].join('|'));
      assert.deepEqual(rows, text.trim().split('\n'));
    }
    assert.deepEqual((await store.history('app:2'))[0].tags.sort(), ['app:1', 'app:2']);
  });

  it('knows what was pulled by its digest, as Docker does', { skip: skipUnless('docker-registry') }, async (t) => {
    const { openStore } = await longshore();
    const { host } = await startRegistry(t);
    const [one, two] = [`${host}/team/app`, `${host}/team/copy`];
    const file = join(directory, 'pulled.tar');
    await fixtures(['docker-legacy', '--images', '1', '--layers', '2', '--name', `${one}:1`, file]);
    await engine.empty();
    await engine.docker('load', '--input', file);
    await engine.docker('tag', `${one}:1`, `${two}:1`);
    const id = (await engine.images())[`${one}:1`];
    const pushed = await engine.docker('push', `${one}:1`);
    await engine.docker('push', `${two}:1`);
    const digest = /sha256:[0-9a-f]{64}/.exec(pushed.trim().split('\n').at(-1))[0];

    const rmi = (name) => ({
      docker: () => engine.docker('rmi', name).then((text) => text.trim().split('\n'), ({ message }) => [/conflict: .*/.exec(message)[0]]),
      ours: async (store) => (await store.rmi([name])).flatMap(({ lines, error }) => error?.message ?? lines),
    });
    const pull = (name) => ({
      docker: () => engine.docker('pull', '--quiet', name).then(() => 'pulled'),
      ours: (store) => store.pull(name).then(() => 'pulled'),
    });
    const row = ({ repository = '<none>', tag = '<none>', digest = '<none>' }) => `${repository} ${tag} ${digest}`;
    const images = (...filters) => ({
      docker: async () => {
        const given = filters.flatMap((filter) => ['--filter', filter.join('=')]);
        const text = await engine.docker('images', '--digests', '--format', '{{.Repository}} {{.Tag}} {{.Digest}}', ...given);
        return text.trim().split('\n').sort();
      },
      ours: async (store) => {
        const rows = (await store.images({ filters: Object.fromEntries(filters.map(([key, value]) => [key, [value]])) })).map(row);
        return rows.length > 0 ? rows.sort() : [''];
      },
    });
    const inspect = () => ({
      docker: () => engine.docker('image', 'inspect', '--format', '{{json .RepoTags}} {{json .RepoDigests}}', id).then((text) => text.trim()),
      ours: async (store) => {
        const { RepoTags, RepoDigests } = await store.inspect(id);
        return `${JSON.stringify(RepoTags)} ${JSON.stringify(RepoDigests)}`;
      },
    });
    const walks = [
      [pull(`${one}@${digest}`), images(), images(['dangling', 'true']), images(['dangling', 'false']), images(['reference', `${one}@*`]), inspect(), rmi(`${one}@${digest}`)],
      [pull(`${one}:1`), images(), inspect(), pull(`${one}@${digest}`), images(), rmi(`${one}:1`)],
      [pull(`${one}@${digest}`), pull(`${two}@${digest}`), images(), rmi(id), rmi(`${one}@${digest}`), images(), rmi(id)],
      [pull(`${one}:1@${digest}`), images(), inspect(), rmi(id)],
      [pull(`${one}:1`), rmi(`${one}@${digest}`), images(), rmi(id)],
      [pull(`${one}:1`), pull(`${two}:1`), rmi(id), rmi(`${two}:1`), rmi(id)],
    ];
    for (const [number, walk] of walks.entries()) {
      await engine.empty();
      const store = await openStore(join(directory, `pulled-${number}`));
      t.after(() => store.close());
      for (const [step, { docker, ours }] of walk.entries()) {
        assert.deepEqual(await ours(store), await docker(), `walk ${number}, step ${step}`);
      }
      assert.deepEqual(await store.images(), []);
    }
  });
});
