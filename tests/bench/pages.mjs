// Pages in which the library is measured.
import { withPage } from '../support/browsers.mjs';
import { serve } from '../../web/serve.mjs';

/** Calls `use(page)` with a page of a new Chromium, in which the inputs with these ids hold these files. */
export async function inChromium(files, use, options) {
  const inputs = Object.keys(files).map((id) => `<input type="file" id="${id}">`);
  const page = `<!doctype html><link rel="icon" href="data:,">${inputs.join('')}`;
  const server = await serve({ policy: '', pages: { '/bench.html': page } });
  try {
    return await withPage('chromium', server.origin, async (chromium) => {
      await chromium.goto('/bench.html');
      for (const [id, file] of Object.entries(files)) await chromium.setFiles(`#${id}`, file);
      return use(chromium);
    }, options);
  } finally {
    await server.close();
  }
}

/** Bytes of wasm memory of the largest module that the page's Workers have. */
export async function wasmMemory({ page }) {
  const sizes = page.workers().map((worker) =>
    worker.evaluate(async (names) => {
      // The very modules that the Worker has; what it has not started has no memory to tell of.
      const modules = await Promise.all(names.map((name) => import(`/lib/${name}.js`)));
      return Math.max(...modules.map(({ memoryUsed }) => { try { return memoryUsed(); } catch { return 0; } }));
    }, ['core', 'codec']),
  );
  return Math.max(...(await Promise.all(sizes)));
}
