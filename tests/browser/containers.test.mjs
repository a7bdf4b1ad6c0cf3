// Working containers on the page: made, changed, looked at and committed as a person would.
import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { makeArchives } from '../support/images.mjs';
import { skipUnless } from '../support/peers.mjs';
import { SCREENSHOTS, startSite } from '../support/site.mjs';
import { tar, writeImages } from '../support/tars.mjs';
import { lasting } from '../support/temp.mjs';

let origin;
let directory;
const context = lasting();

before(async () => {
  ({ origin, directory } = await startSite(context));
  const base = tar([
    { path: 'etc/' },
    { path: 'etc/motd', content: 'hello\n' },
    { path: 'etc/old', content: 'obsolete\n' },
    { path: 'etc/dos.ini', content: 'a=1\r\nb=2\r\n' },
    { path: 'etc/mixed', content: 'a\r\nb\nc' },
    { path: 'etc/link', link: 'motd' },
    { path: 'etc/su', content: 'program', mode: 0o4755 },
    { path: 'usr/' },
    { path: 'usr/share/' },
    { path: 'usr/share/doc', content: 'read me\n' },
  ]);
  await writeImages(join(directory, 'app.tar'), [{ name: 'app:1', layers: [{ step: 'ADD files /', tar: base }] }]);
  await writeFile(join(directory, 'uploaded.txt'), 'uploaded\n');
  await writeFile(join(directory, 'more.tar'), tar([{ path: 'more/' }, { path: 'more/one', content: '1' }]));
});

/** Opens the page with an archive on its shelf, and chooses its first image. */
async function start(page, archive) {
  await page.goto('/');
  await page.waitFor(() => document.querySelector('#shelf input[type=file]') !== null);
  await page.setFiles('#shelf input[type=file]', [archive]);
  await page.waitFor(() => document.querySelector('.shelf tbody input') !== null);
  await page.evaluate(() => document.querySelector('.shelf tbody input').click());
}

const dialogIs = (page, isOpen) => page.waitFor((wanted) => (document.querySelector('dialog[open]') !== null) === wanted, isOpen);

/** Answers the question that is asked: its fields in order, then the button. */
async function answer(page, button, ...texts) {
  await dialogIs(page, true);
  for (const [index, text] of texts.entries()) {
    if (text === undefined) continue;
    await page.evaluate((at) => {
      const field = [...document.querySelectorAll('dialog[open] input, dialog[open] textarea')][at];
      field.setAttribute('data-asked', String(at));
    }, index);
    await page.fill(`dialog[open] [data-asked="${index}"]`, text);
  }
  await page.click('button', button);
  await dialogIs(page, false);
}

async function create(page, name) {
  await page.click('button', 'New container of the chosen image');
  await answer(page, 'Create', name);
  await page.waitFor(() => document.querySelectorAll('.workbench [role=treeitem]').length > 0);
}

/** Waits until these are the lines of the diff. */
const diffIs = (page, ...lines) =>
  page.waitFor((wanted) => JSON.stringify([...document.querySelectorAll('.workbench .differences code')].map(({ textContent }) => textContent)) === wanted, JSON.stringify(lines));

/** Goes to a file in the tree, folder by folder. */
async function goTo(page, path) {
  for (const [depth, name] of path.split('/').entries()) {
    await page.waitFor(
      ([wanted, level]) => {
        const rows = [...document.querySelectorAll('.workbench [role=treeitem]')];
        const row = rows.find((one) => one.querySelector('.file-name')?.textContent === wanted && one.ariaLevel === level);
        if (row && row.ariaExpanded !== 'true') row.click();
        return row !== undefined;
      },
      [name, String(depth + 1)],
    );
  }
}

