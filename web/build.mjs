// Builds everything into dist/, from a fresh clone: the library in dist/lib, the page in dist/ and dist/app.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

export function build() {
  // Nothing of an earlier build may be taken for a part of this one.
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  if (!installed()) install();
  const targets = spawnSync('rustup', ['target', 'list', '--installed'], { encoding: 'utf8' });
  // Without rustup, the toolchain came with its targets.
  if (!targets.error && !targets.stdout.includes('wasm32-unknown-unknown')) {
    run('rustup', 'target', 'add', 'wasm32-unknown-unknown');
  }
  run('cargo', 'xtask', 'wasm');
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  run(process.execPath, tsc, '-p', 'web');
  copyPage();
  listPage();
  run('cargo', 'xtask', 'sizes');
}

/** Whether node_modules holds what the lock file says. npm notes there what it installed. */
function installed() {
  const note = join(root, 'node_modules/.package-lock.json');
  return existsSync(note) && statSync(note).mtimeMs >= statSync(join(root, 'package-lock.json')).mtimeMs;
}

/** Has npm install what the lock file says: npm's own script, where that runs this. */
function install() {
  const { npm_execpath: script = '' } = process.env;
  if (script.endsWith('npm-cli.js')) run(process.execPath, script, 'ci');
  else run('npm', 'ci');
}

/** index.html goes to the top, what it refers to beside the compiled modules. */
function copyPage() {
  const page = join(root, 'web/app');
  mkdirSync(join(root, 'dist/app'), { recursive: true });
  for (const name of readdirSync(page).filter((name) => /\.(html|css|svg)$/.test(name))) {
    cpSync(join(page, name), join(root, 'dist', name === 'index.html' ? '.' : 'app', name));
  }
}

/** Says what the service worker is to keep: all that a browser may load. */
function listPage() {
  const dist = join(root, 'dist');
  const isNeeded = (path) => /\.(js|wasm|css|svg)$/.test(path) && !/^lib\/node/.test(path);
  const files = ['app', 'lib']
    .flatMap((folder) => readdirSync(join(dist, folder), { recursive: true }).map((name) => join(folder, name).split(sep).join('/')))
    .filter(isNeeded)
    .concat('index.html')
    .sort();
  const hash = createHash('sha256');
  for (const path of files) hash.update(`${path}\0`).update(readFileSync(join(dist, path)));
  const list = [`export const version = '${hash.digest('hex')}';`, `export const files = ${JSON.stringify(files)};`];
  writeFileSync(join(dist, 'precache.js'), `${list.join('\n')}\n`);
}

function run(program, ...args) {
  // On Windows, npm is a batch file, which Node starts by a shell only.
  const shell = program === 'npm' && process.platform === 'win32';
  const { status, error } = spawnSync(program, args, { cwd: root, stdio: 'inherit', shell });
  if (error?.code === 'ENOENT') throw new Error(`${program} is not installed`);
  if (status !== 0) throw new Error(`failed: ${[program, ...args].join(' ')}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) build();
