// The shelf of the page: Docker's image cache in real browsers, used as a person would use it.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { skipUnless } from '../support/peers.mjs';
import { SCREENSHOTS, startSite } from '../support/site.mjs';
import { writeImages } from '../support/tars.mjs';
import { lasting } from '../support/temp.mjs';

let origin;
let directory;
const context = lasting();

before(async () => {
  ({ origin, directory } = await startSite(context));
});

async function fixture(kind, name, ...options) {
  const file = join(directory, `${name}.tar`);
  await fixtures([kind, ...options, file]);
  return file;
}

/** Waits until the table has these rows: what a person reads of each. */
async function rowsAre(page, ...expected) {
  await page.waitFor(
    (wanted) =>
      JSON.stringify(
        [...document.querySelectorAll('.shelf tbody tr')].map((row) => [...row.querySelectorAll('.name')].map(({ textContent }) => textContent).join(':')).sort(),
      ) === wanted,
    JSON.stringify(expected.sort()),
  );
}

/** Waits for the newest answer of the journal to have this in it. */
async function told(page, text) {
  await page.waitFor((wanted) => document.querySelector('.journal > div')?.textContent.includes(wanted), text);
}

/** Chooses rows by their names, and no others. */
async function choose(page, ...names) {
  await page.evaluate((wanted) => {
    for (const box of document.querySelectorAll('.shelf tbody input')) {
      const name = box.ariaLabel.replace('Choose ', '');
      if (box.checked !== wanted.includes(name)) box.click();
    }
  }, names);
}

/** Opens the page, with its shelf. */
async function start(page) {
  await page.goto('/');
  await page.waitFor(() => document.querySelector('#shelf input[type=file]') !== null);
}

async function load(page, ...files) {
  await page.setFiles('#shelf input[type=file]', files);
}

