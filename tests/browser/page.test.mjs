// The page in real browsers, used as a person would use it, and its downloads in the hands of the real Docker Engine.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { fixtures, namesIn } from '../support/fixtures.mjs';
import { BUILT, makeArchives } from '../support/images.mjs';
import { rewrite } from '../support/longshore.mjs';
import { skipUnless, skopeoNames } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { SCREENSHOTS, startSite } from '../support/site.mjs';
import { tar, writeImages } from '../support/tars.mjs';
import { lasting, temporary } from '../support/temp.mjs';

let origin;
let directory;
const context = lasting();

before(async () => {
  ({ origin, directory } = await startSite(context));
});

/** What a person sees of the names, by image in order. */
function chips(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll('.image .chips')].map((list) =>
      [...list.querySelectorAll('.name')].map((button) => button.textContent),
    ),
  );
}

async function namesAre(page, expected) {
  await page.waitFor(
    (wanted) =>
      JSON.stringify(
        [...document.querySelectorAll('.image .chips')].map((list) =>
          [...list.querySelectorAll('.name')].map((button) => button.textContent),
        ),
      ) === wanted,
    JSON.stringify(expected),
  );
}

async function open(page, file) {
  await page.goto('/');
  await page.setFiles('#file', file);
  await page.waitFor(() => document.querySelector('.archive h2') !== null);
}

/** Adds a name to the image with that number, by typing it. */
async function add(page, name, image = 1) {
  const field = `.image:nth-of-type(${image}) > .names > .name-field`;
  await page.fill(`${field} input`, name);
  await page.press('Enter');
}

async function problem(page, code) {
  await page.waitFor((wanted) => document.querySelector('#problem .code code')?.textContent === wanted, code);
}

async function fixture(kind, name, ...options) {
  const file = join(directory, `${name}.tar`);
  await fixtures([kind, ...options, file]);
  return file;
}

/** Whether so many files are in the browser's storage. */
async function kept(expected) {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle('longshore-unpacked', { create: true });
  let count = 0;
  for await (const _ of folder.keys()) count += 1;
  return count === expected;
}

