// The store with images of a usual size: what it takes of memory, and that they are there after a restart.
import assert from 'node:assert/strict';
import { copyFile, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { startDocker } from '../support/engine.mjs';
import { watchingMemory } from '../support/memory.mjs';
import { skipUnless, staticBusybox } from '../support/peers.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { serve } from '../../web/serve.mjs';

/** What each of the three images adds, in MiB. */
const ADDED = 480;
/** What all Workers may take together, beyond what the page has: those of two threads at least. */
const MEMORY = 128e6;

const PAGE = `<!doctype html><link rel="icon" href="data:,"><input type="file" id="file"><a id="saved" download="saved.tar">saved</a>
<script type="module">
  import { openStore } from '/lib/index.js';
  globalThis.store = await openStore();
</script>`;

/** Three images, of which two are made from the first; bytes that nothing makes smaller. */
async function build(engine, directory) {
  const context = join(directory, 'build');
  await mkdir(context);
  await copyFile(staticBusybox(), join(context, 'busybox'));
  const fill = (name) => `RUN ["/bin/busybox", "dd", "if=/dev/urandom", "of=/${name}", "bs=1M", "count=${ADDED}"]`;
  const images = {
    'runtime:1': `FROM scratch\nCOPY busybox /bin/busybox\n${fill('runtime')}`,
    'app:1': `FROM runtime:1\n${fill('app')}\nCMD ["/bin/busybox", "stat", "-c", "%s", "/runtime", "/app"]`,
    'team/tool:1': `FROM runtime:1\n${fill('tool')}`,
  };
  for (const [name, text] of Object.entries(images)) {
    const file = join(context, 'dockerfile');
    await writeFile(file, text);
    await engine.docker('build', '--network', 'none', '--file', file, '--tag', name, context);
  }
  const file = join(directory, 'images.tar');
  await engine.docker('save', '--output', file, ...Object.keys(images));
  return { file, images: await engine.images() };
}

describe('three images that share a layer, 1.5 GB in all', { skip: skipUnless('dockerd', 'busybox') }, () => {
  const context = lasting();
  let directory;
  let engine;
  let built;

  before(async () => {
    directory = await temporary(context);
    engine = await startDocker(context);
    built = await build(engine, directory);
    const { size } = await stat(built.file);
    assert.ok(size > 1.5e9, `${size} bytes`);
  });

  for (const browser of ['chromium', 'firefox']) {
    it(`are kept in little memory, and are whole after a restart, in ${browser}`, { skip: skipUnlessBrowser(browser) }, async (t) => {
      const { file, images } = built;
      await engine.empty();
      const server = await serve({ pages: { '/test': PAGE } });
      t.after(server.close);
      const profile = await temporary(t);
      const onPage = (use) => withPage(browser, server.origin, async (page) => {
        await page.goto('/test');
        await page.waitFor(() => globalThis.store !== undefined);
        return use(page);
      }, { profile });

      await onPage(async (page) => {
        await page.setFiles('#file', file);
        const load = () => page.evaluate(async () => (await store.load(document.querySelector('#file').files[0])).lines);
        const { result, more } = await watchingMemory(profile, load);
        assert.deepEqual(result.sort(), Object.keys(images).map((name) => `Loaded image: ${name}`).sort());
        t.diagnostic(`at most ${(more / 1e6).toFixed(0)} MB more at once`);
        assert.ok(more < MEMORY, `${more} bytes more`);
      });

      await onPage(async (page) => {
        const names = await page.evaluate(async () => {
          await store.tag('app:1', 'registry.local/app:2');
          const { blob } = await store.save(['runtime', 'registry.local/app:2', 'team/tool:1']);
          document.querySelector('#saved').href = URL.createObjectURL(blob);
          return Object.fromEntries((await store.images()).map(({ repository, tag, id }) => [`${repository}:${tag}`, id]));
        });
        assert.deepEqual(names, { ...images, 'registry.local/app:2': images['app:1'] });
        const { path } = await page.download(() => page.click('link', 'saved'));
        await engine.docker('load', '--quiet', '--input', path);
        const { 'app:1': app, ...others } = images;
        assert.deepEqual(await engine.images(), { ...others, 'registry.local/app:2': app });
        assert.equal(await engine.run('registry.local/app:2'), `${ADDED << 20}\n${ADDED << 20}\n`);
      });
    });
  }
});
