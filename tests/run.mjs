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
};

const filters = process.argv.slice(2);
const steps = [];

await install(CI ? { ...NEEDED, ...PEERS } : NEEDED);
await timed('build', async () => {
  const { build } = await import('../web/build.mjs');
  build();
  return 0;
});
if (filters.length === 0) await rust();
await step('JavaScript tests', process.execPath, [
  '--test',
  // One at a time: several engines and browsers at once make each other slow, and slow is what some tests measure.
  '--test-concurrency=1',
  '--test-reporter=spec',
  ...testFiles(),
]);

console.log('');
for (const { name, seconds, code } of steps) {
  console.log(`${code === 0 ? 'passed' : 'FAILED'}  ${seconds.toFixed(1).padStart(6)} s  ${name}`);
}
process.exitCode = steps.some(({ code }) => code !== 0) ? 1 : 0;

async function rust() {
  const runner = onPath('cargo-nextest') ? ['nextest', 'run', '--no-fail-fast'] : ['test', '--all-targets', '--no-fail-fast'];
  await step('Rust tests', 'cargo', runner);
  await step('Rust documentation tests', 'cargo', ['test', '--doc', '--quiet']);
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

function step(name, program, args) {
  return timed(name, () => {
    const child = spawn(program, args, { cwd: root, stdio: 'inherit' });
    return new Promise((resolve, reject) => child.once('error', reject).once('exit', (code) => resolve(code ?? 1)));
  });
}

/** Runs one step and remembers how it ended: a failed one does not keep the next from telling more. */
async function timed(name, work) {
  console.log(`\n== ${name}`);
  const start = performance.now();
  const code = await work();
  steps.push({ name, seconds: (performance.now() - start) / 1000, code });
}