for (const browser of ['chromium', 'firefox']) {
  describe(`the page in ${browser}`, { skip: skipUnlessBrowser(browser) }, () => {
    it('shows what is in an archive, and takes names added, renamed and removed', async () => {
      const file = await fixture('docker-hybrid', `edits-${browser}`, '--images', '2', '--layers', '3', '--name', 'app:2.1.10', '--name', 'db:1');
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        assert.equal(await page.text('h2'), `edits-${browser}.tar`);
        assert.match(await page.text('.archive > .hint'), /^Docker archive with an OCI layout, 2 images, .* were read, in \d+ pieces?\.$/);
        assert.deepEqual(await chips(page), [['app:2.1.10'], ['db:1']]);
        assert.match(await page.text('.image'), /linux\/amd64/);
        assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H2', 'the result has the focus');

        // Docker's words while typing.
        await page.fill('.image .names > .name-field input', 'Foo:1');
        await page.waitFor(() => document.querySelector('.field-hint')?.classList.contains('wrong'));
        assert.equal(await page.text('.field-hint'), 'Invalid reference format: repository name (library/Foo) must be lowercase.');
        assert.equal(await page.evaluate(() => document.querySelector('.names > .name-field input').ariaInvalid), 'true');

        // The tags that usually stand beside a version.
        const suggested = await page.evaluate(() => [...document.querySelectorAll('.suggestions')][0].innerText.split('\n'));
        assert.deepEqual(suggested, ['+ app:2.1', '+ app:2', '+ app:latest']);
        await page.click('button', 'Add app:2.1');
        await namesAre(page, [['app:2.1.10', 'app:2.1'], ['db:1']]);
        // Pressed twice, it is added once.
        await page.fill('.image .names > .name-field input', 'registry.local:5000/team/app');
        await page.evaluate(() => {
          const button = document.querySelector('.image .names > .name-field button');
          for (let n = 0; n < 2; n += 1) button.click();
        });
        await namesAre(page, [['app:2.1.10', 'app:2.1', 'registry.local:5000/team/app:latest'], ['db:1']]);
        await page.waitFor(() => document.querySelector('.image .names > .name-field input').value === '');
        assert.equal(await page.text('#problem'), '');

        // Renaming in place, by keyboard from the button on.
        await page.click('button', 'Rename app:2.1');
        await page.press('Backspace');
        await page.type('app:2.2');
        await page.press('Enter');
        await namesAre(page, [['app:2.1.10', 'app:2.2', 'registry.local:5000/team/app:latest'], ['db:1']]);
        await page.click('button', 'Remove app:2.1.10');
        await namesAre(page, [['app:2.2', 'registry.local:5000/team/app:latest'], ['db:1']]);

        // A name that the other image has moves, as Docker moves it.
        await add(page, 'db:1');
        await namesAre(page, [['app:2.2', 'registry.local:5000/team/app:latest', 'db:1'], []]);
        assert.match(await page.text('.state'), /db:1 moved here from another image/);

        for (let n = 0; n < 5; n += 1) await page.click('button', 'Undo');
        await namesAre(page, [['app:2.1.10'], ['db:1']]);
        assert.equal(await page.text('.state'), 'Undone.');
        await page.click('button', 'Redo');
        await namesAre(page, [['app:2.1.10', 'app:2.1'], ['db:1']]);
        await page.screenshot(join(SCREENSHOTS, `edits-${browser}.png`));
      });
    });

    it('changes the config of an image, and takes it back, whatever is typed about another', async () => {
      const file = await fixture('docker-hybrid', `config-${browser}`, '--images', '2', '--layers', '2', '--name', 'app:1');
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        const heading = () => page.evaluate(() => document.querySelector('.image').ariaLabel);
        const before = await heading();
        const toSave = () => page.evaluate(() => [...document.querySelectorAll('.choosing .choices input')].map(({ checked }) => checked));
        await page.evaluate(() => document.querySelector('.choosing .choices input').click());
        await page.evaluate(() => {
          for (const one of document.querySelectorAll('.image summary')) if (one.textContent === 'Edit the config') one.click();
        });
        await page.waitFor(() => document.querySelectorAll('.config-form').length === 2);
        await page.fill('.image:last-of-type .config-form textarea', 'TYPED=1');
        // The first textarea is the environment, the second the labels; of the inputs the third is the user.
        await page.fill('.config-form p:nth-of-type(2) textarea', 'edited=yes');
        await page.fill('.config-form p:nth-of-type(5) input', 'app');
        await page.press('Enter');
        await page.waitFor((id) => document.querySelector('.image')?.ariaLabel !== id, before);
        assert.match(await page.text('.state'), /Changed the config: the image is [0-9a-f]{12} now/);
        assert.match(await page.text('.image'), /edited=yes/);
        assert.deepEqual(await chips(page), [['app:1'], []]);
        // The image is another one now: it is left out of what is saved, its form is open and has the focus as before.
        assert.deepEqual(await toSave(), [false, true]);
        await page.waitFor(() => document.querySelector('.image:first-of-type .config-form') !== null);
        assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Edit the config');
        assert.equal(await page.evaluate(() => document.querySelector('.image:last-of-type .config-form textarea').value), 'TYPED=1');
        await page.click('button', 'Undo');
        await page.waitFor((id) => document.querySelector('.image')?.ariaLabel === id, before);
        assert.equal(await page.evaluate(() => document.querySelector('.image:last-of-type .config-form textarea').value), 'TYPED=1');
        await page.click('button', 'Redo');
        await page.waitFor((id) => document.querySelector('.image')?.ariaLabel !== id, before);
        // In a text, the keys that undo are the text's.
        await page.evaluate(() => {
          const key = new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true, cancelable: true });
          document.querySelector('.image:last-of-type .config-form textarea').dispatchEvent(key);
        });
        assert.notEqual(await heading(), before);
        await page.evaluate(() => document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 'z', ctrlKey: true, bubbles: true })));
        await page.waitFor((id) => document.querySelector('.image')?.ariaLabel === id, before);
      });
    });

    it("takes a line that is typed as a command for one of the image's shell", async () => {
      const file = join(directory, `shell-${browser}.tar`);
      await writeImages(file, [{ name: 'app:1', layers: [{ step: 'ADD etc /', tar: tar([{ path: 'etc/' }]) }], config: { Shell: ['/bin/bash', '-ec'] } }]);
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        await page.evaluate(() => [...document.querySelectorAll('.image summary')].find(({ textContent }) => textContent === 'Edit the config').click());
        await page.fill('.config-form p:nth-of-type(4) input', 'run it');
        await page.press('Enter');
        await page.waitFor(() => document.querySelector('.image')?.textContent.includes('["/bin/bash","-ec","run it"]'));
      });
    });

    it('has one way to stop all that runs at once', async () => {
      await withPage(browser, origin, async (page) => {
        await page.goto('/');
        const told = await page.evaluate(async () => {
          const { task } = await import('/app/task.js');
          const begin = document.createElement('button');
          const work = task('Working', begin);
          document.body.append(begin, work.element);
          const stopped = () => work.run(({ signal }) => new Promise((_, reject) => (signal.onabort = () => reject(signal.reason)))).catch(({ name }) => name);
          const states = [];
          const first = stopped();
          work.stop();
          const second = stopped();
          states.push(await first, work.isRunning, begin.disabled);
          // One that is over sooner leaves the others their button.
          await work.run(async () => {});
          states.push(work.isRunning, begin.disabled);
          work.element.querySelector('button').click();
          states.push(await second, work.isRunning, begin.disabled);
          return states;
        });
        assert.deepEqual(told, ['AbortError', true, true, true, true, 'AbortError', false, false]);
      });
    });

    it('keeps the open archive when something goes wrong, and says what', async () => {
      const good = await fixture('docker-legacy', `good-${browser}`, '--name', 'app:1');
      const odd = join(directory, `odd-${browser}`);
      await fixtures(['odd', odd]);
      const files = await readdir(odd);
      assert.ok(files.length > 15);
      await withPage(browser, origin, async (page) => {
        await open(page, good);
        for (const file of files) {
          await page.setFiles('#file', join(odd, file));
          await problem(page, file.split('--')[0]);
          assert.match(await page.text('#problem strong'), /^[A-Z"].*\.$/s);
          await page.click('button', 'Dismiss');
        }
        assert.deepEqual(await chips(page), [['app:1']]);
        await add(page, 'app:1');
        await problem(page, 'duplicate-reference');
        await add(page, 'a:b@sha256:' + 'a'.repeat(64));
        await problem(page, 'invalid-reference');
        const above = () => [document.querySelector('.problem').getBoundingClientRect().bottom, document.activeElement.getBoundingClientRect().top];
        const [bottom, top] = await page.evaluate(above);
        assert.ok(bottom <= top, 'what went wrong does not cover what it is about');
        assert.deepEqual(await chips(page), [['app:1']]);
        // And it still works.
        await add(page, 'app:2');
        await namesAre(page, [['app:1', 'app:2']]);
        assert.equal(await page.text('#problem'), '');
      });
    });

    it('leaves the focus with what the last of a long list was asked for', async () => {
      const file = join(directory, `long-${browser}.tar`);
      await writeImages(file, [{ name: 'long:1', layers: [], config: { Env: Array.from({ length: 501 }, (_, n) => `N${n}=x`) } }]);
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        await page.evaluate(() => [...document.querySelectorAll('.facts button')].find(({ textContent }) => textContent === 'Show more (1)').focus());
        await page.press('Enter');
        await page.waitFor(() => document.activeElement.textContent === 'N500=x');
      });
    });

    it('asks before edits are lost', async () => {
      const first = await fixture('docker-legacy', `first-${browser}`, '--name', 'first:1');
      const second = await fixture('docker-legacy', `second-${browser}`, '--name', 'second:1');
      await withPage(browser, origin, async (page) => {
        await open(page, first);
        await add(page, 'first:2');
        await namesAre(page, [['first:1', 'first:2']]);
        const isAsked = () => document.querySelector('#discard').open;
        await page.setFiles('#file', second);
        await page.waitFor(isAsked);
        await page.click('button', 'Keep editing');
        assert.deepEqual(await chips(page), [['first:1', 'first:2']]);
        await page.setFiles('#file', second);
        await page.waitFor(isAsked);
        await page.click('button', 'Discard the edits');
        await namesAre(page, [['second:1']]);
        // Without edits nobody is asked.
        await page.setFiles('#file', first);
        await namesAre(page, [['first:1']]);
      });
    });

    it('takes an archive that is dropped on it', async () => {
      const file = await fixture('docker-legacy', `dropped-${browser}`, '--name', 'dropped:1', '--size', '100');
      const content = (await readFile(file)).toString('base64');
      await withPage(browser, origin, async (page) => {
        await page.goto('/');
        const shown = await page.evaluate((base64) => {
          const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          dataTransfer.items.add(new File([bytes], 'dropped.tar'));
          const fire = (type) => document.body.dispatchEvent(new DragEvent(type, { dataTransfer, bubbles: true, cancelable: true }));
          fire('dragover');
          const target = document.querySelector('#drop-target');
          const during = !target.hidden;
          fire('drop');
          return [during, target.hidden];
        }, content);
        assert.deepEqual(shown, [true, true], 'the target shows while something is dragged');
        await namesAre(page, [['dropped:1']]);
        assert.equal(await page.text('h2'), 'dropped.tar');
        // Of several none is picked; together they can be kept.
        const drop = (clientY) =>
          page.evaluate(
            ([base64, clientY]) => {
              const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
              const dataTransfer = new DataTransfer();
              for (const name of ['a.tar', 'b.tar']) dataTransfer.items.add(new File([bytes], name));
              document.body.dispatchEvent(new DragEvent('drop', { dataTransfer, bubbles: true, cancelable: true, clientY }));
            },
            [content, clientY],
          );
        await drop(0);
        await page.waitFor(() => document.querySelector('#problem').textContent.includes('One archive is open at a time'));
        assert.equal(await page.text('h2'), 'dropped.tar');
        await drop(10_000);
        await page.waitFor(() => document.querySelectorAll('#shelf .journal > div').length === 2);
      });
    });

    it('works by keyboard alone once a file is chosen', async () => {
      const file = await fixture('docker-legacy', `keys-${browser}`, '--name', 'keys:1');
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        const focused = () => page.evaluate(() => document.activeElement.ariaLabel ?? document.activeElement.textContent);
        const tabTo = async (label) => {
          for (let n = 0; n < 40 && (await focused()) !== label; n += 1) await page.press('Tab');
          assert.equal(await focused(), label);
        };
        await tabTo('Rename keys:1');
        await page.press('Enter');
        await page.type('keys:2');
        await page.press('Escape');
        assert.equal(await focused(), 'Rename keys:1', 'Escape changes nothing');
        await page.press('Tab');
        await page.press('Enter');
        await namesAre(page, [[]]);
        assert.equal(await page.evaluate(() => document.activeElement.tagName), 'INPUT', 'the focus goes on');
        await page.type('keys:3');
        await page.press('Enter');
        await namesAre(page, [['keys:3']]);
        assert.equal(await page.evaluate(() => document.activeElement.value), '', 'and stays in the emptied field');
        await page.press('Tab');
        assert.equal(await focused(), 'Add');
      });
    });

    it('shows hostile text as text', async () => {
      const name = '<img src=x onerror=alert(1)>:1';
      const file = await fixture('docker-legacy', `hostile-${browser}`, '--name', name, '--name', 'gpj\u202etar.exe:1');
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        const [[first]] = await chips(page);
        assert.equal(first, name);
        assert.equal(await page.evaluate(() => document.querySelectorAll('img').length), 0);
        assert.ok((await page.evaluate(() => document.body.innerText)).includes('gpj\\u202etar.exe:1'));
        assert.ok(!(await page.evaluate(() => document.body.innerText)).includes('\u202e'));
      });
      // And wherever else an archive has text of its own.
      const markup = (where) => `<b>${where}</b><img src=x onerror=alert(1)>`;
      const config = { Env: [`A=${markup('env')}`], Labels: { [markup('key')]: markup('label') }, Cmd: [markup('command')], User: markup('user') };
      const layers = [{ tar: tar([{ path: 'file', content: '' }]) }];
      const history = [{ created_by: markup('step') }, { comment: markup('comment'), empty_layer: true }];
      const other = join(directory, `markup-${browser}.tar`);
      await writeImages(other, [{ name: 'app:1', layers, config, top: { author: markup('author'), history } }]);
      await withPage(browser, origin, async (page) => {
        await open(page, other);
        await page.evaluate(() => document.querySelectorAll('.image details').forEach((details) => (details.open = true)));
        for (const where of ['env', 'key', 'label', 'command', 'user', 'step', 'comment', 'author']) {
          await page.waitFor((text) => document.querySelector('.image').textContent.includes(text), markup(where));
        }
        assert.equal(await page.evaluate(() => document.querySelectorAll('img, b').length), 0);
      });
    });

    it('lays out hundreds of images and still answers', async () => {
      const file = join(directory, `many-${browser}.tar`);
      const names = Array.from({ length: 600 }, (_, index) => `app:${index}`);
      await writeImages(file, names.map((name) => ({ name, layers: [], config: { User: name } })));
      await withPage(browser, origin, async (page) => {
        await page.goto('/');
        const forms = () => page.evaluate(() => document.forms.length);
        const few = await forms();
        await page.setFiles('#file', file);
        await page.waitFor(() => document.querySelectorAll('.image').length === 600);
        assert.ok((await forms()) < few + 10, 'no form for each image');
        await add(page, 'late:1', 600);
        await page.waitFor(() => document.querySelector('.image:last-of-type .chips').textContent.includes('late:1'));
      });
    });

    it('says so when the file changed on disk after it was opened', async () => {
      const file = await fixture('docker-legacy', `changing-${browser}`, '--name', 'app:1');
      await withPage(browser, origin, async (page) => {
        await open(page, file);
        await add(page, 'app:2');
        await namesAre(page, [['app:1', 'app:2']]);
        await writeFile(file, 'something else');
        await page.click('button', 'Save');
        await problem(page, 'source-changed');
        assert.deepEqual(await chips(page), [['app:1', 'app:2']]);
      });
    });

    describe('with Docker at both ends', { skip: skipUnless('dockerd', 'skopeo', 'busybox') }, () => {
      let engine;
      let made;
      before(async () => {
        engine = await startDocker(context);
        const home = join(directory, `made-${browser}`);
        await mkdir(home);
        made = await makeArchives(engine, home);
        await engine.empty();
      });

      it('what docker save wrote, the page renames, and docker load and run take', async () => {
        await withPage(browser, origin, async (page) => {
          await open(page, made.files.several);
          await page.evaluate(() => document.querySelector('.rename-all').setAttribute('open', ''));
          await page.fill('.rule input:nth-of-type(2)', 'mirror.example:5000/all');
          await page.click('button', 'Rename all');
          await page.waitFor(() => document.querySelector('.chips .name').textContent.startsWith('mirror.example'));
          await page.screenshot(join(SCREENSHOTS, `renamed-${browser}.png`));
          const { path, name } = await page.download(() => page.click('button', 'Save'));
          assert.equal(name, 'several.tar');
          await engine.docker('load', '--input', path);
        });
        const expected = Object.entries(BUILT).flatMap(([image, { names }]) =>
          names.map((name) => [`mirror.example:5000/all/${name.replace('registry.local:5000/', '')}`, made.ids[image]]),
        );
        assert.deepEqual(await engine.images(), Object.fromEntries(expected.sort()));
        for (const [image, { names, prints }] of Object.entries(BUILT)) {
          const name = `mirror.example:5000/all/${names[0].replace('registry.local:5000/', '')}`;
          assert.equal(await engine.run(name), prints, image);
        }
        await engine.empty();
      });

      it("what skopeo wrote, the page retags, and Docker and skopeo agree on the names", async () => {
        await withPage(browser, origin, async (page) => {
          await open(page, made.files.skopeoTags);
          await add(page, 'localhost:5000/mysql:lts');
          await page.waitFor(() => document.querySelectorAll('.chips .name').length === 4);
          await page.click('button', 'Remove mysql:5.5');
          await page.waitFor(() => document.querySelectorAll('.chips .name').length === 3);
          const { path } = await page.download(() => page.click('button', 'Save'));
          const names = ['localhost:5000/mysql:lts', 'mysql:5.5.16', 'mysql:latest'];
          assert.deepEqual(Object.values(await namesIn(path)), [made.ids.mysql, made.ids.mysql, made.ids.mysql]);
          assert.deepEqual((await skopeoNames(path)).map((name) => name.replace('docker.io/library/', '')).sort(), names);
          await engine.docker('load', '--input', path);
          assert.deepEqual(await engine.images(), Object.fromEntries(names.map((name) => [name, made.ids.mysql])));
          assert.equal(await engine.run('localhost:5000/mysql:lts'), BUILT.mysql.prints);
        });
        await engine.empty();
      });
    });
  });
}

