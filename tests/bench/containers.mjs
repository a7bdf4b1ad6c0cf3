// Working containers: many small files written and committed, beside the real engine.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startDocker } from '../support/engine.mjs';
import { longshore } from '../support/longshore.mjs';
import { tar, writeImages } from '../support/tars.mjs';
import { inChromium } from './pages.mjs';
import { fastest, ms, table } from './report.mjs';
import { PARENT, RUNS } from './settings.mjs';

export const peers = ['dockerd'];

const FILES = 10_000;

/** Each run commits the same files again, and makes another image of them. */
export async function measure(context, directory) {
  const file = join(directory, 'base.tar');
  await writeImages(file, [{ name: 'base:1', layers: [{ step: 'ADD etc /', tar: tar([{ path: 'etc/' }]) }] }]);
  const engine = await startDocker(context, { parent: PARENT });
  await engine.docker('load', '--quiet', '--input', file);
  const folder = join(directory, 'many');
  const contents = Array.from({ length: FILES }, (_, number) => [`${number % 100}/${number}`, `the file of number ${number}\n`]);
  for (let number = 0; number < 100; number += 1) await mkdir(join(folder, `${number}`), { recursive: true });
  for (const [path, content] of contents) await writeFile(join(folder, path), content);
  // The image has no program: it is made, not run.
  const theirs = (await engine.docker('create', 'base:1', 'none')).trim();
  context.after(() => engine.docker('rm', '--force', theirs));
  await engine.docker('cp', `${folder}/.`, `${theirs}:/srv`);

  const { openStore } = await longshore();
  const store = await openStore(join(directory, 'store'));
  context.after(() => store.close());
  await store.load(file);
  const ours = await store.create('base:1');
  const begun = performance.now();
  await ours.write(contents.map(([path, content]) => ({ path: `srv/${path}`, content })));
  const written = performance.now() - begun;

  const profile = join(directory, 'profile');
  await inChromium({ file }, async (page) => {
    const inPage = await page.evaluate(writeInPage, contents);
    const time = await fastest(
      {
        docker: () => engine.docker('commit', theirs),
        node: () => ours.commit(),
        chromium: () => page.evaluate(commitInPage),
      },
      RUNS,
    );
    const row = (what, own) => [what, ms(own), (own / time.docker).toFixed(2)];
    table(
      [`commit ${FILES} small files`, 'time', 'time ÷ docker'],
      [
        row('`docker commit`', time.docker),
        row('Longshore in Node', time.node),
        row('Longshore in Chromium', time.chromium),
        ['Longshore in Node: writing them, as one change', ms(written), ''],
        ['Longshore in Chromium: writing them, as one change', ms(inPage), ''],
      ],
    );
  }, { profile });
}

/** Runs in the page. */
async function writeInPage(contents) {
  const { openStore } = await import('/lib/index.js');
  const store = await openStore();
  await store.load(document.getElementById('file').files[0]);
  globalThis.container = await store.create('base:1');
  const start = performance.now();
  await globalThis.container.write(contents.map(([path, content]) => ({ path: `srv/${path}`, content })));
  return performance.now() - start;
}

/** The same. */
async function commitInPage() {
  const start = performance.now();
  await globalThis.container.commit();
  return performance.now() - start;
}
