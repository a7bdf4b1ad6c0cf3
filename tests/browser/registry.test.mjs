// Push and pull from pages: a real registry, with what it has to send for that, and without.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { longshore } from '../support/longshore.mjs';
import { skipUnless } from '../support/peers.mjs';
import { freePort, mayAsk, startNginx, startProxy, startRegistry, startTokens } from '../support/registry.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { serve } from '../../web/serve.mjs';

const PAGE = '<!doctype html><link rel="icon" href="data:,"><input type="file" id="file">';
const USER = { user: 'shore', password: 'long-enough-to-be-seen' };
const context = lasting();

let server;
let archive;
let open;
let locked;
let closed;
let byToken;
let nobody;

describe('in pages', { skip: skipUnless('docker-registry') }, () => {
  before(async () => {
    const directory = await temporary(context);
    archive = join(directory, 'app.tar');
    await fixtures(['docker-legacy', '--layers', '3', '--size', '3000000', '--name', 'app:1', archive]);
    server = await serve({ policy: '', pages: { '/test.html': PAGE } });
    context.after(server.close);
    const users = { [USER.user]: USER.password };
    open = await startRegistry(context, { cors: true });
    const behind = async (options) => startProxy(context, (await startRegistry(context, { cors: true, ...options })).host, mayAsk);
    locked = await behind({ users });
    closed = await startRegistry(context);
    byToken = await behind({ token: await startTokens(context, { users }) });
    nobody = `127.0.0.1:${await freePort()}`;
  });

  for (const engine of ['chromium', 'firefox']) {
    const skip = skipUnlessBrowser(engine);
    // The page talks to other origins here, and what they refuse is in its log.
    const onPage = (use) => withPage(engine, server.origin, async (page) => {
      await page.goto('/test.html');
      await page.setFiles('#file', archive);
      return use(page);
    }, { expectErrors: true });

    it(`${engine}: an image goes there and back`, { skip }, async () => {
      const { report, lines, phases, back } = await onPage((page) => page.evaluate(thereAndBack, { to: `${open.host}/${engine}/app:1` }));
      assert.ok(lines[0].startsWith('The push refers to repository ['));
      assert.equal(lines.at(-1), `1: digest: ${report.digest} size: ${report.size}`);
      assert.deepEqual(phases, ['pack', 'push']);
      assert.equal(back.verdict, 'intact');
      assert.deepEqual(back.references, [`${open.host}/${engine}/app:1`]);
      assert.equal(back.left, 0, 'what was pulled stays in the browser');
      // Node sees the same.
      const { pull } = await longshore();
      const same = await pull(`${open.host}/${engine}/app:1`);
      assert.equal(same.images[0].digest, report.digest);
      await same.close();
    });

    it(`${engine}: a second push packs nothing, and a store pushes and pulls`, { skip }, async () => {
      const { first, second, packs, pulled, rows, verdict, again } = await onPage((page) =>
        page.evaluate(async (to) => {
          const { openArchive, openStore } = await import('/lib/index.js');
          const archive = await openArchive(document.getElementById('file').files[0]);
          const first = await archive.push('app:1', { to });
          let packs = 0;
          const second = await archive.push('app:1', { to, onProgress: ({ phase }) => (packs += phase === 'pack') });
          await archive.close();
          const store = await openStore();
          const pulled = await store.pull(to);
          const rows = await store.images();
          const { verdict } = await store.verify();
          const again = await store.push(to);
          await store.close();
          return { first, second, packs, pulled, rows, verdict, again };
        }, `${open.host}/${engine}/store:1`),
      );
      assert.deepEqual([second.digest, again.digest], [first.digest, first.digest]);
      assert.ok([...second.blobs, ...again.blobs].every(({ status }) => status === 'exists'));
      // A layer that is packed tells how far it is, but for those that were.
      assert.equal(packs, 3);
      assert.deepEqual(rows.map(({ id, repository, tag }) => [id, `${repository}:${tag}`]), [[pulled.images[0], `${open.host}/${engine}/store:1`]]);
      assert.equal(verdict, 'intact');
    });

    it(`${engine}: a store remembers over a reload what its layers are when they are packed`, { skip }, async () => {
      const to = `${open.host}/${engine}/packed:1`;
      const push = (page) =>
        page.evaluate(async (to) => {
          const { openStore } = await import('/lib/index.js');
          const store = await openStore();
          if ((await store.images()).length === 0) await store.load(document.getElementById('file').files[0]);
          const { digest } = await store.push('app:1', { to });
          await store.close();
          const database = await new Promise((resolve, reject) => {
            const request = indexedDB.open('longshore-store');
            request.onsuccess = () => resolve(request.result);
            request.onerror = () => reject(request.error);
          });
          const note = await new Promise((resolve) => {
            database.transaction('meta').objectStore('meta').get('note').onsuccess = ({ target }) => resolve(target.result);
          });
          database.close();
          return { digest, layers: note.layers.map(([layer]) => layer) };
        }, to);
      await onPage(async (page) => {
        const first = await push(page);
        assert.equal(new Set(first.layers).size, 3);
        await page.goto('/test.html');
        assert.deepEqual(await push(page), first);
      });
    });

    it(`${engine}: in pieces, behind a password and behind a token service`, { skip }, async () => {
      for (const { host } of [locked, byToken]) {
        const to = `${host}/${engine}/app:1`;
        const { back } = await onPage((page) => page.evaluate(thereAndBack, { to, options: { credentials: USER, chunkSize: 1 << 20 } }));
        assert.equal(back.verdict, 'intact');
      }
    });

    it(`${engine}: behind a password and nginx, with the settings that the docs have`, { skip: skip || skipUnless('nginx') }, async () => {
      const registry = await startRegistry(context, { users: { [USER.user]: USER.password } });
      const { host } = await startNginx(context, registry.host, server.origin);
      const to = `${host}/${engine}/app:1`;
      const { back } = await onPage((page) => page.evaluate(thereAndBack, { to, options: { credentials: USER, chunkSize: 1 << 20 } }));
      assert.equal(back.verdict, 'intact');
    });

    it(`${engine}: a registry says what is wrong with it, as far as a page can see`, { skip }, async () => {
      const statuses = await onPage((page) =>
        page.evaluate(async (hosts) => {
          const { registry } = await import('/lib/index.js');
          const found = [];
          for (const host of hosts) found.push((await (await registry(host, { pause: 1 })).check()).status);
          return found;
        }, [open.host, locked.host, closed.host, nobody]),
      );
      assert.deepEqual(statuses, ['ok', 'needs-login', 'no-cors', 'unreachable']);
    });

    it(`${engine}: another origin sees no credentials, even where the browser follows`, { skip }, async () => {
      const cors = { 'access-control-allow-origin': '*', 'access-control-allow-headers': '*, authorization' };
      const elsewhere = await startProxy(context, open.host, (request) => (request.method === 'OPTIONS' ? { status: 204, headers: cors } : { status: 404, headers: cors }));
      const { host } = await startProxy(context, locked.host, (request) =>
        request.method === 'GET' && request.url.includes('/blobs/')
          ? { status: 307, headers: { ...cors, location: `http://${elsewhere.host}/x` } }
          : mayAsk(request),
      );
      await onPage((page) => page.evaluate(thereAndBack, { to: `${locked.host}/${engine}/app:1`, options: { credentials: USER } }));
      const code = await onPage((page) =>
        page.evaluate(async ({ from, credentials }) => {
          const { pull } = await import('/lib/index.js');
          return pull(from, { credentials, pause: 1 }).then(() => 'pulled', (error) => error.code);
        }, { from: `${host}/${engine}/app:1`, credentials: USER }),
      );
      assert.equal(code, 'not-found');
      const gets = elsewhere.seen.filter(({ method }) => method === 'GET');
      assert.ok(gets.length > 0);
      assert.ok(gets.every(({ headers }) => headers.authorization === undefined && headers.cookie === undefined));
    });
  }
});

/** Runs in the page. */
async function thereAndBack({ to, options = {} }) {
  const { openArchive, pull } = await import('/lib/index.js');
  const archive = await openArchive(document.getElementById('file').files[0]);
  const lines = [];
  const phases = new Set();
  const report = await archive.push('app:1', {
    ...options,
    to,
    onLine: (line) => lines.push(line),
    onProgress: ({ phase }) => phases.add(phase),
  });
  await archive.close();
  const pulled = await pull(to, options);
  const { verdict } = await pulled.verify();
  const references = pulled.images[0].references;
  await pulled.close();
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open('longshore-unpacked', 1);
    request.onupgradeneeded = () => request.result.createObjectStore('pieces');
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const left = await new Promise((resolve) => {
    const request = database.transaction('pieces').objectStore('pieces').count();
    request.onsuccess = () => resolve(request.result);
  });
  database.close();
  return { report, lines, phases: [...phases], back: { verdict, references, left } };
}
