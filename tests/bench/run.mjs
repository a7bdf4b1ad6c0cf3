// `npm run bench`: Longshore beside the programs that do the same, in one run, as Markdown tables. `npm run bench -- SUBJECT...`
// runs only some of its subjects.
//
// BENCH_BYTES (4 GiB), BENCH_RUNS (4) and BENCH_DIR (the system's temporary directory; it needs six times BENCH_BYTES) may be
// set. How it is measured:
// - The contenders take turns. Of whole processes the fastest run counts: a virtual machine takes up to three times as long
//   to fill memory that it has to ask its host for, which hits every program in some of its runs. In the browser, where
//   little memory is filled, the median counts.
// - The input is read once before, so that it comes from the page cache for all. Before each run the last one's output is
//   removed and `sync` waits for the disk, so that nobody pays for another's writes. No run waits for the disk at its end.
// - Times are of whole processes, start to exit; in the browser, of calls in a page that has opened one archive before.
import { readFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { closeBrowsers } from '../support/browsers.mjs';
import { skipUnless, skopeo } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { temporary } from '../support/temp.mjs';
import * as containers from './containers.mjs';
import * as convert from './convert.mjs';
import * as files from './files.mjs';
import * as push from './push.mjs';
import * as retag from './retag.mjs';
import { PARENT, ROOT, RUNS } from './settings.mjs';
import * as store from './store.mjs';
import * as verify from './verify.mjs';

/** Each says which `peers` it needs; `measure(context, directory)` prints its tables, and leaves to `context.after` what has to end. */
const SUBJECTS = { retag, convert, store, verify, push, files, containers };

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !SUBJECTS[name]);
if (unknown.length > 0) throw new Error(`no such subject: ${unknown}; there are ${Object.keys(SUBJECTS)}`);
const chosen = Object.entries(SUBJECTS).filter(([name]) => asked.length === 0 || asked.includes(name));
const absent = skipUnless(...new Set(chosen.flatMap(([, { peers }]) => peers)));
if (absent) throw new Error(absent);

console.log(await machine());
console.log(`Runs: ${RUNS}.\n`);
for (const [, subject] of chosen) {
  // What has to be undone at its end, last first; also when something fails.
  const ends = [];
  const context = { after: (end) => ends.unshift(end) };
  try {
    await subject.measure(context, await temporary(context, PARENT));
  } finally {
    for (const end of ends) await end();
    await closeBrowsers();
  }
}
console.log(await run('cargo', ['xtask', 'sizes'], { cwd: ROOT }));

async function machine() {
  const processor = readFileSync('/proc/cpuinfo', 'utf8').match(/model name\s*: (.*)/)?.[1] ?? cpus()[0].model;
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  const versions = [
    `Node ${process.versions.node}`,
    (await skopeo('--version')).trim(),
    (await run('dockerd', ['--version'])).trim().split(',')[0].replace('Docker version', 'Docker Engine'),
    (await run('chromium', ['--version'])).trim().split(' built')[0],
  ];
  return `${processor}, ${cpus().length} cores, ${memory} GiB, Linux ${release()}; ${versions.join('; ')}.\n`;
}
