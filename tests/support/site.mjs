// The page as it was built, for the tests that use it as a person would.
import { mkdir } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { temporary } from './temp.mjs';
import { serve } from '../../web/serve.mjs';

/** Where the screenshots go, for people to look at. */
export const SCREENSHOTS = fileURLToPath(new URL('../../dist/screenshots/', import.meta.url));

/** Serves the page until `t` ends, with a directory for the files that the tests give it. */
export async function startSite(t, options) {
  const { origin, close } = await serve(options);
  t.after(close);
  await mkdir(SCREENSHOTS, { recursive: true });
  return { origin, directory: await temporary(t) };
}
