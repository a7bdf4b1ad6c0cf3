// The files of images on the page: layers, tree and file, as a person goes through them.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { deflateSync, crc32 } from 'node:zlib';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { run } from '../support/run.mjs';
import { tar, writeImages } from '../support/tars.mjs';
import { SCREENSHOTS, startSite } from '../support/site.mjs';
import { lasting } from '../support/temp.mjs';

const HOSTILE = ['<img src=x onerror=alert(1)>', 'gpj\u202etar.exe', 'two\nlines', ' spaces '];
const MANY = 120_000;
const LONG = Buffer.from(Array.from({ length: 40_000 }, (_, index) => `line ${index + 1}\n`).join(''));

/** A PNG of one colour, two pixels wide and one high. */
function png(width = 2, height = 1) {
  const chunk = (type, data) => {
    const body = Buffer.concat([Buffer.from(type), data]);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(data.length);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc32(body));
    return Buffer.concat([length, body, sum]);
  };
  const size = Buffer.alloc(8);
  size.writeUInt32BE(width, 0);
  size.writeUInt32BE(height, 4);
  const head = Buffer.concat([size, Buffer.from([8, 2, 0, 0, 0])]);
  const pixels = Buffer.from([0, 200, 30, 30, 30, 30, 200]);
  return Buffer.concat([Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', head), chunk('IDAT', deflateSync(pixels)), chunk('IEND', Buffer.alloc(0))]);
}

const base = tar([
  { path: 'bin/' },
  { path: 'bin/sh', content: Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 2, 3]), mode: 0o4755 },
  { path: 'etc/' },
  { path: 'etc/app.json', content: '{"name":"app","ports":[80,443],"big":12345678901234567890,"none":{}}' },
  { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\n' },
  { path: 'etc/link', link: 'passwd' },
  { path: 'pictures/' },
  { path: 'pictures/dot.png', content: png() },
  { path: 'pictures/bomb.png', content: png(60_000, 60_000) },
  { path: 'pictures/large.png', content: Buffer.concat([png(), Buffer.alloc(1 << 20)]) },
  { path: 'pictures/evil.svg', content: '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>' },
  { path: 'usr/share/long.txt', content: LONG },
  { path: 'var/cache/' },
  { path: 'var/cache/old', content: 'x'.repeat(5000) },
  ...HOSTILE.map((name) => ({ path: `odd/${name}`, content: 'odd' })),
]);
const upper = tar([
  { path: 'etc/passwd', content: 'root:x:0:0:root:/root:/bin/sh\napp:x:10:10::/:/bin/sh\n' },
  { path: 'etc/secret.pem', content: 'BEGIN PRIVATE KEY\n', uid: 10, gid: 10, user: 'app' },
  { path: 'var/.wh.cache' },
]);

let directory;
let origin;
const context = lasting();

before(async () => {
  ({ origin, directory } = await startSite(context));
  const layers = [
    { step: '/bin/sh -c #(nop) ADD file:0123456789abcdef in / ', tar: base },
    { step: '/bin/sh -c adduser app && rm -rf /var/cache && openssl genrsa > /etc/secret.pem', tar: upper },
  ];
  await writeImages(join(directory, 'app.tar'), [{ name: 'registry.local/team/app:2', layers, config: { Env: ['A=1'] } }]);
  await writeImages(join(directory, 'before.tar'), [{ name: 'registry.local/team/app:1', layers: layers.slice(0, 1), config: { Env: ['A=0'] } }]);
  const many = tar([
    ...Array.from({ length: MANY }, (_, index) => ({ path: `many/f${String(index).padStart(6, '0')}`, content: '' })),
    { path: 'zzz', content: 'last' },
  ]);
  await writeImages(join(directory, 'many.tar'), [{ name: 'many:1', layers: [{ step: 'COPY many /', tar: many }] }]);
});

async function open(page, name) {
  await page.goto('/');
  await page.setFiles('#file', join(directory, name));
  await page.waitFor(() => document.querySelector('.archive h2') !== null);
  await page.evaluate(() => document.querySelector('.files > summary').click());
  await page.waitFor(() => document.querySelector('.tree .file') !== null);
}

/** The rows of the tree as they are laid out: level, mark, name. */
function rows(page) {
  return page.evaluate(() =>
    [...document.querySelectorAll('.tree .file')].map((row) =>
      [row.ariaLevel, row.querySelector('.mark')?.textContent, row.querySelector('.file-name')?.textContent].filter(Boolean).join(' '),
    ),
  );
}

