// Every format in the page: opened, verified, saved as another, and the download in the hands of those who load it.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { fixtures, namesIn } from '../support/fixtures.mjs';
import { skipUnless, skopeo } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { SCREENSHOTS, startSite } from '../support/site.mjs';
import { lasting, temporary } from '../support/temp.mjs';

// What is opened, with what it is to be saved as.
const CASES = [
  { kind: 'docker-legacy', format: 'oci', opened: /^Docker archive, 2 images/ },
  { kind: 'docker-hybrid', format: 'docker-legacy', opened: /^Docker archive with an OCI layout, 2 images/ },
  { kind: 'containerd-gzip', format: 'oci', opened: /^Docker archive with an OCI layout, 2 images/ },
  { kind: 'crane', format: 'docker', opened: /^Docker archive, 2 images/ },
  { kind: 'oci-gzip', format: 'docker', opened: /^OCI layout, 2 images/ },
  { kind: 'docker-v1', format: 'docker', opened: /^Docker archive of version 1\.0, 2 images/, verdict: 'Cannot be told' },
  { kind: 'oci-gzip', pack: 'gzip', format: 'docker-legacy', opened: /^OCI layout, 2 images/ },
  { kind: 'docker-legacy', pack: 'xz', format: 'docker', opened: /^Docker archive, 2 images/ },
];

