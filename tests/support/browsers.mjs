// Real browsers behind one small interface, so that a test is written once.
//
// Chromium is driven by Playwright. Firefox ESR is driven by Puppeteer over WebDriver BiDi: Playwright's Firefox is one of
// its own. A page that asks another origin for anything, logs an error or throws one fails its test.
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { after } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const LIMIT = 30_000;
const DOWNLOAD_LIMIT = 10 * 60_000;

const EXECUTABLES = {
  chromium: ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'],
  firefox: ['/usr/bin/firefox-esr', '/usr/bin/firefox'],
};

const CHROMIUM_ARGUMENTS = [
  '--no-sandbox',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-quic',
  '--disable-sync',
  '--no-first-run',
];

function executable(engine) {
  return process.env[`LONGSHORE_${engine.toUpperCase()}`] ?? EXECUTABLES[engine].find(existsSync);
}

/** The `skip` of a test in this browser. In CI every browser has to be there, Chromium everywhere. */
export function skipUnlessBrowser(engine) {
  if (executable(engine)) return false;
  const reason = `no ${engine}`;
  if (process.env.CI === 'true' || engine === 'chromium') throw new Error(`${reason}: the tests need it`);
  return `skipped: ${reason}`;
}

/** One browser of each kind for all tests of a file: to start one takes longer than most of them. */
const browsers = new Map();
after(closeBrowsers);

/** Ends them: tests have it done, other programs do it. */
export async function closeBrowsers() {
  for (const browser of browsers.values()) await (await browser).close();
  browsers.clear();
}

function shared(engine, start) {
  if (!browsers.has(engine)) browsers.set(engine, start());
  return browsers.get(engine);
}

/**
 * Opens a page that shares nothing with others, calls `use(page)`, and closes it. `origin` is the only one that the page
 * may talk to. `options.expectErrors` keeps what the page logs from failing the test: it is in `page.problems` then. With a
 * folder `options.profile` it has a browser of its own, which keeps there what it stores; what was there is there again for the
 * next. Such a browser `use` may end itself by `page.kill()`, as a crash would.
 */
export async function withPage(engine, origin, use, { expectErrors = false, profile } = {}) {
  const directory = await mkdtemp(join(tmpdir(), 'longshore-browser-'));
  try {
    const page = await (engine === 'chromium' ? ChromiumPage : FirefoxPage).open(origin, directory, profile);
    try {
      const result = await use(page);
      if (page.problems.length > 0 && !expectErrors) {
        throw new Error(`the page was not quiet:\n${page.problems.join('\n')}`);
      }
      return result;
    } finally {
      // After a kill the driver still puts the profile in order: the next browser must not be there by then.
      await page.close().catch((failure) => {
        if (!page.isKilled) throw failure;
      });
    }
  } finally {
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Processes with this profile on their command line. */
async function processesOf(profile) {
  const found = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(profile) && Number(pid) !== process.pid) found.push(Number(pid));
  }
  return found;
}

class Page {
  constructor(origin, directory, version) {
    this.origin = origin;
    this.directory = directory;
    this.version = version;
    /** What the page should not have done. */
    this.problems = [];
    this.isKilled = false;
  }

  /** Ends the browser's processes, which were told its profile, at once. */
  async kill() {
    this.isKilled = true;
    for (let pids = await processesOf(this.profile); pids.length > 0; pids = await processesOf(this.profile)) {
      for (const pid of pids) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // It ended by itself: its parent did.
        }
      }
      await sleep(20);
    }
  }

  watch(page) {
    page.on('request', (request) => {
      const url = new URL(request.url());
      const own = url.origin === this.origin || url.protocol === 'data:' || url.protocol === 'about:';
      if (!own) this.problems.push(`request to ${url.href}`);
    });
    page.on('console', (message) => {
      if (message.type() === 'error') this.problems.push(`console: ${message.text()}`);
    });
    page.on('pageerror', (error) => this.problems.push(`uncaught: ${error.stack ?? error}`));
  }

  goto(path) {
    return this.page.goto(new URL(path, this.origin).href);
  }

  /** Runs `body(argument)` in the page. */
  evaluate(body, argument) {
    return this.page.evaluate(body, argument);
  }

  /** Waits until `body(argument)` is true in the page. */
  async waitFor(body, argument) {
    const deadline = Date.now() + LIMIT;
    while (!(await this.page.evaluate(body, argument))) {
      if (Date.now() > deadline) throw new Error(`never true: ${body}`);
      await sleep(50);
    }
  }

  press(key) {
    return this.page.keyboard.press(key);
  }

  type(text) {
    return this.page.keyboard.type(text);
  }

  screenshot(path) {
    return this.page.screenshot({ path });
  }
}

class ChromiumPage extends Page {
  static async open(origin, directory, profile) {
    const { chromium } = await import('playwright-core');
    // A browser that is killed leaves what it had in TMPDIR.
    const env = { ...process.env, ...(profile && { TMPDIR: directory }) };
    const start = { executablePath: executable('chromium'), args: CHROMIUM_ARGUMENTS, env };
    const look = { acceptDownloads: true, viewport: { width: 1280, height: 800 } };
    const browser = profile ? undefined : await shared('chromium', () => chromium.launch(start));
    const context = await (browser ? browser.newContext(look) : chromium.launchPersistentContext(profile, { ...start, ...look }));
    context.setDefaultTimeout(LIMIT);
    const self = new ChromiumPage(origin, directory, browser ? `Chromium ${browser.version()}` : 'Chromium');
    self.context = context;
    self.profile = profile;
    self.page = await context.newPage();
    self.watch(self.page);
    return self;
  }

