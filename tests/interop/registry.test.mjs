// Push and pull at a real registry, with docker and skopeo on the other side; and when things go wrong on the way.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createServer as createTlsServer } from 'node:https';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdtemp, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { inspect } from 'node:util';
import { startDocker } from '../support/engine.mjs';
import { fixtures, middleOfLayer } from '../support/fixtures.mjs';
import { BUILT, makeArchives } from '../support/images.mjs';
import { longshore } from '../support/longshore.mjs';
import { skipUnless, skopeo } from '../support/peers.mjs';
import { freePort, listening, startProxy, startRegistry, startTokens } from '../support/registry.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';

const USER = { user: 'shore', password: 'long-enough-to-be-seen' };
const USERS = { [USER.user]: USER.password };
/** Impatient: a test has no minute for a server that is silent. */
const HASTY = { pause: 10, timeout: 10_000 };

let api;
let directory;
const context = lasting();

before(async () => {
  api = await longshore();
  directory = await temporary(context);
});

async function opened(t, input) {
  const archive = await api.openArchive(input);
  t.after(() => archive.close());
  return archive;
}

async function pulled(t, reference, options) {
  const archive = await api.pull(reference, options);
  t.after(() => archive.close());
  assert.equal((await archive.verify()).verdict, 'intact');
  return archive;
}

async function fails(work, code) {
  let found;
  await assert.rejects(work, (error) => {
    found = error;
    assert.ok(error instanceof api.LongshoreError, error.stack);
    assert.equal(error.code, code, error.stack);
    return true;
  });
  return found;
}

/** An archive of one image with three layers, the larger two of `size` pseudo-random bytes. */
async function archiveOf(size, kind = 'docker-legacy') {
  const file = join(directory, `${kind}-${size}.tar`);
  await fixtures([kind, '--layers', '3', '--size', String(size), '--name', 'app:1', file]);
  return file;
}

const insecure = (side) => `--${side}-tls-verify=false`;

