// `npm test`: everything, from a fresh clone. `npm test -- TEXT...` runs only those of the JavaScript tests whose path
// has one of the texts in it.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const CI = process.env.CI === 'true';

// Debian's package for each program. Without Chromium there is no test of the page; the others are peers, whose tests are
// skipped where they are absent, but not in CI.
const NEEDED = { chromium: 'chromium' };
const PEERS = {
  'firefox-esr': 'firefox-esr',
  WebKitWebDriver: 'webkit2gtk-driver',
  Xvfb: 'xvfb',
  dockerd: 'docker.io',
  skopeo: 'skopeo',
  podman: 'podman',
  umoci: 'umoci',
  buildah: 'buildah',
  busybox: 'busybox-static',
  bzip2: 'bzip2',
  xz: 'xz-utils',
  zstd: 'zstd',
  lz4: 'lz4',
  'docker-registry': 'docker-registry',
  htpasswd: 'apache2-utils',
  openssl: 'openssl',
  nginx: 'nginx-light',
  python3: 'python3',
};

// Where the output of a step goes: to the terminal as it comes, or all of it when the step is over.
const INHERIT = 'inherit';
const HELD = 'pipe';

const RUST_TESTS = onPath('cargo-nextest') ? ['nextest', 'run'] : ['test', '--all-targets'];
// Tests of real archives are left out where there are none.
const REAL = process.env.LONGSHORE_CORPUS ? (RUST_TESTS[0] === 'nextest' ? ['--run-ignored', 'all'] : ['--', '--include-ignored']) : [];

const filters = process.argv.slice(2);
const steps = [];

await install(CI ? { ...NEEDED, ...PEERS } : NEEDED);
await timed('build', INHERIT, async () => {
  const { build } = await import('../web/build.mjs');
  build();
  return { code: 0 };
});
const files = testFiles();
const inBrowsers = files.filter((file) => file.startsWith(join('tests', 'browser')));
const elsewhere = files.filter((file) => !inBrowsers.includes(file));
if (filters.length === 0) await step('building the Rust tests', 'cargo', [...RUST_TESTS, '--no-run']);
// Browsers keep tests waiting half of the time, which is enough for all others; what these print comes when they are done.
await Promise.all([
  javaScript('browsers', inBrowsers, INHERIT),
  (async () => {
    await javaScript('all else', elsewhere, HELD);
    if (filters.length > 0) return;
    await step('Rust tests', 'cargo', [...RUST_TESTS, '--no-fail-fast', ...REAL], HELD);
    await step('Rust documentation tests', 'cargo', ['test', '--doc', '--quiet'], HELD);
  })(),
]);

console.log('');
for (const { name, seconds, code } of steps) {
  console.log(`${code === 0 ? 'passed' : 'FAILED'}  ${seconds.toFixed(1).padStart(6)} s  ${name}`);
}
process.exitCode = steps.some(({ code }) => code !== 0) ? 1 : 0;

function javaScript(what, files, output) {
  if (files.length === 0) return;
  // One file at a time: several engines or several browsers at once make each other slow.
  const runner = ['--test', '--test-concurrency=1', '--test-timeout=900000', '--test-reporter=spec'];
  return step(`JavaScript tests, ${what}`, process.execPath, [...runner, ...files], output);
}

function testFiles() {
  const tests = join(root, 'tests');
  const files = readdirSync(tests, { recursive: true })
    .filter((file) => file.endsWith('.test.mjs'))
    .map((file) => relative(root, join(tests, file)))
    .filter((file) => filters.length === 0 || filters.some((text) => file.includes(text)))
    .sort();
  if (files.length === 0) throw new Error(`no test has ${filters.join(' or ')} in its path`);
  return files;
}

/** Installs what is absent, where that takes no question; else says what to install. */
async function install(programs) {
  const packages = Object.keys(programs).filter((program) => !onPath(program)).map((program) => programs[program]);
  if (packages.length === 0) return;
  if (process.getuid?.() !== 0 || !onPath('apt-get')) {
    console.error(`The tests need ${packages.join(', ')}: please install what your system calls so.`);
    process.exit(1);
  }
  process.env.DEBIAN_FRONTEND = 'noninteractive';
  await step('apt-get update', 'apt-get', ['update', '--quiet']);
  await step(`apt-get install ${packages.join(' ')}`, 'apt-get', ['install', '--quiet', '--yes', '--no-install-recommends', ...packages]);
}

function onPath(program) {
  return (process.env.PATH ?? '').split(':').some((directory) => existsSync(join(directory, program)));
}

/** Runs a program as a step. */
function step(name, program, args, output = INHERIT) {
  return timed(name, output, () => {
    const child = spawn(program, args, { cwd: root, stdio: ['inherit', output, output] });
    const held = [];
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (bytes) => held.push(bytes));
    return new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code) => resolve({ code: code ?? 1, printed: Buffer.concat(held) }));
    });
  });
}

/** Runs one step and remembers how it ended: a failed one does not keep the next from telling more. */
async function timed(name, output, work) {
  const title = `\n== ${name}`;
  if (output === INHERIT) console.log(title);
  const start = performance.now();
  const { code, printed } = await work();
  if (output === HELD) process.stdout.write(`${title}\n${printed}`);
  steps.push({ name, seconds: (performance.now() - start) / 1000, code });
}
