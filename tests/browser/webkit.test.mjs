// The page in WebKitGTK: an archive opened, verified and kept, where IndexedDB takes no Blobs and there is no other storage.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { fixtures } from '../support/fixtures.mjs';
import { temporary } from '../support/temp.mjs';
import { skipUnlessWebKit, withWebKit } from '../support/webkit.mjs';
import { serve } from '../../web/serve.mjs';

describe('WebKitGTK', { skip: skipUnlessWebKit() }, () => {
  it('opens an archive, verifies it, keeps it, and gives it back byte for byte', async (t) => {
    const { origin, close } = await serve();
    t.after(close);
    const file = join(await temporary(t), 'app.tar');
    await fixtures(['docker-hybrid', '--images', '2', '--layers', '3', '--size', '6000000', '--name', 'app:1', '--name', 'db:1', file]);
    await withWebKit(origin, async (page) => {
      await page.goto('/');
      // Its driver does not wait for a page's modules.
      await page.waitFor(() => document.querySelector('#shelf input[type=file]') !== null);
      await page.setFiles('#file', file);
      await page.waitFor(() => document.querySelector('.archive h2') !== null);
      const click = (selector) => page.evaluate((wanted) => document.querySelector(wanted).click(), selector);
      await click('.verify button');
      await page.waitFor(() => document.querySelector('.report .badge')?.textContent === 'Intact');
      await page.evaluate(() => [...document.querySelectorAll('.archive button')].find(({ textContent }) => textContent === 'Keep on the shelf').click());
      await page.waitFor(() => document.querySelectorAll('.shelf tbody tr').length === 2);

      const { saved, chunked, kept } = await page.evaluate(inPage);
      assert.ok(chunked, 'this engine keeps no Blobs, which is what the test is for');
      assert.deepEqual(kept, ['app:1', 'db:1']);
      assert.equal(saved, createHash('sha256').update(await readFile(file)).digest('hex'));
    });
  });
});

/** What the store gives back, and how it is kept. */
async function inPage() {
  const { openStore } = await import('/lib/index.js');
  const store = await openStore();
  const rows = await store.images();
  const { blob, release } = await store.save(rows.map(({ repository, tag }) => `${repository}:${tag}`).sort());
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', await blob.arrayBuffer()));
  await release();
  const database = await new Promise((resolve, reject) => {
    const request = indexedDB.open('longshore-store');
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  const pieces = await new Promise((resolve, reject) => {
    const request = database.transaction('data').objectStore('data').getAll(undefined, 3);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  database.close();
  await store.close();
  return {
    saved: [...digest].map((byte) => byte.toString(16).padStart(2, '0')).join(''),
    chunked: pieces.length > 0 && pieces.every((piece) => !(piece instanceof Blob)),
    kept: rows.map(({ repository, tag }) => `${repository}:${tag}`).sort(),
  };
}