async function rowsAre(page, expected) {
  await page.waitFor(
    (wanted) =>
      JSON.stringify(
        [...document.querySelectorAll('.tree .file')].map((row) =>
          [row.ariaLevel, row.querySelector('.mark')?.textContent, row.querySelector('.file-name')?.textContent].filter(Boolean).join(' '),
        ),
      ) === wanted,
    JSON.stringify(expected),
  );
}

/** Clicks a row of the tree with the pointer. */
async function clickRow(page, name) {
  const place = await page.evaluate((wanted) => {
    const row = [...document.querySelectorAll('.tree .file')].find((one) => one.querySelector('.file-name')?.textContent === wanted);
    row.scrollIntoView({ block: 'center' });
    const { x, y, width, height } = row.querySelector('.file-name').getBoundingClientRect();
    return { x: x + Math.min(20, width / 2), y: y + height / 2 };
  }, name);
  await page.page.mouse.click(place.x, place.y);
}

const titleIs = (page, name) => page.waitFor((wanted) => document.querySelector('.file-pane h4')?.textContent === wanted, name);
const contentIs = (page, text) => page.waitFor((wanted) => document.querySelector('.content pre:last-child')?.textContent === wanted, text);

async function press(page, ...keys) {
  for (const key of keys) await page.press(key);
}

describe('a JPEG', () => {
  it('has the size that its decoders find', async () => {
    const { pictureKind } = await import('../../dist/app/files/pictures.js');
    const frame = (width, height) => Buffer.from([0xff, 0xc0, 0, 11, 8, height >> 8, height & 255, width >> 8, width & 255, 1, 1, 0x11, 0]);
    const segment = (marker, ...bytes) => Buffer.from([0xff, marker, 0, 2 + bytes.length, ...bytes]);
    const sizeOf = (...parts) => pictureKind(Buffer.concat([Buffer.from([0xff, 0xd8]), ...parts]))?.size;
    const plain = [segment(0xe0, 1, 2), segment(0xdb, 3), segment(0xfe)];
    assert.deepEqual(sizeOf(...plain, frame(640, 480)), [640, 480]);
    assert.equal(sizeOf(...plain, frame(60_000, 60_000)), undefined);
    // What is skipped is skipped by decoders, too: no other frame is hidden in it.
    const hidden = [frame(60_000, 60_000), frame(1, 1)];
    for (const before of [[0xff], [0xff, 0xff, 0xff], [0xff, 0xd0], [0xff, 0x01], [0xff, 0x00], [0xff, 0xbf], [0]]) {
      assert.equal(sizeOf(...plain, Buffer.from(before), ...hidden), undefined, String(before));
    }
    assert.deepEqual(sizeOf(Buffer.from([0xff, 0xff, 0xd7, 0xff]), ...plain, frame(640, 480)), [640, 480]);
    assert.equal(sizeOf(Buffer.from([0xff, 0xfe, 0, 0]), frame(640, 480)), undefined);
  });
});

