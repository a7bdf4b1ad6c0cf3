// The page without its server: what it was once opened from is gone, and it works.
import assert from 'node:assert/strict';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { serve } from '../../web/serve.mjs';

const DIST = fileURLToPath(new URL('../../dist', import.meta.url));
const context = lasting();
let archive;

before(async () => {
  archive = join(await temporary(context), 'app.tar');
  await fixtures(['docker-legacy', '--layers', '2', '--name', 'app:1', archive]);
});

/** Serves a folder while `use` has it, which may close it before. */
async function withSite(options, use) {
  const { origin, close } = await serve(options);
  let closing;
  const closeOnce = () => (closing ??= close());
  try {
    await use(origin, closeOnce);
  } finally {
    await closeOnce();
  }
}

/** Whether there is a worker for the page, and none that is newer. */
async function isServed() {
  const { installing, waiting, active } = (await navigator.serviceWorker.getRegistration()) ?? {};
  return !installing && !waiting && active?.state === 'activated' && navigator.serviceWorker.controller !== null;
}

async function open(page) {
  await page.setFiles('#file', archive);
  await page.waitFor(() => document.querySelector('.archive h2') !== null);
}

async function verify(page) {
  await page.click('button', 'Verify every byte');
  await page.waitFor(() => document.querySelector('.report .badge')?.textContent === 'Intact');
}

for (const browser of ['chromium', 'firefox']) {
  describe(`without a server in ${browser}`, { skip: skipUnlessBrowser(browser) }, () => {
    it('opens, verifies, keeps and looks into an archive, from the first visit on', async () => {
      await withSite({}, async (origin, close) => {
        await withPage(browser, origin, async (page) => {
          await page.goto('/');
          await page.waitFor(isServed);
          await close();
          await open(page);
          await verify(page);
          await page.click('button', 'Keep on the shelf');
          const isKept = () => document.querySelector('.shelf tbody tr')?.textContent.includes('app');
          await page.waitFor(isKept);
          await page.evaluate(() => document.querySelector('details.files').setAttribute('open', ''));
          await page.waitFor(() => document.querySelectorAll('[role=treeitem]').length > 0);
          await page.goto('/');
          await page.waitFor(isKept);
          await open(page);
          await verify(page);
        });
      });
    });

    it('has all of one version after an update', async (t) => {
      const root = join(await temporary(t), 'dist');
      await cp(DIST, root, { recursive: true });
      const change = async (path, from, to) => {
        const text = await readFile(join(root, path), 'utf8');
        await writeFile(join(root, path), text.replace(from, to));
      };
      await withSite({ root }, async (origin, close) => {
        await withPage(browser, origin, async (page) => {
          await page.goto('/');
          await page.waitFor(isServed);
          await change('app/main.js', /$/, "\ndocument.body.dataset.main = 'new';\n");
          // What is loaded with a report.
          await change('app/verifying/report.js', /$/, "\ndocument.body.dataset.report = 'new';\n");
          await change('precache.js', /version = '/, '$&new');
          await page.goto('/');
          await page.waitFor(() => document.body.dataset.main === 'new');
          await page.waitFor(async () => (await caches.keys()).every((name) => / new[0-9a-f]+$/.test(name)));
          await page.waitFor(isServed);
          await close();
          await open(page);
          await verify(page);
          assert.equal(await page.evaluate(() => document.body.dataset.report), 'new');
        });
      });
    });
  });
}