for (const browser of ['chromium', 'firefox']) {
  describe(`containers in ${browser}`, { skip: skipUnlessBrowser(browser) }, () => {
    it('are made, changed by buttons, and committed', async () => {
      await withPage(browser, origin, async (page) => {
        await start(page, join(directory, 'app.tar'));
        await create(page, 'work');
        await diffIs(page);

        // Who goes by keys sees where the focus is.
        await page.evaluate(() => document.querySelector('.workbench .edits input').focus());
        await page.press('Tab');
        const outlined = () =>
          [...document.querySelectorAll('.workbench .edits .button')].filter((label) => getComputedStyle(label).outlineStyle !== 'none').map(({ textContent }) => textContent);
        assert.deepEqual(await page.evaluate(outlined), ['Upload a folder']);

        // What was typed outlives a refusal, and Escape.
        await page.click('button', 'New file');
        await dialogIs(page, true);
        await page.fill('dialog[open] input', '/etc');
        await page.fill('dialog[open] textarea', 'fresh = 1');
        await page.click('button', 'Write');
        await page.waitFor(() => document.querySelector('dialog[open] .wrong')?.textContent === 'Is a directory: /etc.');
        await page.press('Escape');
        await page.fill('dialog[open] input', '/etc//old');
        await page.click('button', 'Write');
        await page.waitFor(() => document.querySelector('dialog[open] .wrong')?.textContent.startsWith('/etc/old is there already'));
        await answer(page, 'Write', '/etc/./new.conf');
        await diffIs(page, 'C /etc', 'A /etc/new.conf');
        // What was written is gone to, and shown.
        await page.waitFor(() => document.querySelector('.workbench .file-pane pre:last-child')?.textContent.includes('fresh = 1'));

        await goTo(page, 'usr/share/doc');
        await page.click('button', 'Edit as text');
        await answer(page, 'Write', 'read me again\n');
        await diffIs(page, 'C /etc', 'A /etc/new.conf', 'C /usr', 'C /usr/share', 'C /usr/share/doc');

        await goTo(page, 'etc/old');
        await page.click('button', 'Delete');
        await diffIs(page, 'C /etc', 'A /etc/new.conf', 'D /etc/old', 'C /usr', 'C /usr/share', 'C /usr/share/doc');
        await page.click('button', 'Undo the last change of the shelf');
        await diffIs(page, 'C /etc', 'A /etc/new.conf', 'C /usr', 'C /usr/share', 'C /usr/share/doc');

        await page.fill('.commit input[type=text]', 'app:2');
        await page.fill('.commit textarea', 'ENV EDITED=1');
        await page.click('button', 'Commit');
        await page.waitFor(() => document.querySelectorAll('.stocked .shelf tbody tr').length === 2);
        await page.screenshot(join(SCREENSHOTS, `container-${browser}.png`));
      });
    });

    it('take files, folders and tars, and are there after a reload', async () => {
      await withPage(browser, origin, async (page) => {
        await start(page, join(directory, 'app.tar'));
        await create(page, 'upload');
        await page.setFiles('.edits input[type=file]', [join(directory, 'uploaded.txt')]);
        await diffIs(page, 'A /uploaded.txt');
        await page.setFiles('.edits input[type=file]:nth-of-type(3)', [join(directory, 'more.tar')]);
        await diffIs(page, 'A /more', 'A /more/one', 'A /uploaded.txt');
        // Into the folder that is gone to.
        await goTo(page, 'usr/share');
        await page.evaluate(() => {
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File(['dropped'], 'dropped.txt'));
          document.querySelector('.workbench .tree').dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true }));
        });
        await diffIs(page, 'A /more', 'A /more/one', 'A /uploaded.txt', 'C /usr', 'C /usr/share', 'A /usr/share/dropped.txt');
        await page.goto('/');
        await page.waitFor(() => document.querySelector('.containers > summary') !== null);
        await page.evaluate(() => document.querySelector('.containers > summary').click());
        await page.waitFor(() => document.querySelector('[aria-label="Open upload"]') !== null);
        // A double click opens it once.
        await page.evaluate(() => {
          const open = document.querySelector('[aria-label="Open upload"]');
          open.click();
          open.click();
        });
        await diffIs(page, 'A /more', 'A /more/one', 'A /uploaded.txt', 'C /usr', 'C /usr/share', 'A /usr/share/dropped.txt');
        const said = await page.evaluate(() => [...document.querySelectorAll('#shelf .journal > div')].map(({ textContent }) => textContent));
        assert.deepEqual(said, ['upload is open.']);
        await page.click('button', 'Rename upload');
        await answer(page, 'Rename', 'other');
        await page.waitFor(() => document.querySelector('.workbench h3')?.textContent === 'Container other');
        await page.click('button', 'Delete other');
        await page.waitFor(() => document.querySelector('.workbench') === null);
      });
    });

    it('lose nothing that was not meant', async () => {
      const edit = (page) =>
        page.waitFor(() => {
          const isAsked = Boolean(document.querySelector('dialog[open]'));
          const button = [...document.querySelectorAll('.edits button')].find(({ textContent }) => textContent === 'Edit as text');
          // A double click asks once, and none while the last edit ends.
          for (let times = isAsked ? 0 : 2; times > 0; times -= 1) button.click();
          return isAsked;
        });
      const isDisabled = (page, text) => page.evaluate((wanted) => [...document.querySelectorAll('.edits button')].find(({ textContent }) => textContent === wanted).disabled, text);
      await withPage(browser, origin, async (page) => {
        await start(page, join(directory, 'app.tar'));
        await create(page, 'careful');
        await goTo(page, 'etc/dos.ini');
        await edit(page);
        await answer(page, 'Write');
        await edit(page);
        await answer(page, 'Write', 'a=1\nb=3\n');
        await diffIs(page, 'C /etc', 'C /etc/dos.ini');
        await page.waitFor(() => document.querySelector('.file-pane .content')?.textContent === 'Lines end with CR LF.1\n2a=1\nb=3');
        await goTo(page, 'etc/mixed');
        await edit(page);
        await answer(page, 'Cancel');

        await goTo(page, 'etc/su');
        await page.click('button', 'Mode and owner');
        await answer(page, 'Set', undefined, '7');
        await diffIs(page, 'C /etc', 'C /etc/dos.ini', 'C /etc/su');
        await page.waitFor(() => /-rwsr-xr-x 4755/.test(document.querySelector('.file-pane').textContent));
        assert.equal(await isDisabled(page, 'Mode and owner'), false);
        await goTo(page, 'etc/link → motd');
        assert.equal(await isDisabled(page, 'Mode and owner'), true);

        // What would replace something is refused, and asked for again.
        await goTo(page, 'etc/old');
        await page.click('button', 'Move');
        await dialogIs(page, true);
        await page.press('Enter');
        await dialogIs(page, false);
        await page.click('button', 'Move');
        await dialogIs(page, true);
        await page.fill('dialog[open] input', '/etc/motd');
        await page.press('Enter');
        await page.waitFor(() => document.querySelector('dialog[open] .wrong')?.textContent.startsWith('/etc/motd is there already'));
        await page.fill('dialog[open] input', '/new ');
        await page.press('Enter');
        await dialogIs(page, false);
        await diffIs(page, 'C /etc', 'C /etc/dos.ini', 'D /etc/old', 'C /etc/su', 'A /new ');
        await page.click('button', 'New folder');
        await dialogIs(page, true);
        await page.fill('dialog[open] input', '/etc');
        await page.click('button', 'Make');
        await page.waitFor(() => document.querySelector('dialog[open] .wrong')?.textContent === 'File exists: /etc.');
        await page.click('button', 'Cancel');
        await dialogIs(page, false);

        // What goes leaves the focus to something.
        await page.click('button', 'Delete');
        await diffIs(page, 'C /etc', 'C /etc/dos.ini', 'D /etc/old', 'C /etc/su');
        await page.waitFor(() => document.activeElement.role === 'tree');
        await page.click('button', 'Delete careful');
        await page.waitFor(() => document.activeElement.textContent.startsWith('There are none.'));
      });
    });

    it('keep their image from being removed', async () => {
      await withPage(browser, origin, async (page) => {
        await start(page, join(directory, 'app.tar'));
        await create(page, 'keeper');
        await page.click('button', 'Remove chosen names');
        await page.waitFor(() => document.querySelector('.journal > div')?.textContent.includes('is using its referenced image'));
      });
    });
  });
}