for (const browser of ['chromium', 'firefox']) {
  describe(`files in ${browser}`, { skip: skipUnlessBrowser(browser) }, () => {
    it('are gone through with the keyboard', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        await rowsAre(page, ['1 bin', '1 etc', '1 odd', '1 pictures', '1 usr', '1 var']);
        await page.evaluate(() => document.querySelector('.tree').focus());
        const active = () => page.evaluate(() => document.getElementById(document.querySelector('.tree').getAttribute('aria-activedescendant'))?.querySelector('.file-name').textContent);
        assert.equal(await active(), 'bin');
        await press(page, 'ArrowDown', 'ArrowRight');
        await rowsAre(page, ['1 bin', '1 etc', '2 app.json', '2 link → passwd', '2 passwd', '2 secret.pem', '1 odd', '1 pictures', '1 usr', '1 var']);
        await press(page, 'ArrowRight');
        assert.equal(await active(), 'app.json');
        await press(page, 'p');
        assert.equal(await active(), 'passwd');
        await contentIs(page, 'root:x:0:0:root:/root:/bin/sh\napp:x:10:10::/:/bin/sh');
        const states = await page.evaluate(() => {
          const row = [...document.querySelectorAll('.tree .file')].find((one) => one.querySelector('.file-name').textContent === 'passwd');
          return [row.role, row.ariaLevel, row.ariaPosInSet, row.ariaSetSize, row.ariaSelected, row.ariaExpanded];
        });
        assert.deepEqual(states, ['treeitem', '2', '3', '4', 'true', null]);
        await press(page, 'ArrowLeft', 'ArrowLeft');
        await rowsAre(page, ['1 bin', '1 etc', '1 odd', '1 pictures', '1 usr', '1 var']);
        assert.equal(await active(), 'etc');
        await press(page, 'End');
        assert.equal(await active(), 'var');
        await press(page, 'Home');
        assert.equal(await active(), 'bin');
        await press(page, 'Enter');
        await page.waitFor(() => document.querySelectorAll('.tree .file').length === 7);
      });
    });

    it('say what a layer added, changed and deleted', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        await page.waitFor(() => document.querySelectorAll('.counts > *').length > 0 && document.querySelectorAll('.counts')[1].textContent === 'A 1C 1D 1');
        await page.evaluate(() => document.querySelectorAll('.layers-pane li > button')[2].click());
        await rowsAre(page, ['1 etc', '1 var']);
        // The lower one first: what comes in above would move it from under the pointer.
        await clickRow(page, 'var');
        await clickRow(page, 'etc');
        await rowsAre(page, ['1 etc', '2 C passwd', '2 A secret.pem', '1 var', '2 D cache']);
        await clickRow(page, 'cache');
        await rowsAre(page, ['1 etc', '2 C passwd', '2 A secret.pem', '1 var', '2 D cache', '3 D old']);
        await clickRow(page, 'old');
        await contentIs(page, 'x'.repeat(5000));
        await page.evaluate(() => document.querySelector('.tree-pane input').click());
        await rowsAre(page, ['1 bin', '1 etc', '1 odd', '1 pictures', '1 usr', '1 var']);
        await page.screenshot(join(SCREENSHOTS, `layer-${browser}.png`));
      });
    });

    it('show what they hold, and never more than is safe', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        // The first press goes where it lands, however far the tree is scrolled.
        await page.evaluate(() => document.querySelector('.tree').style.setProperty('max-height', '4rem'));
        await clickRow(page, 'usr');
        await titleIs(page, 'usr');
        await page.evaluate(() => document.querySelector('.tree').style.removeProperty('max-height'));
        for (const name of ['pictures', 'etc', 'bin']) await clickRow(page, name);
        await page.waitFor(() => document.querySelectorAll('.tree .file').length >= 15);
        const views = () => page.evaluate(() => [...document.querySelectorAll('.views button')].map((button) => `${button.textContent} ${button.ariaPressed}`));
        await clickRow(page, 'app.json');
        await contentIs(page, '{\n  "name": "app",\n  "ports": [\n    80,\n    443\n  ],\n  "big": 12345678901234567890,\n  "none": {}\n}');
        assert.deepEqual(await views(), ['JSON true', 'Text false', 'Hex false']);
        await clickRow(page, 'sh');
        await contentIs(page, '00000000  7f 45 4c 46 00 01 02 03  .ELF....');
        assert.match(await page.text('.file-pane'), /-rwsr-xr-x 4755/);
        await clickRow(page, 'dot.png');
        await page.waitFor(() => document.querySelector('canvas.picture') !== null);
        const colour = await page.evaluate(() => [...document.querySelector('canvas.picture').getContext('2d').getImageData(0, 0, 1, 1).data]);
        assert.deepEqual(colour, [200, 30, 30, 255]);
        await clickRow(page, 'bomb.png');
        await page.waitFor(() => document.querySelector('.views')?.textContent === 'Hex');
        await clickRow(page, 'large.png');
        await page.waitFor(() => document.querySelector('canvas.picture') !== null);
        await page.click('button', 'Hex');
        await page.waitFor(() => document.querySelector('.content .hint')?.textContent.startsWith('Only the first MiB'));
        await page.click('button', 'Picture');
        await clickRow(page, 'evil.svg');
        await contentIs(page, '<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>');
        assert.deepEqual(await views(), ['Text true', 'Hex false']);
        await clickRow(page, 'share');
        await page.waitFor(() => [...document.querySelectorAll('.file-name')].some((name) => name.textContent === 'long.txt'));
        await clickRow(page, 'long.txt');
        await page.waitFor(() => document.querySelector('.content .numbers') !== null);
        assert.match(await page.text('.file-pane > .row.hint'), /^The first 65\.5 kB of 429 kB\./);
        await page.click('button', 'Show more');
        await page.waitFor(() => document.querySelector('.content .numbers')?.textContent.endsWith('\n40000'));
        assert.equal(await page.evaluate(() => document.activeElement.className), 'scroll content', 'the button that goes leaves the focus to what it brought');
      });
    });

    it('are saved: one, a folder, all of them', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        const listing = async (path) => (await run('tar', ['-tf', path])).trim().split('\n');
        await clickRow(page, 'etc');
        await titleIs(page, 'etc');
        const folder = await page.download(() => page.click('button', 'Save this folder as a tar'));
        assert.equal(folder.name, 'etc.tar');
        assert.deepEqual(await listing(folder.path), ['etc/', 'etc/app.json', 'etc/link', 'etc/passwd', 'etc/secret.pem']);
        await clickRow(page, 'secret.pem');
        await titleIs(page, 'secret.pem');
        const file = await page.download(() => page.click('button', 'Save this file'));
        assert.equal(await readFile(file.path, 'utf8'), 'BEGIN PRIVATE KEY\n');
        const all = await page.download(() => page.click('button', 'Save all files as a tar'));
        assert.equal(all.name, 'registry.local_team_app_2.files.tar');
        const names = await listing(all.path);
        assert.ok(names.includes('usr/share/long.txt') && !names.some((name) => name.startsWith('var/cache')));
      });
    });

    it('are found by name and by content, and opened where they are', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        const find = async (way, text) => {
          await page.evaluate((value) => {
            const select = document.querySelector('.searching select');
            select.value = value;
            select.dispatchEvent(new Event('change'));
          }, way);
          await page.fill('.searching input', text);
          await page.click('button', 'Find');
          await page.waitFor(() => /found\.$/.test(document.querySelector('.results .hint').textContent));
          return page.evaluate(() => [...document.querySelectorAll('.found li')].map((item) => item.textContent));
        };
        assert.deepEqual(await find('glob', '*.pem'), ['/etc/secret.pem18 B']);
        assert.deepEqual(await find('glob', 'pass'), ['/etc/passwd53 B']);
        assert.deepEqual(await find('content', 'PRIVATE KEY'), ['/etc/secret.pem18 B, at byte 6']);
        assert.deepEqual(await find('glob', 'no-such-*'), []);
        assert.deepEqual(await find('regex', '/long\\.txt$'), ['/usr/share/long.txt429 kB']);
        await page.evaluate(() => document.querySelector('.found button').click());
        await titleIs(page, 'long.txt');
        await rowsAre(page, ['1 bin', '1 etc', '1 odd', '1 pictures', '1 usr', '2 share', '3 long.txt', '1 var']);
      });
    });

    it('are there in images with a manifest digest', async () => {
      for (const kind of ['docker-hybrid', 'oci']) {
        const file = `${kind}-${browser}.tar`;
        await fixtures([kind, '--layers', '2', '--name', 'app:1', join(directory, file)]);
        await withPage(browser, origin, (page) => open(page, file));
      }
    });

    it('with hostile names are text', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        await clickRow(page, 'odd');
        await rowsAre(page, ['1 bin', '1 etc', '1 odd', '2  spaces ', '2 <img src=x onerror=alert(1)>', '2 gpj\\u202etar.exe', '2 two\\nlines', '1 pictures', '1 usr', '1 var']);
        assert.equal(await page.evaluate(() => document.querySelectorAll('img').length), 0);
        await clickRow(page, 'two\\nlines');
        await contentIs(page, 'odd');
        const saved = await page.download(() => page.click('button', 'Save this file'));
        assert.equal(await readFile(saved.path, 'utf8'), 'odd');
      });
    });

    it('say what is wasted, and what differs from another image', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        await page.evaluate(() => [...document.querySelectorAll('.file-view > details > summary')].forEach((summary) => summary.click()));
        await page.waitFor(() => document.querySelectorAll('.wasted tbody tr').length === 2);
        assert.match(await page.text('.file-view > details .report p'), /^Efficiency \d+\.\d %\..* replace or delete 5\.03 kB\.$/);
        await page.setFiles('.comparing input[type=file]', join(directory, 'before.tar'));
        await page.waitFor(() => [...document.querySelectorAll('.comparing option')].some((option) => option.textContent.endsWith('before.tar')));
        await page.click('button', 'Compare');
        await page.waitFor(() => document.querySelector('.comparing .differences') !== null);
        assert.equal(await page.text('.comparing .report p'), 'Files of the other image: 2 added, 1 changed, 1 removed; 1 field of the config differs; 1 layer shared.');
        await page.click('button', 'Tree');
        await page.waitFor(() => document.querySelector('.comparing .differences details') !== null);
        await page.evaluate(() => document.querySelector('.comparing .differences summary').click());
        await page.waitFor(() => document.querySelectorAll('.comparing .differences .differences li').length === 2);
        const { path, name } = await page.download(() => page.click('button', 'Save the comparison as JSON'));
        assert.equal(name, 'app.tar.comparison.json');
        const { files, config } = JSON.parse(await readFile(path, 'utf8'));
        assert.deepEqual(config, [{ field: 'env', before: ['A=1'], after: ['A=0'] }]);
        assert.equal(files.length, 4);
        // Two layers of one image.
        await page.evaluate(() => {
          const [, other, own] = document.querySelectorAll('.comparing select');
          const image = document.querySelector('.comparing select');
          image.selectedIndex = image.options.length - 1;
          image.dispatchEvent(new Event('change'));
          other.value = '0';
          return own.options.length;
        });
        await page.click('button', 'Compare');
        await page.waitFor(() => /^Files of the other image: 1 added, 1 changed, 2 removed; the config is the same/.test(document.querySelector('.comparing .report p')?.textContent));
      });
    });

    it('go from all layers, after a look at what that changes, and come back', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        const before = await page.evaluate(() => document.querySelector('.image').ariaLabel);
        await clickRow(page, 'etc');
        await page.waitFor(() => document.querySelectorAll('.tree .file').length === 10);
        await clickRow(page, 'secret.pem');
        await titleIs(page, 'secret.pem');
        await page.click('button', 'Remove from all layers…');
        await page.waitFor(() => document.querySelector('dialog[open] table') !== null);
        assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('dialog[open] tbody th, dialog[open] li')].map((one) => one.textContent)), ['2', '/etc/secret.pem layer 2, 18 B']);
        await page.screenshot(join(SCREENSHOTS, `drop-${browser}.png`));
        await page.click('button', 'Cancel');
        await page.waitFor(() => document.querySelector('dialog[open]') === null);
        await page.click('button', 'Remove from all layers…');
        await page.waitFor(() => document.querySelector('dialog[open] table') !== null);
        await page.click('button', 'Remove');
        await page.waitFor((label) => document.querySelector('.image')?.ariaLabel !== label, before);
        assert.match(await page.text('.archive .state'), /^Unsaved edits\. Removed: the image is [0-9a-f]{12} now\.$/);
        // The files stay open.
        await page.waitFor(() => document.querySelector('.tree .file') !== null);
        await clickRow(page, 'etc');
        await rowsAre(page, ['1 bin', '1 etc', '2 app.json', '2 link → passwd', '2 passwd', '1 odd', '1 pictures', '1 usr', '1 var']);
        const saved = await page.download(() => page.click('button', 'Save'));
        assert.ok(!(await readFile(saved.path)).includes('PRIVATE KEY'));
        await page.click('button', 'Undo');
        await page.waitFor((label) => document.querySelector('.image')?.ariaLabel === label, before);
      });
    });

    it('stay when layers become one', async () => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'app.tar');
        const before = await page.evaluate(() => document.querySelector('.image').ariaLabel);
        await page.click('button', 'Squash all layers…');
        await page.waitFor(() => document.querySelector('dialog[open] table') !== null);
        assert.equal(await page.text('dialog[open] h2'), 'Squash all 2 layers into one');
        assert.deepEqual(await page.evaluate(() => [...document.querySelectorAll('dialog[open] li code')].map((one) => one.textContent)), ['/etc/passwd', '/var/cache/old']);
        await page.screenshot(join(SCREENSHOTS, `squash-${browser}.png`));
        await page.click('button', 'Squash');
        await page.waitFor((label) => document.querySelector('.image')?.ariaLabel !== label, before);
        assert.match(await page.text('.archive .state'), /Squashed: the image is [0-9a-f]{12} now\.$/);
        await rowsAre(page, ['1 bin', '1 etc', '1 odd', '1 pictures', '1 usr', '1 var']);
        assert.equal(await page.evaluate(() => document.querySelectorAll('.layers-pane li').length), 2);
        assert.equal(await page.evaluate(() => [...document.querySelectorAll('button')].find((one) => one.textContent === 'Squash all layers…')?.checkVisibility()), false);
      });
    });

    it(`scroll: ${MANY.toLocaleString('en')} in one folder are a few dozen elements`, async (t) => {
      await withPage(browser, origin, async (page) => {
        await open(page, 'many.tar');
        await clickRow(page, 'many');
        await page.waitFor(() => document.querySelectorAll('.tree .file').length > 10);
        // To the end of what is there, again and again: each time more comes, here more than two pages of the folder.
        await page.waitFor(async () => {
          const tree = document.querySelector('.tree');
          tree.scrollTop = tree.scrollHeight;
          await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
          globalThis.most = Math.max(globalThis.most ?? 0, document.querySelectorAll('.tree *').length);
          return tree.scrollHeight > 28 * 1500;
        });
        const most = await page.evaluate(() => globalThis.most);
        assert.ok(most < 1000, `${most} elements`);
        t.diagnostic(`at most ${most} elements`);
        await page.fill('.searching input', 'f119998');
        await page.click('button', 'Find');
        await page.waitFor(() => document.querySelector('.found button') !== null);
        await page.evaluate(() => document.querySelector('.found button').click());
        await titleIs(page, 'f119998');
        await page.press('End');
        await titleIs(page, 'zzz');
        const count = await page.evaluate(() => document.querySelectorAll('.tree *').length);
        assert.ok(count < 1000, `${count} elements`);
        assert.deepEqual((await rows(page)).slice(-3), ['2 f119998', '2 f119999', '1 zzz']);
      });
    });
  });
}