for (const browser of ['chromium', 'firefox']) {
  describe(`the shelf in ${browser}`, { skip: skipUnlessBrowser(browser) }, () => {
    it('loads, tags, removes, takes back, and is there again after a reload', async () => {
      const file = await fixture('docker-legacy', `two-${browser}`, '--images', '2', '--layers', '2', '--name', 'app:2.1.10', '--name', 'db:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        assert.match(await page.text('#shelf'), /Nothing is on the shelf yet/);
        await load(page, file);
        await rowsAre(page, 'app:2.1.10', 'db:1');
        await told(page, 'Loaded image: app:2.1.10');

        await choose(page, 'app:2.1.10');
        await page.click('button', 'app:2.1');
        await rowsAre(page, 'app:2.1.10', 'app:2.1', 'db:1');
        await page.fill('.tagging input', 'registry.local:5000/team/app');
        await page.press('Enter');
        await rowsAre(page, 'app:2.1.10', 'app:2.1', 'db:1', 'registry.local:5000/team/app:latest');
        await page.fill('.tagging input', 'Foo');
        await page.press('Enter');
        await told(page, 'repository name (library/Foo) must be lowercase');

        await page.click('button', 'Remove by ID: chosen images');
        await told(page, '(must be forced) - image is referenced in multiple repositories');
        await rowsAre(page, 'app:2.1.10', 'app:2.1', 'db:1', 'registry.local:5000/team/app:latest');
        await page.click('button', 'Remove chosen names');
        await told(page, 'Untagged: app:2.1.10');
        await rowsAre(page, 'app:2.1', 'db:1', 'registry.local:5000/team/app:latest');
        await page.click('button', 'Undo the last change of the shelf');
        await rowsAre(page, 'app:2.1.10', 'app:2.1', 'db:1', 'registry.local:5000/team/app:latest');

        await choose(page, 'app:2.1');
        await page.evaluate(() => [...document.querySelectorAll('#shelf .check')].find(({ textContent }) => textContent.includes('Force')).querySelector('input').click());
        await page.click('button', 'Remove by ID: chosen images');
        await rowsAre(page, 'db:1');
        await told(page, 'Deleted: sha256:');

        await page.goto('/');
        await rowsAre(page, 'db:1');
        // The last image that goes can be brought back, by the keys, too.
        await choose(page, 'db:1');
        await page.click('button', 'Remove chosen names');
        await rowsAre(page);
        await page.click('button', 'Undo the last change of the shelf');
        await rowsAre(page, 'db:1');
        await choose(page, 'db:1');
        await page.click('button', 'Remove chosen names');
        await rowsAre(page);
        const undo = () => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true }));
        await page.evaluate(undo);
        await rowsAre(page, 'db:1');
        await page.fill('.filter input[type=text]', 'app:*');
        await rowsAre(page);
        await page.waitFor(() => document.querySelector('.stocked > .hint')?.checkVisibility());
        // What was wrong with a filter goes with it.
        await page.fill('.filter input[type=text]', 'd[');
        await page.waitFor(() => document.querySelector('#problem').textContent !== '');
        await page.fill('.filter input[type=text]', 'd*');
        await page.waitFor(() => document.querySelector('#problem').textContent === '');
        await rowsAre(page, 'db:1');
      });
    });

    it('asks before names move, and leaves them where that is refused', async () => {
      const first = await fixture('docker-legacy', `first-${browser}`, '--name', 'app:1');
      const second = await fixture('docker-legacy', `second-${browser}`, '--size', '5000', '--name', 'app:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, first);
        await rowsAre(page, 'app:1');
        const id = () => page.evaluate(() => document.querySelector('.shelf .copy').textContent);
        const before = await id();
        await load(page, second);
        await page.waitFor(() => document.querySelector('dialog[open]')?.textContent.includes('app:1'));
        await page.click('button', 'Cancel');
        await page.waitFor(() => document.querySelector('dialog[open]') === null);
        assert.equal(await id(), before);
        await load(page, second);
        await page.waitFor(() => document.querySelector('dialog[open]') !== null);
        await page.click('button', 'Load');
        await rowsAre(page, 'app:1', '<none>:<none>');
        await told(page, 'The image app:1 already exists, renaming the old one with ID');
        // What lost its name goes with a prune.
        await page.click('button', 'Prune…');
        await page.waitFor(() => document.querySelector('dialog[open]') !== null);
        await page.click('button', 'Prune');
        await rowsAre(page, 'app:1');
        assert.notEqual(await id(), before);
        // So does the space of what was removed before, once that is wanted.
        await choose(page, 'app:1');
        await page.click('button', 'Remove chosen names');
        await rowsAre(page);
        const isUndoable = () => page.evaluate(() => !document.querySelector('button[aria-label="Undo the last change of the shelf"]').disabled);
        for (const answer of ['Cancel', 'Prune']) {
          await page.click('button', 'Prune…');
          await page.waitFor(() => document.querySelector('dialog[open]') !== null);
          assert.ok(await isUndoable());
          await page.click('button', answer);
          await page.waitFor(() => document.querySelector('dialog[open]') === null);
        }
        await told(page, 'of space freed');
        assert.equal(await isUndoable(), false);
      });
    });

    it('means the image that is chosen, whatever others are called', async () => {
      const file = await fixture('docker-legacy', `meant-${browser}`, '--name', 'app:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, file);
        await rowsAre(page, 'app:1');
        const id = await page.evaluate(() => document.querySelector('.shelf .copy').title.replace('Copy ', ''));
        const short = id.slice('sha256:'.length).slice(0, 12);
        // One is called as the ID begins, the other as the whole of it.
        const names = [`${short}:latest`, id];
        const others = join(directory, `others-${browser}.tar`);
        await writeImages(others, names.map((name) => ({ name, layers: [], config: { User: name } })));
        await load(page, others);
        await rowsAre(page, 'app:1', ...names);
        await choose(page, 'app:1');
        await page.click('button', 'Remove by ID: chosen images');
        await told(page, `Deleted: ${id}`);
        assert.equal(await page.text('.journal .command'), `$ docker rmi ${short}`);
        await rowsAre(page, ...names);
        await page.click('button', 'Undo the last change of the shelf');
        await rowsAre(page, 'app:1', ...names);
        await choose(page);
        await page.evaluate(() => [...document.querySelectorAll('.shelf tbody tr')].find(({ textContent }) => textContent.startsWith('sha256')).querySelector('input').click());
        await page.click('button', 'Remove chosen names');
        await rowsAre(page, 'app:1', `${short}:latest`);
      });
    });

    it('takes one of the platforms that share a name, and keeps the focus and what can be undone', async () => {
      const file = await fixture('oci-platforms', `platforms-${browser}`, '--images', '3', '--name', 'app:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, file);
        await rowsAre(page, 'app:1', 'app:1', 'app:1');
        const row = await page.evaluate(() => {
          const wanted = [...document.querySelectorAll('.shelf tbody tr')].find(({ textContent }) => textContent.includes('s390x'));
          wanted.querySelector('input').click();
          return wanted.querySelector('.copy').title.replace('Copy ', '');
        });
        await page.fill('.tagging input', 'mainframe:1');
        await page.press('Enter');
        await rowsAre(page, 'app:1', 'app:1', 'app:1', 'mainframe:1');
        await page.click('button', 'Open chosen images');
        await page.waitFor(() => document.querySelector('.image') !== null);
        assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('.image .facts .copy')].map(({ title }) => title.replace('Copy ', '')).slice(0, 1)), [row]);
        assert.equal(await page.evaluate(() => document.querySelectorAll('.image').length), 1);
        // Where nothing is pruned, the tag can still be taken back. What changes leaves the focus where it is.
        await page.click('button', 'Prune…');
        await page.waitFor(() => document.querySelector('dialog[open]') !== null);
        await page.click('button', 'Prune');
        await told(page, 'Total reclaimed space: 0B');
        await page.evaluate(() => document.querySelector('.shelf tbody .copy').focus());
        const copied = await page.evaluate(() => document.activeElement.title);
        await page.evaluate(() => document.activeElement.dispatchEvent(new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true })));
        await rowsAre(page, 'app:1', 'app:1', 'app:1');
        assert.equal(await page.evaluate(() => document.activeElement.title), copied);
      });
    });

    it('saves what Docker loads, and keeps what is edited in the archive', { skip: skipUnless('dockerd') }, async (t) => {
      const engine = await startDocker(t);
      const file = await fixture('docker-hybrid', `kept-${browser}`, '--images', '2', '--layers', '3', '--name', 'app:1', '--name', 'db:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await page.setFiles('#file', file);
        await page.waitFor(() => document.querySelector('.archive h2') !== null);
        await page.fill('.image .names > .name-field input', 'app:edited');
        await page.press('Enter');
        await page.waitFor(() => document.querySelector('.chips').textContent.includes('app:edited'));
        await page.click('button', 'Keep on the shelf');
        await rowsAre(page, 'app:1', 'app:edited', 'db:1');

        await choose(page, 'app:1', 'app:edited');
        const { path: saved } = await page.download(() => page.click('button', 'Save chosen images'));
        await engine.docker('load', '--input', saved);
        assert.deepEqual(Object.keys(await engine.images()).sort(), ['app:1', 'app:edited']);

        await choose(page, 'db:1');
        await page.click('button', 'Open chosen images');
        // The archive that is open has edits that no file has.
        await page.waitFor(() => document.querySelector('#discard').open);
        await page.click('button', 'Discard the edits');
        await page.waitFor(() => document.querySelectorAll('.image').length === 1);
        await page.click('button', 'Verify every byte');
        await page.waitFor(() => document.querySelector('.report .badge')?.textContent === 'Intact');
      });
    });

    it('works by keyboard alone once something is on it', async () => {
      const file = await fixture('docker-legacy', `keyed-${browser}`, '--name', 'keys:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, file);
        await rowsAre(page, 'keys:1');
        await page.evaluate(() => document.querySelector('.shelf thead input').focus());
        const focused = () => page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
        const tabTo = async (name) => {
          for (let n = 0; n < 20 && (await focused()) !== name; n += 1) await page.press('Tab');
          assert.equal(await focused(), name);
        };
        await tabTo('Choose keys:1');
        await page.press(' ');
        await tabTo('Remove chosen names');
        await page.press('Enter');
        await told(page, 'Untagged: keys:1');
        assert.notEqual(await page.evaluate(() => document.activeElement.tagName), 'BODY', 'the focus is somewhere');
      });
    });

    it('leaves the focus and the page where they are when a button does not get it', async () => {
      const file = await fixture('docker-legacy', `unfocused-${browser}`, '--name', 'safari:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, file);
        await rowsAre(page, 'safari:1');
        await choose(page, 'safari:1');
        await page.evaluate(() => {
          globalThis.moves = 0;
          addEventListener('focusin', () => (globalThis.moves += 1));
          document.activeElement.blur();
          // As Safari does: this click moves no focus.
          document.querySelector('[aria-label="Verify the shelf"]').click();
        });
        await told(page, 'all are what their digests say');
        await new Promise((resolve) => setTimeout(resolve, 200));
        assert.deepEqual(await page.evaluate(() => [globalThis.moves, document.activeElement.tagName]), [0, 'BODY']);
      });
    });

    it('marks a suggestion that would move a name back', async () => {
      const file = await fixture('docker-legacy', `back-${browser}`, '--images', '2', '--name', 'app:2.1.10', '--name', 'app:1.9.0');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, file);
        await rowsAre(page, 'app:2.1.10', 'app:1.9.0');
        const suggested = (...wanted) =>
          page.waitFor((all) => JSON.stringify([...document.querySelectorAll('.tagging .suggestions li')].map(({ textContent }) => textContent)) === all, JSON.stringify(wanted));
        await choose(page, 'app:2.1.10');
        await suggested('app:2.1', 'app:2', 'app:latest');
        await page.click('button', 'app:latest');
        await rowsAre(page, 'app:2.1.10', 'app:1.9.0', 'app:latest');
        await choose(page, 'app:1.9.0');
        await suggested('app:1.9', 'app:1', 'app:latest leads to something newer');
      });
    });

    it('shows what each image takes', async () => {
      const file = await fixture('docker-legacy', `usage-${browser}`, '--images', '2', '--layers', '2', '--size', '5000', '--name', 'app:1', '--name', 'db:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, file);
        await rowsAre(page, 'app:1', 'db:1');
        await page.evaluate(() => [...document.querySelectorAll('#shelf summary')].find(({ textContent }) => textContent === 'Disk usage').click());
        await page.waitFor(() => document.querySelectorAll('.usage tbody tr').length === 2);
        assert.match(await page.text('.usage .hint'), /^2 images, 0 of them in use: \d.* of which \d.* can be reclaimed\.$/);
        const first = await page.evaluate(() => [...document.querySelectorAll('.usage tbody tr:first-child td')].map(({ textContent }) => textContent));
        assert.equal(first[0], 'app:1');
        assert.deepEqual(first.slice(2).map((cell) => /^\d/.test(cell)), [true, true, true, true]);
        await choose(page, 'db:1');
        await page.click('button', 'Remove chosen names');
        await page.waitFor(() => document.querySelectorAll('.usage tbody tr').length === 1);
      });
    });

    it('can no longer be used when a newer page needs the store, and does not blame Docker', async () => {
      const file = await fixture('docker-legacy', `closed-${browser}`, '--name', 'app:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        await load(page, file);
        await rowsAre(page, 'app:1');
        const failed = await page.evaluate(async () => {
          const [{ journal }, { LongshoreError }] = await Promise.all([import('/app/journal.js'), import('/lib/index.js')]);
          const log = journal();
          await log.answered('docker rmi x', () => Promise.reject(new LongshoreError('no-such-image', 'No such image: x')));
          const code = await log.answered('docker rmi x', () => Promise.reject(new LongshoreError('closed', 'The store is closed.'))).catch(({ code }) => code);
          return [code, log.element.textContent];
        });
        assert.deepEqual(failed, ['closed', '$ docker rmi xError response from daemon: No such image: x']);
        await page.evaluate(() => void indexedDB.open('longshore-store', 1000));
        await told(page, 'Reload this one.');
        const live = await page.evaluate(() => [...document.querySelectorAll('#shelf :is(button, input, select)')].filter((one) => !one.matches(':disabled')).length);
        assert.equal(live, 0);
      });
    });

    it('shows in one tab what another does', async () => {
      const file = await fixture('docker-legacy', `tabs-${browser}`, '--name', 'tabs:1');
      await withPage(browser, origin, async (page) => {
        await start(page);
        const other = await page.tab();
        await other.goto('/');
        await load(page, file);
        await rowsAre(page, 'tabs:1');
        await other.waitFor(() => document.querySelector('.shelf tbody tr')?.textContent.includes('tabs'));
      });
    });
  });
}

