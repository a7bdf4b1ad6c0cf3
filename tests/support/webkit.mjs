// WebKitGTK behind raw WebDriver, in a display that nobody sees: another engine than the two that most tests drive. Its automated
// sessions keep nothing on disk, and no Blobs in IndexedDB, as private windows of Safari do.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './registry.mjs';

const LIMIT = 30_000;
const BROWSERS = ['4.1', '4.0'].map((version) => `/usr/lib/x86_64-linux-gnu/webkit2gtk-${version}/MiniBrowser`);

/** The `skip` of a test in WebKitGTK; in CI it has to be there. */
export function skipUnlessWebKit() {
  if (BROWSERS.some(existsSync) && existsSync('/usr/bin/WebKitWebDriver') && existsSync('/usr/bin/Xvfb')) return false;
  if (process.env.CI === 'true') throw new Error('no WebKitGTK: the tests need webkit2gtk-driver and xvfb');
  return 'skipped: no WebKitGTK';
}

/** Opens a page in a new browser, calls `use(page)`, and closes the browser. */
export async function withWebKit(origin, use) {
  const children = [];
  const start = (program, args, env = {}) => {
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    const exit = once(child, 'exit');
    children.unshift({ child, exit });
    return child;
  };
  try {
    const screen = start('Xvfb', ['-displayfd', '3', '-screen', '0', '1280x900x24', '-nolisten', 'tcp']);
    const [number] = await once(screen.stdio[3], 'data');
    const port = await freePort();
    // In a container there is no sandbox to be had.
    const env = { DISPLAY: `:${String(number).trim()}`, WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1', WEBKIT_DISABLE_COMPOSITING_MODE: '1' };
    start('WebKitWebDriver', [`--port=${port}`, '--host=127.0.0.1'], env);
    const page = await WebKitPage.open(`http://127.0.0.1:${port}`, origin);
    try {
      return await use(page);
    } finally {
      await page.close();
    }
  } finally {
    for (const { child, exit } of children) {
      child.kill();
      await exit;
    }
  }
}

class WebKitPage {
  constructor(session, origin, version) {
    this.session = session;
    this.origin = origin;
    this.version = version;
  }

  static async open(driver, origin) {
    const deadline = Date.now() + LIMIT;
    while (!(await fetch(`${driver}/status`).then(() => true, () => false))) {
      if (Date.now() > deadline) throw new Error('WebKitWebDriver does not start');
      await sleep(50);
    }
    const binary = BROWSERS.find(existsSync);
    const capabilities = { alwaysMatch: { 'webkitgtk:browserOptions': { binary, args: ['--automation'] } } };
    const { sessionId, capabilities: found } = await ask('POST', `${driver}/session`, { capabilities });
    const self = new WebKitPage(`${driver}/session/${sessionId}`, origin, `WebKitGTK ${found.browserVersion}`);
    await ask('POST', `${self.session}/timeouts`, { script: 10 * LIMIT });
    return self;
  }

  goto(path) {
    return ask('POST', `${this.session}/url`, { url: new URL(path, this.origin).href });
  }

  /** Runs `body(argument)` in the page, which may give a promise. */
  async evaluate(body, argument) {
    const script = `const [argument, done] = arguments;
      Promise.resolve(argument).then(${body}).then((value) => done({ value }), (error) => done({ error: error.stack ? error + '\\n' + error.stack : String(error) }));`;
    const { value, error } = await ask('POST', `${this.session}/execute/async`, { script, args: [argument ?? null] });
    if (error !== undefined) throw new Error(error);
    return value;
  }

  /** Waits until `body(argument)` is true in the page. */
  async waitFor(body, argument) {
    const deadline = Date.now() + LIMIT;
    while (!(await this.evaluate(body, argument))) {
      if (Date.now() > deadline) throw new Error(`never true: ${body}`);
      await sleep(50);
    }
  }

  /** Chooses a file in the input that `selector` finds. */
  async setFiles(selector, path) {
    const found = await ask('POST', `${this.session}/element`, { using: 'css selector', value: selector });
    const [id] = Object.values(found);
    await ask('POST', `${this.session}/element/${id}/value`, { text: path });
  }

  close() {
    return ask('DELETE', this.session);
  }
}

async function ask(method, url, body) {
  const response = await fetch(url, { method, ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }) });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${method} ${url}: ${value.error}: ${value.message}`);
  return value;
}