describe('the files of an image', { skip: skipUnlessBrowser('chromium') }, () => {
  it('are accessible, light and dark, wide and narrow, and never scroll sideways', async () => {
    const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
    await withPage('chromium', origin, async (page) => {
      for (const colorScheme of ['light', 'dark']) {
        for (const width of [1280, 320]) {
          await page.page.emulateMedia({ colorScheme });
          await page.page.setViewportSize({ width, height: 900 });
          await open(page, 'app.tar');
          const look = async (name) => {
            await page.evaluate(() => scrollTo(0, 0));
            await page.page.screenshot({ path: join(SCREENSHOTS, `${name}-${colorScheme}-${width}.png`), fullPage: true });
            const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
            assert.ok(overflow <= 0, `${name} is ${overflow} px too wide at ${width}`);
            await page.evaluate(axe);
            const { violations } = await page.evaluate(() => globalThis.axe.run());
            assert.deepEqual(violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html)}`), []);
          };
          await page.evaluate(() => [...document.querySelectorAll('.image > details:not(.files)')].forEach((details) => (details.open = false)));
          await clickRow(page, 'etc');
          await page.waitFor(() => document.querySelectorAll('.tree .file').length === 10);
          await clickRow(page, 'passwd');
          await page.waitFor(() => document.querySelector('.content') !== null);
          await look('files');
          await page.evaluate(() => document.querySelectorAll('.layers-pane li > button')[2].click());
          await rowsAre(page, ['1 etc', '1 var']);
          // The lower one first: what comes in above would move it from under the pointer.
          await clickRow(page, 'var');
          await clickRow(page, 'etc');
          await rowsAre(page, ['1 etc', '2 C passwd', '2 A secret.pem', '1 var', '2 D cache']);
          await clickRow(page, 'secret.pem');
          await page.evaluate(() => document.querySelector('.tree-pane .row label:last-child input').click());
          await page.fill('.searching input', 'e');
          await page.click('button', 'Find');
          await page.waitFor(() => document.querySelectorAll('.found li').length > 3);
          await page.evaluate(() => [...document.querySelectorAll('.file-view > details > summary')].forEach((summary) => summary.click()));
          await page.setFiles('.comparing input[type=file]', join(directory, 'before.tar'));
          await page.waitFor(() => [...document.querySelectorAll('.comparing option')].some((option) => option.textContent.endsWith('before.tar')));
          await page.click('button', 'Compare');
          await page.waitFor(() => document.querySelector('.comparing .differences') !== null && document.querySelector('.wasted') !== null);
          await look('files-layer');
        }
      }
    });
  });
});