describe('what is committed on the page', { skip: skipUnlessBrowser('chromium') || skipUnless('dockerd', 'busybox') }, () => {
  it('is loaded and run by Docker', async (t) => {
    const engine = await startDocker(t);
    const home = join(directory, 'built');
    await mkdir(home);
    const made = await makeArchives(engine, home);
    await withPage('chromium', origin, async (page) => {
      await start(page, made.files.single);
      await create(page, 'run');
      await goTo(page, 'etc/release');
      await page.click('button', 'Edit as text');
      await answer(page, 'Write', 'from the page\n');
      await diffIs(page, 'C /etc', 'C /etc/release');
      await page.fill('.commit input[type=text]', 'edited:1');
      await page.click('button', 'Commit');
      await page.waitFor(() => document.querySelectorAll('.stocked .shelf tbody tr').length === 2);
      await page.evaluate(() => {
        for (const box of document.querySelectorAll('.stocked .shelf tbody input')) if (box.checked !== box.ariaLabel.includes('edited:1')) box.click();
      });
      const { path } = await page.download(() => page.click('button', 'Save chosen images'));
      await engine.empty();
      await engine.docker('load', '--input', path);
      assert.equal(await engine.docker('run', '--rm', '--network', 'none', 'edited:1'), 'from the page\n');
    });
  });
});

describe('how containers look', { skip: skipUnlessBrowser('chromium') }, () => {
  it('fits every width, in light and dark, and offends no reader', async () => {
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    await withPage('chromium', origin, async (page) => {
      await start(page, join(directory, 'app.tar'));
      await create(page, 'looks');
      await goTo(page, 'etc/motd');
      for (const colorScheme of ['light', 'dark']) {
        for (const width of [1280, 320]) {
          await page.page.emulateMedia({ colorScheme });
          await page.page.setViewportSize({ width, height: 900 });
          await page.page.screenshot({ path: join(SCREENSHOTS, `containers-${colorScheme}-${width}.png`), fullPage: true });
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