describe('how the shelf looks', { skip: skipUnlessBrowser('chromium') }, () => {
  it('fits every width, in light and dark, and offends no reader', async () => {
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    const file = await fixture('docker-legacy', 'looks', '--images', '3', '--layers', '3', '--name', 'registry.local:5000/team/application:2.1.10', '--name', 'db:1');
    await withPage('chromium', origin, async (page) => {
      await start(page);
      await load(page, file);
      await page.waitFor(() => document.querySelectorAll('.shelf tbody tr').length === 3);
      for (const colorScheme of ['light', 'dark']) {
        for (const width of [1280, 320]) {
          await page.page.emulateMedia({ colorScheme });
          await page.page.setViewportSize({ width, height: 900 });
          await choose(page, 'db:1');
          await page.evaluate(() => document.querySelector('#shelf .usage').setAttribute('open', ''));
          await page.waitFor(() => document.querySelector('.usage table') !== null);
          await page.page.screenshot({ path: join(SCREENSHOTS, `shelf-${colorScheme}-${width}.png`), fullPage: true });
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
          assert.ok(overflow <= 0, `${overflow} px too wide at ${width}`);
          await page.evaluate(axe);
          const { violations } = await page.evaluate(() => globalThis.axe.run());
          assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`), []);
        }
      }
    });
  });
});