for (const browser of ['chromium', 'firefox']) {
  describe(`formats in ${browser}`, { skip: skipUnlessBrowser(browser) || skipUnless('dockerd', 'skopeo', 'xz') }, () => {
    const context = lasting();
    let directory;
    let engine;
    let origin;

    before(async () => {
      ({ origin, directory } = await startSite(context));
      engine = await startDocker(context);
    });

    async function made({ kind, pack }) {
      const file = join(directory, `${kind}.tar`);
      await fixtures([kind, '--images', '2', '--layers', '3', '--name', 'app:1', '--name', 'registry.local/db:5', file]);
      if (!pack) return file;
      await run(pack, ['--force', '--keep', file]);
      return `${file}${pack === 'gzip' ? '.gz' : '.xz'}`;
    }

    async function open(page, file) {
      await page.goto('/');
      await page.setFiles('#file', file);
      await page.waitFor(() => document.querySelector('.archive h2') !== null);
    }

    for (const one of browser === 'chromium' ? CASES : CASES.slice(4, 7)) {
      it(`${one.kind}${one.pack ? `, packed with ${one.pack},` : ''} verifies, and becomes ${one.format}`, async () => {
        const file = await made(one);
        await withPage(browser, origin, async (page) => {
          await open(page, file);
          assert.match(await page.text('.archive > .hint'), one.opened);
          await page.click('button', 'Verify every byte');
          await page.waitFor(() => document.querySelector('.report .badge') !== null);
          assert.equal(await page.text('.report .badge'), one.verdict ?? 'Intact');

          await page.evaluate((format) => {
            document.querySelector('.choosing').open = true;
            const select = document.querySelector('.choosing select');
            select.value = format;
            select.dispatchEvent(new Event('change'));
          }, one.format);
          const { path: saved } = await page.download(() => page.click('button', 'Save'));
          await judge(saved, one);
        });
      });
    }

    /** Those who load the format find what was in the archive. */
    async function judge(saved, { kind, format }) {
      if (format === 'oci') {
        for (const name of ['docker.io/library/app:1', 'registry.local/db:5']) {
          const copy = await temporary(context);
          await skopeo('copy', '--quiet', `oci-archive:${saved}:${name}`, `dir:${copy}`);
          assert.ok(JSON.parse(await readFile(join(copy, 'manifest.json'), 'utf8')).layers.length > 0);
        }
        return;
      }
      await engine.empty();
      await engine.docker('load', '--input', saved);
      const images = await engine.images();
      assert.deepEqual(Object.keys(images), ['app:1', 'registry.local/db:5'], kind);
      assert.deepEqual(images, await namesIn(saved));
    }

    it('says who would load it, and what would help', async () => {
      const file = await made({ kind: 'oci-gzip' });
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        await page.evaluate(() => document.querySelector('.readers summary').click());
        await page.waitFor(() => document.querySelectorAll('.readers tbody tr').length === 6);
        const verdicts = await page.evaluate(() =>
          [...document.querySelectorAll('.readers tbody tr')].map((row) => row.querySelector('.badge').textContent),
        );
        // Docker's classic store and crane read no layouts; podman and skopeo ask which of several images is meant.
        assert.deepEqual(verdicts.slice(0, 3), ['Refuses', 'Refuses', 'Loads']);
        await page.screenshot(join(SCREENSHOTS, `readers-${browser}.png`));
        // Once what layers hold is known, nothing says that it counts later.
        assert.equal(await page.evaluate(() => document.querySelector('.readers .hint').hidden), false);
        await page.click('button', 'Verify every byte');
        await page.waitFor(() => document.querySelector('.readers .hint').hidden);
        await page.evaluate(() => document.querySelector('.readers tbody button').click());
        assert.equal(await page.evaluate(() => document.querySelector('.choosing select').value), 'docker');
        const { path: saved } = await page.download(() => page.click('button', 'Save'));
        await engine.empty();
        await engine.docker('load', '--input', saved);
        assert.equal(Object.keys(await engine.images()).length, 2);
      });
    });

    it('names the damage, and saves the report', async () => {
      const file = await made({ kind: 'docker-legacy' });
      const bytes = await readFile(file);
      // In the middle of a layer's file.
      const at = bytes.indexOf('data.bin') + 512 + 100;
      bytes[at] ^= 1;
      const damaged = join(directory, 'damaged.tar');
      await writeFile(damaged, bytes);
      await withPage(browser, origin, async (page) => {
        await open(page, damaged);
        await page.click('button', 'Verify every byte');
        await page.waitFor(() => document.querySelector('.report .badge') !== null);
        assert.equal(await page.text('.report .badge'), 'Damaged');
        const { path: report } = await page.download(() => page.click('button', 'Save the report as JSON'));
        const { verdict, findings } = JSON.parse(await readFile(report, 'utf8'));
        assert.equal(verdict, 'damaged');
        assert.ok(findings.some(({ code }) => code === 'diff-id-mismatch'));
        await page.screenshot(join(SCREENSHOTS, `damaged-${browser}.png`));
      });
    });

    it('repairs what is listed, and only when asked', async () => {
      const file = await made({ kind: 'docker-hybrid' });
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        await page.evaluate(() => document.querySelector('details:has(> .repairs) > summary').click());
        await page.waitFor(() => document.querySelector('.repairs button') !== null);
        await page.evaluate(() => document.querySelector('.repairs button').click());
        await page.waitFor(() => document.querySelector('.repairs .hint') !== null);
        assert.equal(await page.text('.repairs .hint'), 'There is nothing to repair.');
        const { path: saved } = await page.download(() => page.click('button', 'Save'));
        await engine.empty();
        await engine.docker('load', '--input', saved);
        assert.equal(Object.keys(await engine.images()).length, 2);
      });
    });

    it('takes an image out of the archive, and brings it back', async () => {
      const file = await made({ kind: 'docker-hybrid' });
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        const images = () => page.evaluate(() => document.querySelectorAll('.image').length);
        assert.equal(await images(), 2);
        await page.evaluate(() => document.querySelector('.image button[aria-label^="Remove from"]').click());
        await page.waitFor(() => document.querySelectorAll('.image').length === 1);
        assert.match(await page.text('.state'), /^Unsaved edits\. Removed the image [0-9a-f]{12}/);
        // The button is gone, and so is that of the last image.
        assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H2');
        assert.equal(await page.evaluate(() => [...document.querySelectorAll('.image button')].some((one) => /^Remove from/.test(one.textContent) && one.checkVisibility())), false);
        const { path: saved } = await page.download(() => page.click('button', 'Save'));
        await engine.empty();
        await engine.docker('load', '--input', saved);
        assert.equal(Object.keys(await engine.images()).length, 1);
        await page.click('button', 'Undo');
        await page.waitFor(() => document.querySelectorAll('.image').length === 2);
        assert.equal(await page.evaluate(() => document.querySelectorAll('.image p:not([hidden]) > button[aria-label^="Remove from"]').length), 2);
      });
    });

    it('shows what is beside the images, and saves some of them', async () => {
      const file = join(directory, 'platforms.tar');
      await fixtures(['oci-platforms', '--images', '3', '--name', 'app:1', file]);
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        assert.match(await page.text('.archive > .hint'), /^OCI layout, 3 images/);
        assert.equal(await page.evaluate(() => document.querySelectorAll('.others > li').length), 3);
        await page.evaluate(() => {
          for (const details of document.querySelectorAll('.choosing, .choosing details')) details.open = true;
          const boxes = [...document.querySelectorAll('.choices input[type=checkbox]')];
          for (const box of boxes.slice(1)) box.click();
          const select = document.querySelector('.choosing select');
          select.value = 'docker';
          select.dispatchEvent(new Event('change'));
        });
        const { path: saved } = await page.download(() => page.click('button', 'Save'));
        await engine.empty();
        await engine.docker('load', '--input', saved);
        assert.deepEqual(Object.keys(await engine.images()), ['app:1']);
        await page.screenshot(join(SCREENSHOTS, `platforms-${browser}.png`));
      });
    });

    // WebDriver cannot choose a folder in Firefox.
    it('opens a folder', { skip: browser === 'firefox' && 'skipped: no folders through WebDriver' }, async () => {
      const file = await made({ kind: 'oci-gzip' });
      const folder = join(directory, 'layout');
      await mkdir(folder, { recursive: true });
      await run('tar', ['-xf', file, '-C', folder]);
      await withPage(browser, origin, async (page) => {
        await page.goto('/');
        await page.setFiles('#folder', folder);
        await page.waitFor(() => document.querySelector('.archive h2') !== null);
        assert.equal(await page.text('h2'), 'layout.tar');
        assert.match(await page.text('.archive > .hint'), /^OCI layout, 2 images/);
      });
    });
  });
}