  /** One more tab of the same browser. */
  async tab() {
    const tab = Object.assign(Object.create(Object.getPrototypeOf(this)), this);
    tab.page = await this.context.newPage();
    tab.watch(tab.page);
    return tab;
  }

  /** Makes the browser give this origin no more room than so many bytes. */
  async limitStorage(bytes) {
    const session = await this.context.newCDPSession(this.page);
    await session.send('Storage.overrideQuotaForOrigin', { origin: this.origin, quotaSize: bytes });
  }

  /** Chooses files in the input that `selector` finds. */
  setFiles(selector, paths) {
    return this.page.setInputFiles(selector, paths);
  }

  /** Clicks what has this role and accessible name. */
  click(role, name) {
    return this.page.getByRole(role, { name, exact: true }).click();
  }

  /** The text of what `selector` finds, as it is shown. */
  text(selector) {
    return this.page.locator(selector).first().innerText();
  }

  /** Puts `text` in place of what stands in the field that `selector` finds. */
  fill(selector, text) {
    return this.page.fill(selector, text);
  }

  /** Does what starts a download; resolves to where the file is and what it is called. */
  async download(start) {
    const [download] = await Promise.all([this.page.waitForEvent('download'), start()]);
    const name = download.suggestedFilename();
    const path = join(this.directory, `saved-${basename(name)}`);
    await download.saveAs(path);
    return { path, name };
  }

  close() {
    return this.context.close();
  }
}

class FirefoxPage extends Page {
  static async open(origin, directory, profile) {
    const { default: puppeteer } = await import('puppeteer-core');
    const start = async () => {
      // It has one place for all downloads, and does not say which came from where: each is looked for by itself.
      const downloads = await mkdtemp(join(profile ? directory : tmpdir(), 'longshore-downloads-'));
      const browser = await puppeteer.launch({
        browser: 'firefox',
        executablePath: executable('firefox'),
        headless: true,
        ...(profile && { userDataDir: profile, env: { ...process.env, TMPDIR: directory } }),
        extraPrefsFirefox: {
          'browser.download.dir': downloads,
          'browser.download.folderList': 2,
          'browser.download.alwaysOpenPanel': false,
          'browser.helperApps.neverAsk.saveToDisk': 'application/x-tar,application/octet-stream,application/json',
        },
      });
      const close = async () => {
        await browser.close();
        await rm(downloads, { recursive: true, force: true });
      };
      return { browser, downloads, close };
    };
    const { browser, downloads, close } = await (profile ? start() : shared('firefox', start));
    const context = profile ? browser.defaultBrowserContext() : await browser.createBrowserContext();
    const self = new FirefoxPage(origin, directory, await browser.version());
    self.context = context;
    self.profile = profile;
    self.downloads = downloads;
    self.close = profile ? close : () => context.close();
    self.page = await context.newPage();
    await self.page.setViewport({ width: 1280, height: 800 });
    self.page.setDefaultTimeout(LIMIT);
    self.watch(self.page);
    return self;
  }

  /** One more tab of the same browser. */
  async tab() {
    const tab = Object.assign(Object.create(Object.getPrototypeOf(this)), this);
    tab.page = await this.context.newPage();
    tab.page.setDefaultTimeout(LIMIT);
    tab.watch(tab.page);
    return tab;
  }

  async setFiles(selector, paths) {
    const input = await this.page.waitForSelector(selector);
    await input.uploadFile(...[paths].flat());
  }

  async click(role, name) {
    const element = await this.page.waitForSelector(`::-p-aria([name="${name}"][role="${role}"])`);
    await element.click();
  }

  text(selector) {
    return this.page.$eval(selector, (element) => element.innerText);
  }

  async fill(selector, text) {
    const field = await this.page.waitForSelector(selector);
    await field.evaluate((element) => element.select());
    await field.press('Backspace');
    await field.type(text);
  }

  /** The same; but Firefox says nothing of downloads, so the directory tells. */
  async download(start) {
    const before = new Set(await readdir(this.downloads));
    await start();
    const deadline = Date.now() + DOWNLOAD_LIMIT;
    let last;
    for (;;) {
      const now = (await readdir(this.downloads)).filter((name) => !before.has(name));
      // Firefox renames as it goes: names come and go, and the last one is taken by an empty file first. The download is
      // done when one file is there that is no longer any of these, and is still the same at the next look.
      const file = now.length === 1 && !now[0].endsWith('.part') ? join(this.downloads, now[0]) : undefined;
      const size = file ? await stat(file).then((found) => found.size, () => 0) : 0;
      if (file && size > 0 && last === `${file} ${size}`) {
        const path = join(this.directory, `saved-${now[0]}`);
        await copyFile(file, path);
        return { path, name: now[0] };
      }
      last = `${file} ${size}`;
      if (Date.now() > deadline) throw new Error('the download does not end');
      await sleep(100);
    }
  }
}
