// The page without its server: what it was once opened from is gone, and it works.
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { serve } from '../../web/serve.mjs';

const context = lasting();
let archive;

before(async () => {
  archive = join(await temporary(context), 'app.tar');
  await fixtures(['docker-legacy', '--layers', '2', '--name', 'app:1', archive]);
});

for (const browser of ['chromium', 'firefox']) {
  describe(`without a server in ${browser}`, { skip: skipUnlessBrowser(browser) }, () => {
    it('opens, verifies, keeps and looks into an archive', async () => {
      const { origin, close } = await serve();
      let isClosed = false;
      try {
        await withPage(browser, origin, async (page) => {
          await page.goto('/');
          await page.evaluate(() => navigator.serviceWorker.ready.then(() => {}));
          await close();
          isClosed = true;
          await page.goto('/');
          await page.setFiles('#file', archive);
          await page.waitFor(() => document.querySelector('.archive h2') !== null);
          await page.click('button', 'Verify every byte');
          await page.waitFor(() => document.querySelector('.report .badge')?.textContent === 'Intact');
          await page.click('button', 'Keep on the shelf');
          await page.waitFor(() => document.querySelector('.shelf tbody tr')?.textContent.includes('app'));
          await page.evaluate(() => document.querySelector('details.files').setAttribute('open', ''));
          await page.waitFor(() => document.querySelectorAll('[role=treeitem]').length > 0);
        });
      } finally {
        if (!isClosed) await close();
      }
    });
  });
}