describe('the page', { skip: skipUnlessBrowser('chromium') }, () => {
  it('is accessible, light and dark, wide and narrow, and never scrolls sideways', async () => {
    const file = await fixture('docker-hybrid', 'looks', '--images', '2', '--layers', '6', '--size', '50000', '--name', 'registry.local:5000/a-rather-long/repository/name:2.1.10', '--name', 'Bad:Name');
    const other = await fixture('docker-legacy', 'another-archive-with-a-rather-long-name-that-has-no-place-to-break', '--name', 'other:1');
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    await withPage('chromium', origin, async (page) => {
      for (const colorScheme of ['light', 'dark']) {
        for (const width of [1280, 320]) {
          await page.page.emulateMedia({ colorScheme });
          await page.page.setViewportSize({ width, height: 900 });
          await page.goto('/');
          const look = async (name) => {
            await page.page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}-${width}.png`), fullPage: true });
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert.ok(overflow <= 0, `${name} is ${overflow} px too wide at ${width}`);
            const narrow = await page.evaluate(() => [...document.querySelectorAll('td')].filter((cell) => cell.textContent.length > 40 && cell.offsetWidth < 150).length);
            assert.equal(narrow, 0, `${name} has cells of a few letters a line at ${width}`);
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => globalThis.axe.run());
            assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`), []);
          };
          await look('welcome');
          await page.setFiles('#file', file);
          await page.waitFor(() => document.querySelector('.archive h2') !== null);
          const openAll = () => page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = true)));
          await openAll();
          await page.fill('.image .names > .name-field input', 'Foo');
          await page.waitFor(() => document.querySelector('.field-hint.wrong') !== null);
          await page.setFiles('.choosing input[type=file]', other);
          await page.waitFor(() => document.querySelector('.choosing .choices button') !== null);
          await page.waitFor(() => document.querySelectorAll('.readers tbody tr').length === 6);
          await page.waitFor(() => document.querySelector('.repairs button') !== null);
          await page.waitFor(() => document.querySelector('.renaming') !== null);
          await openAll();
          await look('archive');
          await page.click('button', 'Verify every byte');
          await page.waitFor(() => document.querySelector('.report .badge') !== null);
          await openAll();
          await page.download(() => page.click('button', 'Save'));
          await look('verified');
          await page.setFiles('#file', { name: 'note.txt', mimeType: 'text/plain', buffer: Buffer.from('hello') });
          await problem(page, 'not-a-tar');
          await look('problem');
        }
      }
    });
  });

  it('saves through the save-file picker, where there is one', async (t) => {
    const file = await fixture('docker-legacy', 'picked', '--name', 'app:1', '--size', '3000000');
    const output = join(await temporary(t), 'expected.tar');
    await rewrite(file, output, (archive) => archive.tag('app:1', 'app:2'));
    await withPage('chromium', origin, async (page) => {
      await page.goto('/');
      // The dialog is the system's own. What it gives is a handle, here of a file in the browser's own storage.
      await page.evaluate(() => {
        globalThis.showSaveFilePicker = async ({ suggestedName }) =>
          (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
      });
      await page.setFiles('#file', file);
      await namesAre(page, [['app:1']]);
      await add(page, 'app:2');
      await namesAre(page, [['app:1', 'app:2']]);
      await page.click('button', 'Save as…');
      await page.waitFor(() => document.querySelector('.saved').textContent.startsWith('Saved as picked.tar'));
      assert.equal(await page.text('.state'), '', 'nothing is unsaved');
      const saved = await page.evaluate(async () => {
        const handle = await (await navigator.storage.getDirectory()).getFileHandle('picked.tar');
        const bytes = await (await handle.getFile()).arrayBuffer();
        return new Uint8Array(await crypto.subtle.digest('SHA-256', bytes)).reduce((hex, byte) => hex + byte.toString(16).padStart(2, '0'), '');
      });
      assert.equal(saved, createHash('sha256').update(await readFile(output)).digest('hex'));
    });
  });

  it('saves once, however often it is asked, and what it keeps for that is bounded', async () => {
    const file = await fixture('docker-legacy', 'twice', '--name', 'app:1', '--name', 'db:1', '--images', '2', '--size', '9000000');
    await withPage('chromium', origin, async (page) => {
      await open(page, file);
      let downloads = 0;
      page.page.on('download', () => (downloads += 1));
      await page.evaluate(() => document.querySelector('.choosing').setAttribute('open', ''));
      await page.evaluate(() => document.querySelector('.choosing .check input').click());
      await page.evaluate(() => document.querySelector('.saving .primary').focus());
      for (let n = 0; n < 3; n += 1) await page.press('Control+s');
      assert.ok(await page.evaluate(() => document.querySelector('.saving .primary').disabled), 'the button waits');
      await page.waitFor(() => document.querySelector('.saved a') !== null);
      assert.equal(await page.text('.saved a'), 'Download twice.tar.gz');
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Save', 'the focus comes back');
      await new Promise((resolve) => setTimeout(resolve, 200));
      assert.equal(downloads, 1);

      for (let n = 0; n < 3; n += 1) {
        // Another choice: what was saved is no longer what is chosen.
        for (let clicks = 0; clicks < 2; clicks += 1) await page.evaluate(() => document.querySelector('.choosing .check input').click());
        assert.equal(await page.text('.saved'), '');
        await page.download(() => page.press('Control+s'));
      }
      await page.waitFor(kept, 2);

      // The names in the list of images follow the edits.
      await add(page, 'app:2');
      await page.click('button', 'Remove app:1');
      await page.waitFor(() => document.querySelector('.choosing .choices label')?.textContent.trim() === 'app:2');
      await page.evaluate(() => document.querySelectorAll('.choosing .choices input').forEach((box) => box.click()));
      await page.click('button', 'Save');
      await problem(page, 'no-such-image');
    });
  });

  it('keeps what a download is made of when another archive takes its place', async () => {
    const file = await fixture('docker-legacy', 'copied', '--name', 'app:1', '--size', '3000000');
    const second = await fixture('docker-legacy', 'next', '--name', 'db:1');
    const third = await fixture('docker-legacy', 'last', '--name', 'web:1');
    await withPage('chromium', origin, async (page) => {
      await open(page, file);
      await page.evaluate(() => document.querySelector('.choosing').setAttribute('open', ''));
      await page.evaluate(() => document.querySelector('.choosing .check input').click());
      // A download that takes so long that it only begins when the other archive is there.
      await page.evaluate(() => {
        const { click } = HTMLAnchorElement.prototype;
        HTMLAnchorElement.prototype.click = function () {
          globalThis.late = () => click.call(this);
        };
      });
      await page.click('button', 'Save');
      await page.waitFor(() => globalThis.late !== undefined);
      await page.setFiles('#file', second);
      await namesAre(page, [['db:1']]);
      const { path } = await page.download(() => page.evaluate(() => globalThis.late()));
      assert.ok(gunzipSync(await readFile(path)).equals(await readFile(file)));
      await page.setFiles('#file', third);
      await namesAre(page, [['web:1']]);
      await page.waitFor(kept, 0);
    });
  });

  it('asks before it stops to write a file', async () => {
    const file = await fixture('docker-legacy', 'slow', '--name', 'app:1');
    const second = await fixture('docker-legacy', 'waits', '--name', 'db:1');
    await withPage('chromium', origin, async (page) => {
      await page.goto('/');
      // A disk that does not answer before it is told to.
      await page.evaluate(() => {
        globalThis.showSaveFilePicker = async ({ suggestedName }) => {
          const handle = await (await navigator.storage.getDirectory()).getFileHandle(suggestedName, { create: true });
          const answer = new Promise((resolve) => (globalThis.answer = resolve));
          return { name: handle.name, createWritable: () => answer.then(() => handle.createWritable()) };
        };
      });
      await page.setFiles('#file', file);
      await namesAre(page, [['app:1']]);
      await page.click('button', 'Save as…');
      await page.waitFor(() => globalThis.answer !== undefined);
      const isAsked = () => document.querySelector('#discard').open;
      await page.setFiles('#file', second);
      await page.waitFor(isAsked);
      await page.click('button', 'Keep editing');
      await page.evaluate(() => globalThis.answer());
      await page.waitFor(() => document.querySelector('.saved').textContent.startsWith('Saved as slow.tar'));
      await page.setFiles('#file', second);
      await namesAre(page, [['db:1']]);
    });
  });

  it('stops what it does with an archive when another one takes its place', async () => {
    const first = await fixture('docker-legacy', 'leaving', '--name', 'app:1', '--layers', '4', '--size', '40000000');
    const second = await fixture('docker-legacy', 'coming', '--name', 'db:1');
    const third = await fixture('docker-legacy', 'added', '--name', 'added:1');
    await run('gzip', ['--keep', third]);
    await withPage('chromium', origin, async (page) => {
      await open(page, first);
      await page.evaluate(() => document.querySelector('.choosing').setAttribute('open', ''));
      await page.setFiles('.choosing input[type=file]', `${third}.gz`);
      await page.waitFor(() => document.querySelector('.choosing .choices button') !== null);
      await page.waitFor(kept, 1);
      await page.evaluate(() => document.querySelector('.choosing .check input').click());
      await page.click('button', 'Verify every byte');
      await page.click('button', 'Save');
      await page.waitFor(kept, 2);
      await page.setFiles('#file', second);
      await page.waitFor(() => document.querySelector('#discard').open);
      await page.click('button', 'Discard the edits');
      await namesAre(page, [['db:1']]);
      await page.waitFor(kept, 0);
      await new Promise((resolve) => setTimeout(resolve, 300));
      assert.equal(await page.text('#problem'), '');
      assert.equal(await page.evaluate(() => document.querySelectorAll('.report > *, .saved > *').length), 0);
    });
  });

  it('runs under a policy that allows nothing but its own origin', async () => {
    const response = await fetch(origin);
    const policy = response.headers.get('content-security-policy');
    const meta = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(await response.text())?.[1];
    assert.equal(policy, `${meta}; frame-ancestors 'none'`);
    assert.match(policy, /^default-src 'none';/);
    await withPage('chromium', origin, async (page) => {
      await page.goto('/');
      const blocked = await page.evaluate(async () => {
        const violations = [];
        document.addEventListener('securitypolicyviolation', ({ effectiveDirective }) => violations.push(effectiveDirective));
        const script = document.createElement('script');
        script.textContent = 'globalThis.injected = true';
        document.body.append(script);
        const fetched = await fetch('data:text/plain,x').then(() => true, () => false);
        await new Promise((resolve) => setTimeout(resolve, 100));
        return { injected: globalThis.injected === true, fetched, violations: [...new Set(violations)].sort() };
      });
      assert.deepEqual(blocked, { injected: false, fetched: false, violations: ['connect-src', 'script-src-elem'] });
    }, { expectErrors: true });
  });
});
