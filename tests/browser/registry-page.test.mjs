// The page's parts that talk to registries: pushing from an open archive, pulling, browsing, and what it says where it may not.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { BUILT, makeArchives } from '../support/images.mjs';
import { skipUnless, skopeo } from '../support/peers.mjs';
import { mayAsk, startProxy, startRegistry } from '../support/registry.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { serve } from '../../web/serve.mjs';

const USER = { user: 'shore', password: 'long-enough-to-be-seen' };
const context = lasting();

let server;
let offline;
let archive;
let open;
let locked;

/** Opens one of the page's panels. */
const unfold = (page, selector) => page.evaluate((wanted) => document.querySelector(wanted).setAttribute('open', ''), selector);

async function problem(page, text) {
  await page.waitFor((wanted) => document.querySelector('#problem')?.textContent.includes(wanted), text);
}

describe('registries on the page', { skip: skipUnless('docker-registry', 'skopeo') }, () => {
  before(async () => {
    const directory = await temporary(context);
    archive = join(directory, 'app.tar');
    await fixtures(['docker-legacy', '--images', '2', '--layers', '2', '--size', '300000', '--name', 'app:1', '--name', 'db:5', archive]);
    open = await startRegistry(context, { cors: true });
    const behind = await startRegistry(context, { cors: true, users: { [USER.user]: USER.password } });
    locked = await startProxy(context, behind.host, mayAsk);
    server = await serve({ registries: [`http://${open.host}`, `http://${locked.host}`] });
    context.after(server.close);
    offline = await serve();
    context.after(offline.close);
  });

  for (const engine of ['chromium', 'firefox']) {
    const skip = skipUnlessBrowser(engine);
    // The page talks to other origins here, which is what the test looks for otherwise.
    const onPage = (use) => withPage(engine, server.origin, async (page) => {
      await page.goto('/');
      return use(page);
    }, { expectErrors: true });

    it(`${engine}: pushes an image, mirrors all, browses and pulls`, { skip }, async () => {
      await onPage(async (page) => {
        await page.setFiles('#file', archive);
        await page.waitFor(() => document.querySelector('.archive h2') !== null);
        await unfold(page, '.pushing');
        await page.fill('.pushing input[placeholder="registry.local/team/app:1"]', `${open.host}/${engine}/app:1`);
        await page.evaluate(() => {
          // A double click pushes once.
          const push = [...document.querySelectorAll('.pushing button')].find(({ textContent }) => textContent === 'Push');
          push.click();
          push.click();
        });
        await page.waitFor(() => /1: digest: sha256:[0-9a-f]{64} size: \d+/.test(document.querySelector('.pushing .journal')?.textContent));

        await page.fill('.pushing input[placeholder="registry.local/mirror"]', `${open.host}/${engine}-mirror`);
        await page.click('button', 'List what would be pushed');
        await page.waitFor(() => document.querySelector('.pushing .journal').textContent.includes('2 names would be pushed.'));
        await page.click('button', 'Push all');
        await page.waitFor(() => document.querySelector('.pushing .journal').textContent.includes('2 names pushed, 0 failed.'));
        assert.equal(await page.evaluate(() => document.querySelectorAll('.pushing .journal > div').length), 3);
        const copied = JSON.parse(await run('skopeo', ['inspect', '--tls-verify=false', `docker://${open.host}/${engine}-mirror/db:5`]));
        assert.equal(copied.Layers.length, 2);

        await unfold(page, '.pulling');
        await page.fill('.pulling input[placeholder="registry.local/team/app:1"]', open.host);
        await page.click('button', 'Check');
        await page.waitFor(() => document.querySelector('.browsing .badge')?.textContent === 'ok');
        await page.click('button', 'Browse');
        await page.waitFor((name) => [...document.querySelectorAll('.browsing button')].some(({ textContent }) => textContent === name), `${engine}/app`);
        await page.click('button', `${engine}/app`);
        await page.waitFor(() => [...document.querySelectorAll('.browsing button')].some(({ textContent }) => textContent === '1'));
        assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Browse');
        await page.click('button', '1');
        await page.click('button', 'Pull');
        await page.waitFor((name) => document.querySelector('.image h3')?.textContent === name, `${open.host}/${engine}/app:1`);
        // What is said of one registry goes when another is named.
        await page.click('button', 'Check');
        await page.waitFor(() => document.querySelector('.browsing .badge')?.textContent === 'ok');
        await page.fill('.pulling input[placeholder="registry.local/team/app:1"]', 'other.local');
        assert.equal(await page.text('.browsing'), '');
        await page.click('button', 'Verify every byte');
        await page.waitFor(() => document.querySelector('.report .badge')?.textContent === 'Intact');
      });
    });

    it(`${engine}: pushes what skopeo copies, and docker pulls and runs`, { skip: skip || skipUnless('dockerd', 'busybox') }, async (t) => {
      const docker = await startDocker(t);
      const directory = await temporary(t);
      const { files, ids } = await makeArchives(docker, directory);
      const to = `${open.host}/${engine}-run/mysql:5.5`;
      await onPage(async (page) => {
        await page.setFiles('#file', files.tags);
        await page.waitFor(() => document.querySelector('.archive h2') !== null);
        await unfold(page, '.pushing');
        await page.fill('.pushing input[placeholder="registry.local/team/app:1"]', to);
        await page.click('button', 'Push');
        await page.waitFor(() => document.querySelector('.pushing .journal')?.textContent.includes('5.5: digest: sha256:'));
      });
      await skopeo('copy', '--quiet', '--src-tls-verify=false', `docker://${to}`, `dir:${join(directory, 'copied')}`);
      await docker.empty();
      await docker.docker('pull', '--quiet', to);
      assert.deepEqual(await docker.images(), { [to]: ids.mysql });
      assert.equal(await docker.run(to), BUILT.mysql.prints);
    });

    it(`${engine}: pushes chosen images from the shelf`, { skip }, async () => {
      await onPage(async (page) => {
        await page.waitFor(() => document.querySelector('#shelf input[type=file]') !== null);
        await page.setFiles('#shelf input[type=file]', archive);
        await page.waitFor(() => document.querySelectorAll('.shelf tbody tr').length === 2);
        const choose = (name) => page.evaluate((label) => [...document.querySelectorAll('.shelf input')].find(({ ariaLabel }) => ariaLabel === label).click(), `Choose ${name}`);
        await unfold(page, '#shelf .pushing');
        await page.waitFor(() => document.querySelector('#shelf .pushing')?.innerText.includes('Choose images first.'));
        await choose('app:1');
        await page.fill('.pushing input[placeholder="registry.local/team/app:1"]', `${open.host}/${engine}-shelf/app:1`);
        await page.click('button', 'Push');
        await page.waitFor(() => /1: digest: sha256:[0-9a-f]{64} size: \d+/.test(document.querySelector('.pushing .journal')?.textContent));
        const [local, remote] = await Promise.all([
          page.evaluate(() => document.querySelector('.shelf tr:has(input:checked) .copy').title.replace('Copy ', '')),
          run('skopeo', ['inspect', '--raw', '--tls-verify=false', `docker://${open.host}/${engine}-shelf/app:1`]),
        ]);
        assert.equal(JSON.parse(remote).config.digest, local);

        await choose('db:5');
        await page.fill('.pushing input[placeholder="registry.local/mirror"]', `${open.host}/${engine}-shelf`);
        await page.click('button', 'Push all');
        await page.waitFor(() => document.querySelector('.pushing .journal').textContent.includes('2 names pushed, 0 failed.'));
        const copied = JSON.parse(await run('skopeo', ['inspect', '--tls-verify=false', `docker://${open.host}/${engine}-shelf/db:5`]));
        assert.equal(copied.Layers.length, 2);
      });
    });

    it(`${engine}: asks for a password where one is wanted, and shows it nowhere`, { skip }, async () => {
      await onPage(async (page) => {
        await page.setFiles('#file', archive);
        await page.waitFor(() => document.querySelector('.archive h2') !== null);
        await unfold(page, '.pushing');
        await page.fill('.pushing input[placeholder="registry.local/team/app:1"]', `${locked.host}/${engine}/app:1`);
        await page.click('button', 'Push');
        await page.waitFor(() => document.querySelector('#problem .code code')?.textContent === 'unauthorized');
        assert.notEqual(await page.text('.pushing .journal pre'), '');
        await page.fill('.pushing .login input[type=text]', USER.user);
        await page.fill('.pushing .login input[type=password]', USER.password);
        await page.click('button', 'Push');
        await page.waitFor(() => /digest: sha256:/.test(document.querySelector('.pushing .journal')?.textContent));
        assert.ok(!(await page.evaluate(() => document.body.innerText)).includes(USER.password));
        const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
        assert.ok(!stored.includes(USER.password));
      });
    });

    it(`${engine}: says how to serve it where its policy keeps it from a registry`, { skip }, async () => {
      await withPage(engine, offline.origin, async (page) => {
        await page.goto('/');
        await unfold(page, '.pulling');
        await page.fill('.pulling input[placeholder="registry.local/team/app:1"]', `${open.host}/team/app:1`);
        await page.click('button', 'Pull');
        await problem(page, `npm start -- --registry http://${open.host}`);
      });
    });
  }
});