describe('with docker and skopeo', { skip: skipUnless('docker-registry', 'dockerd', 'skopeo', 'busybox') }, () => {
  let engine;
  let files;
  let ids;
  let host;

  before(async () => {
    engine = await startDocker(context);
    ({ files, ids } = await makeArchives(engine, directory));
    ({ host } = await startRegistry(context));
  });

  it('what is pushed is copied by skopeo, pulled by docker and runs', async (t) => {
    const archive = await opened(t, files.several);
    const lines = [];
    const phases = new Set();
    const report = await archive.push('mysql:5.5', {
      to: `${host}/team/mysql:5.5`,
      onLine: (line) => lines.push(line),
      onProgress: ({ phase, done, total }) => {
        phases.add(phase);
        assert.ok(done <= total);
      },
    });
    assert.deepEqual([...phases], ['pack', 'push']);
    assert.equal(lines[0], `The push refers to repository [${host}/team/mysql]`);
    assert.equal(lines.at(-1), `5.5: digest: ${report.digest} size: ${report.size}`);
    assert.ok(lines.slice(1, -1).every((line) => /^[0-9a-f]{12}: Pushed$/.test(line)), lines.join('\n'));
    const inspected = JSON.parse(await skopeo('inspect', '--tls-verify=false', `docker://${host}/team/mysql:5.5`));
    assert.equal(inspected.Digest, report.digest);
    const copy = join(directory, 'copied');
    await skopeo('copy', '--quiet', insecure('src'), `docker://${host}/team/mysql:5.5`, `dir:${copy}`);
    await engine.empty();
    await engine.docker('pull', '--quiet', `${host}/team/mysql:5.5`);
    assert.equal(await engine.run(`${host}/team/mysql:5.5`), BUILT.mysql.prints);
    assert.deepEqual(await engine.images(), { [`${host}/team/mysql:5.5`]: ids.mysql });

    // A second time nothing is sent; into another repository, all is mounted that this push has seen.
    lines.length = 0;
    const again = await archive.push('mysql:5.5', { to: `${host}/team/mysql:again`, onLine: (line) => lines.push(line) });
    assert.equal(again.digest, report.digest);
    assert.ok(again.blobs.every(({ status }) => status === 'exists'));
    assert.ok(lines.slice(1, -1).every((line) => line.endsWith(': Layer already exists')), lines.join('\n'));
  });

  it('a whole archive is mirrored, and a dry run says so before', async (t) => {
    const archive = await opened(t, files.several);
    const lines = [];
    const plan = await archive.mirror({ to: `${host}/mirror`, dryRun: true });
    assert.deepEqual(plan.pushed, []);
    const made = (await (await api.registry(host)).catalog()).filter((repository) => repository.startsWith('mirror/'));
    assert.deepEqual(made, []);
    const report = await archive.mirror({ to: `${host}/mirror`, onLine: (line) => lines.push(line) });
    assert.deepEqual(report.planned, plan.planned);
    assert.deepEqual(report.failed, []);
    const expected = ['base:1', 'mysql:5.5', 'mysql:5.5.16', 'mysql:latest', 'team/tool:1'].map((name) => `${host}/mirror/${name}`);
    assert.deepEqual(report.pushed.map(({ to }) => to).sort(), expected);
    assert.ok(lines.some((line) => line.includes(': Mounted from mirror/')), lines.join('\n'));
    await engine.empty();
    for (const [path, built] of [['base:1', BUILT.base], ['team/tool:1', BUILT.tool]]) {
      await engine.docker('pull', '--quiet', `${host}/mirror/${path}`);
      assert.equal(await engine.run(`${host}/mirror/${path}`), built.prints);
    }
    const registry = await api.registry(host);
    assert.deepEqual((await registry.tags('mirror/mysql')).sort(), ['5.5', '5.5.16', 'latest']);
    await fails(registry.tags('nobody'), 'not-found');
    const all = await archive.mirror({ to: (name) => (name.startsWith('base') ? `${host}/only/${name}` : undefined) });
    assert.deepEqual(all.pushed.map(({ to }) => to), [`${host}/only/base:1`]);
    const untagged = await opened(t, files.untagged);
    assert.deepEqual((await untagged.mirror({ to: host })).skipped, [ids.tool]);
    const byId = await untagged.push(ids.tool, { to: `${host}/by/id:1` });
    assert.equal(byId.from, ids.tool);
    await fails(untagged.push(ids.tool), 'invalid-argument');
  });

  it('what docker and skopeo pushed is pulled, and is intact', async (t) => {
    await engine.docker('load', '--input', files.tags);
    await engine.docker('tag', 'mysql:5.5', `${host}/by/docker:1`);
    await engine.docker('push', '--quiet', `${host}/by/docker:1`);
    await skopeo('copy', '--quiet', insecure('dest'), `docker-archive:${files.single}`, `docker://${host}/by/skopeo:1`);
    const lines = [];
    const archive = await pulled(t, `${host}/by/docker:1`, { onLine: (line) => lines.push(line) });
    assert.equal(archive.format, 'oci');
    assert.deepEqual(archive.images[0].references, [`${host}/by/docker:1`]);
    assert.equal(archive.images[0].id, ids.mysql);
    assert.equal(lines[0], '1: Pulling from by/docker');
    assert.equal(lines.at(-1), `Status: Downloaded newer image for ${host}/by/docker:1`);
    // And on to where there is no registry.
    const file = join(directory, 'pulled.tar');
    await archive.tag(`${host}/by/docker:1`, 'pulled:1');
    await (await archive.save({ format: 'docker-legacy' })).writeTo(file);
    await engine.empty();
    await engine.docker('load', '--input', file);
    assert.equal(await engine.run('pulled:1'), BUILT.mysql.prints);
    const other = await pulled(t, `${host}/by/skopeo:1`);
    assert.equal(other.images[0].id, ids.base);
    // By digest it has no name; pushed again, it is what it was.
    const { digest } = archive.images[0];
    const byDigest = await pulled(t, `${host}/by/docker@${digest}`);
    assert.deepEqual(byDigest.images[0].references, []);
    assert.equal((await byDigest.push(ids.mysql, { to: `${host}/by/us:1` })).digest, digest);
  });

  it('images for several platforms go there and back whole', async (t) => {
    const file = join(directory, 'platforms.tar');
    await fixtures(['oci-platforms', '--images', '3', '--layers', '2', '--name', 'app:1', file]);
    // Its layers are not compressed. Once they are, nothing has to change any more.
    const packed = join(directory, 'packed-platforms.tar');
    await (await (await opened(t, file)).save({ format: 'oci', layers: 'gzip' })).writeTo(packed);
    const layout = await opened(t, packed);
    const index = layout.images[0].index;
    const report = await layout.push('app:1', { to: `${host}/platforms/app:1` });
    assert.equal(report.digest, index);
    const raw = await skopeo('inspect', '--raw', '--tls-verify=false', `docker://${host}/platforms/app:1`);
    assert.equal(`sha256:${createHash('sha256').update(raw).digest('hex')}`, index);
    const all = await pulled(t, `${host}/platforms/app:1`, { platform: 'all' });
    assert.equal(all.images.length, 3);
    assert.ok(all.images.every((image) => image.index === index));
    // What skopeo makes of them.
    await skopeo('copy', '--all', '--quiet', insecure('src'), insecure('dest'), `docker://${host}/platforms/app:1`, `docker://${host}/platforms/copy:1`);
    for (const { platform, id } of layout.images) {
      const text = [platform.os, platform.architecture, platform.variant].filter(Boolean).join('/');
      const one = await pulled(t, `${host}/platforms/copy:1`, { platform: text });
      assert.deepEqual(one.images.map((image) => image.id), [id]);
    }
    const error = await fails(api.pull(`${host}/platforms/app:1`, { platform: 'plan9/mips' }), 'no-such-platform');
    assert.match(error.message, /linux\/amd64/);
    // One of several: pushed alone, as a manifest of its own.
    const one = await layout.push('app:1', { to: `${host}/platforms/one:1`, platforms: ['linux/amd64'] });
    assert.equal(one.digest, layout.images.find(({ platform }) => platform.architecture === 'amd64').digest);
    // What the archive does not hold of an index is left out of it.
    const partly = await pulled(t, `${host}/platforms/one:1`);
    assert.equal(partly.images.length, 1);
    // And it is for no other.
    assert.equal((await pulled(t, `${host}/platforms/one:1`, { platform: 'linux/amd64' })).images.length, 1);
    await fails(api.pull(`${host}/platforms/one:1`, { platform: 'linux/s390x' }), 'no-such-platform');
  });

  it('every format there is can be pushed', async (t) => {
    for (const kind of ['docker-legacy', 'docker-hybrid', 'containerd', 'containerd-gzip', 'skopeo', 'crane', 'oci', 'oci-gzip', 'docker-v1']) {
      const archive = await opened(t, await archiveOf(30_000, kind));
      const name = archive.images[0].references[0];
      const to = `${host}/formats/${kind}:1`;
      const report = await archive.push(name, { to });
      const again = await opened(t, await archiveOf(30_000, kind));
      assert.equal((await again.push(name, { to })).digest, report.digest, kind);
      const back = await pulled(t, to);
      assert.deepEqual(back.images[0].layers.map(({ diffId }) => diffId), archive.images[0].layers.map((layer, index) => layer.diffId ?? back.images[0].layers[index].diffId), kind);
      await skopeo('inspect', '--tls-verify=false', `docker://${to}`);
    }
  });

  it('what refers to a manifest is found, and a manifest removed', async (t) => {
    const archive = await opened(t, files.several);
    const { digest } = await archive.push('base:1', { to: `${host}/referred/base:1` });
    const registry = await api.registry(host);
    assert.deepEqual(await registry.referrers('referred/base', digest), []);
    // This registry has no list of them: a tag stands in for it.
    const descriptor = { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 7, artifactType: 'application/x-signature' };
    const index = { schemaVersion: 2, mediaType: 'application/vnd.oci.image.index.v1+json', manifests: [descriptor] };
    const answer = await fetch(`http://${host}/v2/referred/base/manifests/${digest.replace(':', '-')}`, {
      method: 'PUT',
      body: JSON.stringify(index),
      headers: { 'content-type': index.mediaType },
    });
    assert.equal(answer.status, 201, await answer.text());
    assert.deepEqual(await registry.referrers('referred/base', digest), [descriptor]);
    await registry.remove('referred/base', digest);
    await fails(api.pull(`${host}/referred/base@${digest}`), 'not-found');
    await fails(registry.remove('referred/base', digest), 'not-found');
  });

  it('nothing is left open or lying about', async () => {
    const before = temporaries();
    const archive = await api.openArchive(files.several);
    await archive.push('mysql:5.5', { to: `${host}/left/mysql:1` });
    assert.ok(temporaries() > before, 'what is packed has files');
    const one = await api.pull(`${host}/left/mysql:1`);
    await one.close();
    await fails(api.pull(`${host}/left/mysql:2`), 'not-found');
    await archive.close();
    assert.equal(temporaries(), before);
  });
});

describe('who may', { skip: skipUnless('docker-registry') }, () => {
  it('a password opens what is locked, and nothing else does', async (t) => {
    const { host } = await startRegistry(t, { users: USERS });
    const archive = await opened(t, await archiveOf(20_000));
    const to = `${host}/team/app:1`;
    await fails(archive.push('app:1', { to }), 'unauthorized');
    await fails(archive.push('app:1', { to, credentials: { user: USER.user, password: 'wrong-password' } }), 'unauthorized');
    await archive.push('app:1', { to, credentials: USER });
    await fails(api.pull(to), 'unauthorized');
    await pulled(t, to, { credentials: USER });
    assert.equal((await (await api.registry(host)).check()).status, 'needs-login');
    assert.equal((await (await api.registry(host, { credentials: USER })).check()).status, 'ok');
    for (const credentials of [{ user: 'x' }, { password: 'x' }, 'x', { token: 1 }, {}]) {
      await fails(api.registry(host, { credentials }), 'invalid-argument');
    }
  });

  it('a token service says who may what', async (t) => {
    const token = await startTokens(t, { users: USERS });
    const { host } = await startRegistry(t, { token });
    const archive = await opened(t, await archiveOf(20_000));
    const to = `${host}/team/app:1`;
    await fails(archive.push('app:1', { to, ...HASTY }), 'unauthorized');
    await archive.push('app:1', { to, credentials: USER });
    await archive.mirror({ to: `${host}/mirror`, credentials: USER });
    // Everybody may pull there.
    await pulled(t, to);
    await fails(api.pull(to, { credentials: { ...USER, password: 'wrong-password' } }), 'unauthorized');
    assert.ok(token.seen.some(({ url }) => url.includes('scope=repository%3Ateam%2Fapp%3Apull%2Cpush')));
  });

  it('a token that expires on the way is fetched again', async (t) => {
    const token = await startTokens(t, { users: USERS });
    const { host: target } = await startRegistry(t, { token });
    const stale = await staleToken(token, target);
    const spoilt = new Set();
    // Each request shows a token that has expired, once: the registry itself refuses it.
    const { host } = await startProxy(t, target, (request) => {
      const what = `${request.method} ${request.url}`;
      if (spoilt.has(what) || !request.headers.authorization) return undefined;
      spoilt.add(what);
      return { authorization: stale };
    });
    const archive = await opened(t, await archiveOf(3_000_000));
    await archive.push('app:1', { to: `${host}/team/app:1`, credentials: USER, ...HASTY });
    await pulled(t, `${host}/team/app:1`, { credentials: USER, ...HASTY });
    assert.ok(spoilt.size > 10);
  });

  /** A token that the registry no longer takes. */
  async function staleToken(token, host) {
    token.expires = -3600;
    const credentials = Buffer.from(`${USER.user}:${USER.password}`).toString('base64');
    const url = `${token.realm}?service=${token.service}&scope=repository:team/app:pull,push`;
    const answer = await (await fetch(url, { headers: { authorization: `Basic ${credentials}` } })).json();
    token.expires = 300;
    const authorization = `Bearer ${answer.token}`;
    assert.equal((await fetch(`http://${host}/v2/`, { headers: { authorization } })).status, 401);
    return authorization;
  }

  it('nobody else sees the password or a token, and no error shows them', async (t) => {
    const token = await startTokens(t, { users: USERS });
    const { host: target } = await startRegistry(t, { token });
    const archive = await opened(t, await archiveOf(2_000_000));
    await archive.push('app:1', { to: `${target}/team/app:1`, credentials: USER });
    // Another origin, which has the blobs: as registries have them elsewhere.
    const elsewhere = [];
    const cdn = createServer((request, response) => {
      elsewhere.push(request.headers);
      const name = request.url.slice(1);
      void readFile(join(directory, name)).then((bytes) => response.end(bytes), () => response.writeHead(404).end());
    });
    const other = await listening(t, cdn);
    const { host } = await startProxy(t, target, (request) => {
      const blob = /\/blobs\/(sha256:[0-9a-f]+)$/.exec(request.url)?.[1];
      return request.method === 'GET' && blob ? { status: 307, headers: { location: `http://${other}/${blob}` } } : undefined;
    });
    // The blobs, as the registry has them.
    const { manifests, authorization } = await stored(target, token);
    for (const digest of manifests) {
      const answer = await fetch(`http://${target}/v2/team/app/blobs/${digest}`, { headers: { authorization } });
      await writeFile(join(directory, digest), Buffer.from(await answer.arrayBuffer()));
    }
    await pulled(t, `${host}/team/app:1`, { credentials: USER });
    assert.equal(elsewhere.length, manifests.length);
    assert.ok(elsewhere.every((headers) => headers.authorization === undefined && headers.cookie === undefined));

    // A registry that repeats all that it hears.
    const echo = await startProxy(t, target, (request) => {
      if (!request.headers.authorization?.startsWith('Bearer ')) return undefined;
      const body = JSON.stringify({ errors: [{ code: 'DENIED', message: `not with ${request.headers.authorization}` }] });
      return { status: 403, headers: { 'content-type': 'application/json' }, body };
    });
    const seen = [];
    const keep = console.error;
    console.error = (...all) => seen.push(all.join(' '));
    t.after(() => (console.error = keep));
    const error = await fails(api.pull(`${echo.host}/team/app:1`, { credentials: USER }), 'denied');
    const shown = `${inspect(error, { depth: 9, showHidden: true })} ${error.stack} ${JSON.stringify(error)} ${seen.join(' ')}`;
    const sent = echo.seen.map(({ headers }) => headers.authorization).find(Boolean).slice('Bearer '.length);
    for (const secret of [USER.password, sent, Buffer.from(`${USER.user}:${USER.password}`).toString('base64')]) {
      assert.ok(!shown.includes(secret), shown);
    }
    // A token service at another scheme than the registry's gets nothing.
    const bait = createServer((request, response) => {
      const challenge = `Bearer realm="https://127.0.0.1:1/token",service="x"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    });
    await fails(api.pull(`${await listening(t, bait)}/a:1`, { credentials: USER, ...HASTY }), 'invalid-answer');
  });

  async function stored(host, token) {
    const credentials = Buffer.from(`${USER.user}:${USER.password}`).toString('base64');
    const url = `${token.realm}?service=${token.service}&scope=repository:team/app:pull`;
    const answer = await (await fetch(url, { headers: { authorization: `Basic ${credentials}` } })).json();
    const authorization = `Bearer ${answer.token}`;
    const accept = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = await (await fetch(`http://${host}/v2/team/app/manifests/1`, { headers: { authorization, accept } })).json();
    return { authorization, manifests: [manifest.config, ...manifest.layers].map(({ digest }) => digest) };
  }
});

/** More layers than there ever are threads. */
async function many(name = 'many', ...more) {
  const file = join(directory, `${name}.tar`);
  await fixtures(['docker-legacy', '--layers', '20', '--size', '1500000', '--name', 'app:1', ...more, file]);
  return file;
}

/** Of which one, with a large program, is packed for much longer than the others. */
const slow = () => many('slow', '--file', `bin/node=${process.execPath}`);

/** How many temporary files are open. */
function temporaries() {
  const path = (fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  };
  return readdirSync('/proc/self/fd').filter((fd) => path(fd).endsWith(' (deleted)')).length;
}

describe('packing and sending', { skip: skipUnless('docker-registry') }, () => {
  /** What happens, in its order. */
  function watched() {
    const events = [];
    const onProgress = ({ phase, done, total }) => {
      assert.ok(done <= total, `${phase}: ${done} of ${total}`);
      events.push({ phase, done, total });
    };
    return { events, onProgress, onBlob: ({ status, digest }) => events.push({ status, digest }) };
  }

  it('a layer is sent while the next ones are packed, and once', async (t) => {
    const { host: target } = await startRegistry(t);
    const { host, seen } = await startProxy(t, target);
    const archive = await opened(t, await slow());
    const { events, ...calls } = watched();
    const report = await archive.push('app:1', { to: `${host}/app:1`, ...calls });
    const packed = events.findLastIndex(({ phase }) => phase === 'pack');
    const first = events.findIndex(({ status }) => status === 'pushed');
    assert.ok(first >= 0 && first < packed, `the first is there at ${first}, all are packed at ${packed}`);
    assert.equal(events[packed].done, events[packed].total);
    const last = events.findLast(({ phase }) => phase === 'push');
    assert.deepEqual([last.done, last.total], [report.blobs.reduce((bytes, { size }) => bytes + size, 0), last.done]);
    assert.equal(seen.filter(({ method, url }) => method === 'POST' && url.includes('/uploads/')).length, report.blobs.length);
    assert.ok(report.blobs.every(({ status }) => status === 'pushed'));
    const back = await pulled(t, `${host}/app:1`);
    assert.deepEqual(back.images[0].layers.map(({ diffId }) => diffId), archive.images[0].layers.map(({ diffId }) => diffId));
  });

  it('so it is where all are mirrored', async (t) => {
    const { host } = await startRegistry(t);
    const archive = await opened(t, await slow());
    await archive.tag('app:1', 'team/app:2');
    const { events, ...calls } = watched();
    const { pushed } = await archive.mirror({ to: `${host}/mirror`, ...calls });
    const packed = events.findLastIndex(({ phase, done, total }) => phase === 'pack' && done < total);
    const first = events.findIndex(({ status }) => status === 'pushed');
    assert.ok(first >= 0 && first < packed, `the first is there at ${first}, all are packed at ${packed}`);
    assert.deepEqual(pushed.map(({ blobs }) => [...new Set(blobs.map(({ status }) => status))]), [['pushed'], ['mounted']]);
  });

  it('no more are sent at once than may be', async (t) => {
    const { host } = await startRegistry(t);
    const archive = await opened(t, await many());
    const under = new Set();
    let most = 0;
    await archive.push('app:1', {
      to: `${host}/app:1`,
      concurrency: 2,
      onBlob: ({ digest, status }) => {
        if (status === 'transfers') under.add(digest);
        else under.delete(digest);
        most = Math.max(most, under.size);
      },
    });
    assert.ok(most >= 1 && most <= 2, `${most} at once`);
  });

  it('what was packed is packed no more, for whatever registry, after whatever edit, until the archive is closed', async (t) => {
    const [one, two] = [await startRegistry(t), await startRegistry(t)];
    const before = temporaries();
    const archive = await opened(t, await many());
    const first = await archive.push('app:1', { to: `${one.host}/app:1` });
    const layers = archive.images[0].layers.length;
    assert.equal(temporaries(), before + layers);
    await archive.tag('app:1', 'app:2');
    const { events, ...calls } = watched();
    const second = await archive.push('app:2', { to: `${one.host}/app:2`, ...calls });
    assert.ok(second.blobs.every(({ status }) => status === 'exists'));
    // A layer that is packed tells how far it is, but for those that were.
    assert.equal(events.filter(({ phase }) => phase === 'pack').length, layers);
    const elsewhere = await archive.push('app:1', { to: `${two.host}/app:1` });
    assert.deepEqual([second.digest, elsewhere.digest], [first.digest, first.digest]);
    assert.ok(elsewhere.blobs.every(({ status }) => status === 'pushed'));
    const mirrored = await archive.mirror({ to: `${two.host}/mirror` });
    assert.deepEqual(mirrored.pushed.map(({ digest }) => digest), [first.digest, first.digest]);
    assert.equal(temporaries(), before + layers);
    await pulled(t, `${two.host}/app:1`).then((back) => back.close());
    // What a fresh one packs is the same.
    const again = await opened(t, await many());
    assert.equal((await again.push('app:1', { to: `${one.host}/app:3` })).digest, first.digest);
    await archive.close();
    await again.close();
    assert.equal(temporaries(), before);
  });

  it('who may not send stops the packing, and a damaged layer the sending', async (t) => {
    const { host: target } = await startRegistry(t);
    const refusing = await startProxy(t, target, ({ method }) => (method === 'POST' ? { status: 403, body: '{}' } : undefined));
    const archive = await opened(t, await many());
    const { events, ...calls } = watched();
    await fails(archive.push('app:1', { to: `${refusing.host}/app:1`, ...HASTY, ...calls }), 'denied');
    const { done, total } = events.findLast(({ phase }) => phase === 'pack');
    assert.ok(done < total, 'all was packed for nothing');
    await archive.push('app:1', { to: `${target}/app:1` });

    const file = await archiveOf(700_000);
    const bytes = await readFile(file);
    bytes[await middleOfLayer(file)] ^= 1;
    const damaged = await opened(t, new Uint8Array(bytes));
    const error = await fails(damaged.push('app:1', { to: `${target}/damaged:1` }), 'digest-mismatch');
    assert.match(error.detail.actual, /^sha256:/);
    await fails((await api.registry(target)).tags('damaged'), 'not-found');
  });
});

describe('a store', { skip: skipUnless('docker-registry') }, () => {
  async function stored(t) {
    const folder = await mkdtemp(join(directory, 'store-'));
    const store = await api.openStore(folder);
    t.after(() => store.close());
    return { folder, store };
  }

  const rows = async (store) => (await store.images({ all: true })).map(({ repository, tag, id }) => [`${repository}:${tag}`, id]);

  for (const kind of ['docker-hybrid', 'oci-gzip']) {
    it(`names a blob that is wrong where it is pushed, and marks its images: ${kind}`, async (t) => {
      const { host } = await startRegistry(t);
      const { folder, store } = await stored(t);
      const file = join(directory, `wrong-${kind}.tar`);
      await fixtures([kind, '--layers', '3', '--size', '700000', '--name', 'app:1', file]);
      await store.load(file);
      const blobs = join(folder, 'blobs/sha256');
      const sizes = await Promise.all((await readdir(blobs)).map(async (name) => ({ name, bytes: await readFile(join(blobs, name)) })));
      const { name, bytes } = sizes.reduce((one, other) => (other.bytes.length > one.bytes.length ? other : one));
      bytes[bytes.length / 2 | 0] ^= 1;
      await writeFile(join(blobs, name), bytes);
      const error = await fails(store.push('app:1', { to: `${host}/wrong/app:1` }), 'damaged-blob');
      assert.equal(error.detail.digest, `sha256:${name}`);
      assert.deepEqual((await store.images()).map(({ damaged }) => damaged), [true]);
      await store.load(file);
      await store.push('app:1', { to: `${host}/wrong/app:1` });
    });
  }

  it('pushes its images, and pulls others', async (t) => {
    const { host } = await startRegistry(t);
    const { store } = await stored(t);
    await store.load(await archiveOf(700_000));
    const [[, id]] = await rows(store);
    const lines = [];
    const report = await store.push('app:1', { to: `${host}/team/app:1`, onLine: (line) => lines.push(line) });
    assert.equal(lines.at(-1), `1: digest: ${report.digest} size: ${report.size}`);
    assert.equal((await store.push(id, { to: `${host}/team/app:by-id` })).digest, report.digest);
    await store.tag('app:1', `${host}/own/name:2`);
    assert.equal((await store.push(`${host}/own/name:2`)).to, `${host}/own/name:2`);
    await fails(store.push('nobody'), 'no-such-image');
    // The beginning of an ID could be a name, at Docker Hub.
    for (const meant of [id, id.slice(0, 13), id.slice(7, 13)]) await fails(store.push(meant), 'invalid-argument');
    const archive = await opened(t, await archiveOf(700_000));
    await fails(archive.push(id.slice(7, 13), { registry: `http://${host}` }), 'invalid-argument');
    await fails(archive.push('app:1', { to: `${host}/a:1`, platforms: [null] }), 'invalid-argument');
    await fails(archive.push('app:1', { registry: new URL(`http://${host}`) }), 'invalid-argument');
    await fails(api.pull(`${host}/team/app:1`, { platform: { os: 'linux' } }), 'invalid-argument');
    await fails((await api.registry(host)).tags('../../team/app'), 'invalid-reference');
    const registry = await api.registry(host);
    for (const odd of ['', '../../tags/list', 'zzz', 'sha256:12']) {
      await fails(registry.referrers('team/app', odd), 'invalid-reference');
      if (odd !== 'zzz') await fails(registry.remove('team/app', odd), 'invalid-reference');
    }
    const secret = await fails(api.registry('shore:long-enough-to-be-seen@registry.local'), 'invalid-argument');
    assert.ok(!inspect(secret, { depth: 5 }).includes('long-enough'), 'its error has the password');

    const { store: other } = await stored(t);
    const phases = new Set();
    const result = await other.pull(`${host}/team/app:1`, { onProgress: ({ phase }) => phases.add(phase) });
    assert.deepEqual(result.images, [id]);
    assert.deepEqual([...phases].filter((phase) => phase === 'pull' || phase === 'store'), ['pull', 'store']);
    assert.deepEqual(await rows(other), [[`${host}/team/app:1`, id]]);
    assert.equal((await other.verify()).verdict, 'intact');
    // Once more, and by another name: nothing comes twice.
    assert.deepEqual(await other.pull(`${host}/team/app:1`).then(({ images, bytes }) => [images, bytes]), [[], 0]);
    await other.pull(`${host}/own/name:2`);
    assert.deepEqual((await rows(other)).map(([name]) => name).sort(), [`${host}/own/name:2`, `${host}/team/app:1`]);
    // As it came it goes on.
    assert.equal((await other.push(`${host}/team/app:1`, { to: `${host}/team/app:again` })).digest, report.digest);
    await fails(other.pull(`${host}/team/app:nothing`), 'not-found');
    await fails(other.pull(7), 'invalid-argument');
  });

  it('packs a layer for a registry that lacks it, and for no other', async (t) => {
    const [one, two, three] = [await startRegistry(t), await startRegistry(t), await startRegistry(t)];
    let { folder, store } = await stored(t);
    await store.load(await many());
    const before = temporaries();
    // What is packed stands in a temporary file until the push is through.
    const push = async (to) => {
      let packed = 0;
      const report = await store.push('app:1', { to, onLine: () => (packed = temporaries() - before) });
      return { packed, digest: report.digest, statuses: [...new Set(report.blobs.map(({ status }) => status))] };
    };
    const first = await push(`${one.host}/app:1`);
    assert.deepEqual([first.packed, first.statuses], [20, ['pushed']]);
    assert.deepEqual(await push(`${one.host}/app:2`), { packed: 0, digest: first.digest, statuses: ['exists'] });
    assert.deepEqual(await push(`${two.host}/app:1`), first);
    // Nor when it was closed in between, nor another time where that is lost.
    await store.close();
    store = await api.openStore(folder);
    t.after(() => store.close());
    assert.equal((await push(`${one.host}/app:4`)).packed, 0);
    await store.close();
    await writeFile(join(folder, 'note.json'), '{"packer":1');
    store = await api.openStore(folder);
    assert.deepEqual(await push(`${one.host}/app:5`), { packed: 20, digest: first.digest, statuses: ['exists'] });
    assert.deepEqual(await push(`${one.host}/app:6`), { packed: 0, digest: first.digest, statuses: ['exists'] });
    const archive = await store.open(['app:1']);
    assert.equal((await archive.push('app:1', { to: `${one.host}/app:3` })).digest, first.digest);
    assert.equal(temporaries(), before);
    await archive.close();
    // What is known of a layer does not stand for its bytes.
    const blobs = join(folder, 'blobs/sha256');
    const sizes = await Promise.all((await readdir(blobs)).map(async (name) => [name, (await stat(join(blobs, name))).size]));
    const [layer] = sizes.find(([, size]) => size > 1_500_000);
    const bytes = await readFile(join(blobs, layer));
    bytes[bytes.length >> 1] ^= 1;
    await writeFile(join(blobs, layer), bytes);
    await fails(push(`${three.host}/app:1`), 'damaged-blob');
    await fails((await api.registry(three.host)).tags('app'), 'not-found');
    assert.equal(temporaries(), before);
  });

  it('takes in nothing that is not what it says, nor half of anything', async (t) => {
    const { host: target } = await startRegistry(t);
    const { folder, store } = await stored(t);
    const archive = await opened(t, await archiveOf(700_000));
    await archive.push('app:1', { to: `${target}/app:1` });
    // Every digest is right, but the config lists another layer than there is.
    const base = `http://${target}/v2/app`;
    const accept = 'application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json';
    const manifest = await (await fetch(`${base}/manifests/1`, { headers: { accept } })).json();
    const config = await (await fetch(`${base}/blobs/${manifest.config.digest}`)).json();
    config.rootfs.diff_ids[1] = `sha256:${'1'.repeat(64)}`;
    const bytes = JSON.stringify(config);
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    const begun = await fetch(`${base}/blobs/uploads/`, { method: 'POST' });
    const location = new URL(begun.headers.get('location'), base);
    location.searchParams.set('digest', digest);
    assert.equal((await fetch(location, { method: 'PUT', body: bytes, headers: { 'content-type': 'application/octet-stream' } })).status, 201);
    manifest.config = { ...manifest.config, digest, size: bytes.length };
    const type = manifest.mediaType ?? 'application/vnd.oci.image.manifest.v1+json';
    const put = await fetch(`${base}/manifests/lies`, { method: 'PUT', body: JSON.stringify(manifest), headers: { 'content-type': type } });
    assert.equal(put.status, 201, await put.text());
    const nothing = async () => {
      assert.deepEqual(await readdir(join(folder, 'blobs/sha256')).catch(() => []), []);
      assert.deepEqual(await readdir(join(folder, 'partial')), []);
    };
    const empty = async () => {
      assert.deepEqual(await store.images({ all: true }), []);
      await nothing();
    };
    const error = await fails(store.pull(`${target}/app:lies`), 'digest-mismatch');
    assert.equal(error.detail.expected, config.rootfs.diff_ids[1]);
    await empty();
    // Stopped on the way, and closed.
    const control = new AbortController();
    await fails(store.pull(`${target}/app:1`, { signal: control.signal, onProgress: ({ phase }) => phase === 'store' && control.abort() }), 'aborted');
    await empty();
    const closing = fails(store.pull(`${target}/app:1`), 'closed');
    await store.close();
    await closing;
    await nothing();
    await fails(store.push('app:1'), 'closed');
  });

  it('pushes no blob that has changed where it is kept', async (t) => {
    const { host } = await startRegistry(t);
    const { folder, store } = await stored(t);
    await store.load(await archiveOf(700_000));
    const blobs = join(folder, 'blobs/sha256');
    let layer;
    for (const name of await readdir(blobs)) if ((await stat(join(blobs, name))).size > 700_000) layer = join(blobs, name);
    const bytes = await readFile(layer);
    bytes[bytes.length >> 1] ^= 1;
    await writeFile(layer, bytes);
    await fails(store.push('app:1', { to: `${host}/app:1` }), 'damaged-blob');
    await fails((await api.registry(host)).tags('app'), 'not-found');
    // Nor is anything remembered of it, once it is right again.
    bytes[bytes.length >> 1] ^= 1;
    await writeFile(layer, bytes);
    assert.deepEqual((await store.verify()).images, []);
    await store.push('app:1', { to: `${host}/app:1` });
  });
});

describe('on a bad line', { skip: skipUnless('docker-registry') }, () => {
  /** The same numbers each time. */
  function random(seed) {
    let state = seed;
    return () => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state / 2 ** 32;
    };
  }

  for (const seed of [1, 2, 3]) {
    it(`uploads and downloads that are cut off arrive whole: seed ${seed}`, async (t) => {
      const { host: target } = await startRegistry(t);
      const next = random(seed);
      let cuts = 0;
      const { host } = await startProxy(t, target, (request) => {
        if (next() > 0.3) return undefined;
        cuts += 1;
        const at = Math.floor(next() * 1_500_000);
        return request.method === 'GET' ? { cutAnswerAfter: at } : { cutAfter: at };
      });
      const archive = await opened(t, await archiveOf(3_000_000));
      for (const chunkSize of [undefined, 1 << 20]) {
        const to = `${host}/cut/app:${chunkSize ?? 'whole'}`;
        await archive.push('app:1', { to, pause: 1, retries: 20, ...(chunkSize && { chunkSize }) });
        await pulled(t, to, { pause: 1, retries: 20 });
      }
      assert.ok(cuts > 0);
      t.diagnostic(`${cuts} cuts`);
    });
  }

  it('an upload goes on from where the registry has got it', async (t) => {
    // Debian's registry begins anew; this one keeps what came, as the specification has it.
    const blobs = new Map();
    const asked = [];
    const uploads = new Map();
    let cutOnce = true;
    const server = createServer((request, response) => {
      const url = new URL(request.url, 'http://x');
      asked.push(`${request.method} ${request.headers['content-range'] ?? ''}`.trim());
      const id = url.searchParams.get('id');
      const answer = (status, headers = {}) => response.writeHead(status, headers).end();
      if (url.pathname === '/v2/') return answer(200);
      if (request.method === 'HEAD') return answer(blobs.has(url.pathname) ? 200 : 404);
      if (request.method === 'POST') {
        uploads.set(String(uploads.size), []);
        return answer(202, { location: `/up?id=${uploads.size - 1}` });
      }
      const got = uploads.get(id);
      const size = () => got.reduce((sum, bytes) => sum + bytes.length, 0);
      if (request.method === 'GET') return answer(204, { range: `0-${size() - 1}`, location: `/up?id=${id}` });
      if (url.pathname.includes('/manifests/')) {
        request.resume();
        return request.on('end', () => answer(201));
      }
      request.on('error', () => {});
      request.on('data', (bytes) => {
        got.push(bytes);
        if (cutOnce && size() > 1_000_000) {
          cutOnce = false;
          request.socket.destroy();
        }
      });
      return request.on('end', () => {
        const digest = createHash('sha256').update(Buffer.concat(got)).digest('hex');
        const isRight = url.searchParams.get('digest') === `sha256:${digest}`;
        answer(isRight ? 201 : 400);
      });
    });
    const host = await listening(t, server);
    const archive = await opened(t, await archiveOf(3_000_000));
    await archive.push('app:1', { to: `${host}/app:1`, concurrency: 1, pause: 1 });
    const resumed = asked.find((line) => /^PUT \d+-\d+$/.test(line));
    assert.ok(resumed, asked.join('\n'));
    assert.ok(Number(resumed.split(/[ -]/)[1]) > 1_000_000, resumed);
  });

  it('storms of 429 and 500 are waited for, or told', async (t) => {
    const { host: target } = await startRegistry(t);
    const times = new Map();
    // Each request fails twice before it goes through.
    const { host, seen } = await startProxy(t, target, (request) => {
      // An upload's own address is another one each time.
      const what = `${request.method} ${request.url.replace(/uploads\/.*/, 'uploads')}`;
      times.set(what, (times.get(what) ?? 0) + 1);
      if (times.get(what) > 2) return undefined;
      const busy = { status: 429, headers: { 'retry-after': '0' } };
      return times.get(what) === 1 ? busy : { status: 503, body: '<html>gone fishing</html>' };
    });
    const archive = await opened(t, await archiveOf(200_000));
    await archive.push('app:1', { to: `${host}/app:1`, pause: 1 });
    await pulled(t, `${host}/app:1`, { pause: 1 });
    assert.ok(seen.length > 20);
    const storm = await startProxy(t, target, () => ({ status: 500, body: 'no' }));
    const error = await fails(archive.push('app:1', { to: `${storm.host}/app:1`, pause: 1, retries: 3 }), 'registry-failed');
    assert.equal(storm.seen.length, 4);
    assert.equal(error.detail.status, 500);
  });

  it('what arrives wrong is told, on both ways', async (t) => {
    const { host: target } = await startRegistry(t);
    const archive = await opened(t, await archiveOf(2_000_000));
    await archive.push('app:1', { to: `${target}/app:1` });
    // One other byte in each piece of a layer.
    const flip = (bytes) => {
      const other = Buffer.from(bytes);
      other[0] ^= 1;
      return other;
    };
    const wrong = await startProxy(t, target, (request) => (request.method === 'GET' && request.url.includes('/blobs/') ? { change: flip } : undefined));
    await fails(api.pull(`${wrong.host}/app:1`, HASTY), 'digest-mismatch');
    const manifests = await startProxy(t, target, (request) => (request.url.includes('/manifests/') ? { change: (bytes) => Buffer.concat([bytes, Buffer.from(' ')]) } : undefined));
    await fails(api.pull(`${manifests.host}/app:1`, HASTY), 'digest-mismatch');
    const short = await startProxy(t, target, (request) => (request.method === 'GET' && request.url.includes('/blobs/') ? { change: () => Buffer.alloc(0) } : undefined));
    await fails(api.pull(`${short.host}/app:1`, HASTY), 'invalid-answer');
    // A registry that says that it stored something else.
    const liar = await startProxy(t, target, (request) =>
      request.method === 'PUT' ? { status: 201, headers: { 'docker-content-digest': `sha256:${'0'.repeat(64)}` } } : undefined,
    );
    await fails(archive.push('app:1', { to: `${liar.host}/other:1`, ...HASTY }), 'digest-mismatch');
  });

  it('who never answers is told of', async (t) => {
    const { host: target } = await startRegistry(t);
    const silent = await startProxy(t, target, () => ({ silent: true }));
    const archive = await opened(t, await archiveOf(20_000));
    const error = await fails(archive.push('app:1', { to: `${silent.host}/app:1`, pause: 1, timeout: 300 }), 'unreachable');
    assert.equal(error.detail.reason, 'timeout');
    assert.equal((await (await api.registry(silent.host, { pause: 1, timeout: 300 })).check()).status, 'unreachable');
    const nobody = `127.0.0.1:${await freePort()}`;
    assert.equal((await (await api.registry(nobody, HASTY)).check()).status, 'unreachable');
    const page = createServer((request, response) => response.writeHead(404).end('<html>'));
    assert.equal((await (await api.registry(await listening(t, page), HASTY)).check()).status, 'no-registry');
  });

  it('a certificate that nobody trusts is told apart', async (t) => {
    const [key, certificate] = ['key.pem', 'certificate.pem'].map((name) => join(directory, name));
    const subject = ['-subj', '/CN=localhost', '-days', '2'];
    await run('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', certificate, ...subject]);
    const server = createTlsServer({ key: await readFile(key), cert: await readFile(certificate) }, (request, response) => response.end());
    const host = await listening(t, server);
    assert.equal((await (await api.registry(`https://${host}`)).check()).status, 'wrong-certificate');
  });

  it('a push and a pull can be stopped, and go on the next time', async (t) => {
    const { host } = await startRegistry(t);
    const archive = await opened(t, await archiveOf(3_000_000));
    const stop = (phase) => {
      const control = new AbortController();
      const onProgress = (progress) => progress.phase === phase && progress.done > 100_000 && control.abort();
      return { signal: control.signal, onProgress, concurrency: 1 };
    };
    await fails(archive.push('app:1', { to: `${host}/app:1`, ...stop('push') }), 'aborted');
    await archive.push('app:1', { to: `${host}/app:1` });
    await fails(api.pull(`${host}/app:1`, stop('pull')), 'aborted');
    await pulled(t, `${host}/app:1`);
    const closing = fails(archive.push('app:1', { to: `${host}/app:2` }), 'closed');
    await archive.close();
    await closing;
  });
});
