// Verifying and unpacking in real browsers: in Workers, with the browser's own storage, which is empty afterwards.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { fixtures, middleOfLayer } from '../support/fixtures.mjs';
import { skipUnless } from '../support/peers.mjs';
import { run } from '../support/run.mjs';
import { startSite } from '../support/site.mjs';
import { lasting } from '../support/temp.mjs';

const PAGE = `<!doctype html><link rel="icon" href="data:,"><input type="file" id="file">
<script type="module">
  import * as longshore from '/lib/index.js';
  const chosen = () => document.querySelector('#file').files[0];
  const stored = async () => {
    const names = [];
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('longshore-unpacked', { create: true });
    for await (const name of folder.keys()) names.push(name);
    return names;
  };
  /** Waits until the storage is empty; what is in it if it never is. */
  const emptied = async () => {
    for (let n = 0; n < 100 && (await stored()).length > 0; n += 1) await new Promise((resolve) => setTimeout(resolve, 50));
    return stored();
  };
  const sha256 = async (blob) => {
    const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  };
  globalThis.test = { ...longshore, chosen, stored, emptied, sha256 };
</script>`;

let origin;
let directory;
let plain;
let large;
const context = lasting();

before(async () => {
  ({ origin, directory } = await startSite(context, { pages: { '/test': PAGE } }));
  plain = join(directory, 'app.tar');
  await fixtures(['oci-gzip', '--images', '2', '--layers', '3', '--size', '3000000', '--name', 'app:1', '--name', 'db:1', plain]);
  large = join(directory, 'large.tar');
  await fixtures(['docker-legacy', '--layers', '4', '--size', '10000000', '--name', 'large:1', large]);
});

async function packed(name, program, ...options) {
  const file = join(directory, name);
  await writeFile(file, await run(program, [...options, '-c', plain], { encoding: 'buffer' }));
  return file;
}

async function onPage(browser, file, use) {
  await withPage(browser, origin, async (page) => {
    await page.goto('/test');
    await page.waitFor(() => globalThis.test !== undefined);
    if (file) await page.setFiles('#file', file);
    await use(page);
  });
}

for (const browser of ['chromium', 'firefox']) {
  describe(`the codec in ${browser}`, { skip: skipUnlessBrowser(browser) || skipUnless('bzip2', 'xz', 'zstd') }, () => {
    it('verifies what is compressed and what is not, and finds a changed byte', async () => {
      for (const kind of ['oci-gzip', 'docker-legacy']) {
        const file = join(directory, `${kind}-${browser}.tar`);
        await fixtures([kind, '--images', '2', '--layers', '3', '--size', '3000000', '--name', 'app:1', '--name', 'db:1', file]);
        const { openArchive } = await import('../../dist/lib/node.js');
        const archive = await openArchive(file);
        const expected = await archive.verify();
        await archive.close();
        await onPage(browser, file, async (page) => {
          const told = await page.evaluate(async (middle) => {
            const { openArchive, chosen } = globalThis.test;
            const opened = await openArchive(chosen());
            const progress = [];
            const report = await opened.verify({ onProgress: (state) => progress.push(state) });
            const bytes = new Uint8Array(await chosen().arrayBuffer());
            bytes[middle] ^= 1;
            const damaged = await (await openArchive(new Blob([bytes]))).verify();
            return { report, progress, damaged };
          }, await middleOfLayer(file));
          assert.deepEqual(told.report, expected);
          assert.equal(told.report.verdict, 'intact');
          assert.ok(told.progress.every(({ phase, done, total }) => phase === 'verify' && done <= total && total === expected.bytes));
          assert.equal(told.progress.at(-1).done, expected.bytes);
          assert.equal(told.damaged.verdict, 'damaged');
        });
      }
    });

    it('opens compressed archives through its storage, which is empty when they are closed', async () => {
      const digest = createHash('sha256').update(await readFile(plain)).digest('hex');
      const files = [
        [await packed('app.tar.gz', 'gzip'), 'gzip'],
        [await packed('app.tar.zst', 'zstd', '-q'), 'zstd'],
        [await packed('app.txz', 'xz', '-1'), 'xz'],
      ];
      for (const [file, packing] of files) {
        await onPage(browser, file, async (page) => {
          const told = await page.evaluate(async () => {
            const { openArchive, chosen, stored, sha256 } = globalThis.test;
            const progress = [];
            const opened = await openArchive(chosen(), { onProgress: ({ phase, done, total }) => progress.push({ phase, done, total }) });
            const { name, packing } = opened;
            const during = await stored();
            const { verdict } = await opened.verify();
            const digest = await sha256((await opened.save()).blob);
            await opened.close();
            return { name, packing, during, verdict, digest, progress, size: chosen().size, after: await stored() };
          });
          assert.deepEqual([told.name, told.packing, told.verdict, told.digest], ['app.tar', [packing], 'intact', digest]);
          assert.equal(told.during.length, 1);
          assert.deepEqual(told.after, []);
          const last = told.progress.findLast(({ phase }) => phase === 'unpack');
          assert.deepEqual([last.done, last.total], [told.size, told.size]);
        });
      }
    });

    it('stops at once when told, and cleans up', async () => {
      // bzip2 is slow: there is time.
      await onPage(browser, await packed('app.tar.bz2', 'bzip2'), async (page) => {
        const told = await page.evaluate(async () => {
          const { openArchive, chosen, stored, emptied } = globalThis.test;
          const code = (promise) => promise.then(() => 'none', (error) => error.code);
          const during = new AbortController();
          let seen;
          const later = [];
          const stopped = code(openArchive(chosen(), {
            signal: during.signal,
            onProgress: async ({ done, total }) => {
              if (during.signal.aborted) later.push(done / total);
              if (done === 0 || seen) return;
              seen = stored().then(({ length }) => length);
              await seen;
              during.abort();
            },
          }));
          const codes = [await stopped];
          const left = await emptied();
          codes.push(await code(openArchive(chosen(), { limits: { bytes: 1000000 } })));
          codes.push(await code(openArchive(new Blob([(await chosen().arrayBuffer()).slice(0, 500000)]))));
          const leftAfterFailures = await emptied();

          const opened = await openArchive(chosen());
          const verifying = new AbortController();
          codes.push(await code(opened.verify({ signal: verifying.signal, onProgress: ({ done }) => done > 0 && verifying.abort() })));
          const { verdict } = await opened.verify();
          await opened.close();
          return { codes, later, seen: await seen, left, leftAfterFailures, verdict, after: await emptied() };
        });
        assert.deepEqual(told.codes, ['aborted', 'limit-exceeded', 'truncated', 'aborted']);
        assert.ok(!told.later.includes(1), `went on to ${told.later}`);
        assert.equal(told.seen, 1, 'it was under way');
        assert.deepEqual([told.left, told.leftAfterFailures, told.after, told.verdict], [[], [], [], 'intact']);
      });
    });

    it('stops packing at once, and cleans up', async () => {
      await onPage(browser, large, async (page) => {
        const told = await page.evaluate(async () => {
          const { openArchive, chosen, emptied } = globalThis.test;
          const opened = await openArchive(chosen());
          const control = new AbortController();
          const later = [];
          const onProgress = ({ done, total }) => {
            if (control.signal.aborted) later.push(done / total);
            else if (done > 0) control.abort();
          };
          const code = await opened.save({ gzip: true, signal: control.signal, onProgress }).then(() => 'none', (error) => error.code);
          return { code, later, left: await emptied() };
        });
        assert.deepEqual([told.code, told.left], ['aborted', []]);
        assert.ok(!told.later.includes(1), `went on to ${told.later}`);
      });
    });

    it('removes what a tab that crashed left behind, and nothing that is in use', async () => {
      await onPage(browser, plain, async (page) => {
        const left = await page.evaluate(async () => {
          const { openArchive, chosen, stored } = globalThis.test;
          await stored();
          const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle('longshore-unpacked');
          for (const name of ['crashed', 'in-use']) await folder.getFileHandle(name, { create: true });
          await new Promise((held) => void navigator.locks.request('longshore-unpacked/in-use', () => new Promise(held)));
          await openArchive(chosen());
          for (let n = 0; n < 100 && (await stored()).includes('crashed'); n += 1) await new Promise((resolve) => setTimeout(resolve, 50));
          return stored();
        });
        assert.deepEqual(left, ['in-use']);
      });
    });

    it('has other places where there is no such storage', async () => {
      await onPage(browser, undefined, async (page) => {
        const told = await page.evaluate(async () => {
          const { databaseSink, memorySink } = await import('/lib/temporary.js');
          const pieces = Array.from({ length: 5 }, (_, n) => new Uint8Array(100_000).fill(n));
          const expected = await globalThis.test.sha256(new Blob(pieces));
          const digests = [];
          for (const sink of [await databaseSink('one'), await databaseSink('two'), memorySink(500_000)]) {
            for (const piece of pieces) await sink.write(piece.slice());
            digests.push((await globalThis.test.sha256(await sink.finish())) === expected);
          }
          const small = memorySink(150_000);
          const fails = async () => {
            for (const piece of pieces) await small.write(piece);
          };
          const error = await fails().catch(({ code, detail }) => ({ code, limit: detail.limit }));
          // What is there without a lock is a leftover.
          const { sweep } = await import('/lib/unpacking.js');
          await sweep();
          const { openDatabase } = await import('/lib/temporary.js');
          const database = await openDatabase();
          const count = await new Promise((resolve) => {
            const request = database.transaction('pieces').objectStore('pieces').count();
            request.onsuccess = () => resolve(request.result);
          });
          database.close();
          return { digests, error, count };
        });
        assert.deepEqual(told, { digests: [true, true, true], error: { code: 'limit-exceeded', limit: 'memory' }, count: 0 });
      });
    });

    it('says so when its Worker is not there', async () => {
      await withPage(browser, origin, async (page) => {
        await page.goto('/test');
        await page.waitFor(() => globalThis.test !== undefined);
        await page.setFiles('#file', plain);
        const codes = await page.evaluate(async () => {
          const { configure, openArchive, chosen } = globalThis.test;
          configure({ workerUrl: '/nothing.js' });
          const code = () => openArchive(chosen()).then(() => 'none', (error) => error.code);
          return [await code(), await code()];
        });
        assert.deepEqual(codes, ['worker-failed', 'worker-failed']);
      }, { expectErrors: true });
    });

    it('opens a file and a folder by their handles', async () => {
      await onPage(browser, plain, async (page) => {
        const told = await page.evaluate(async () => {
          const { openArchive, chosen } = globalThis.test;
          const root = await navigator.storage.getDirectory();
          const put = async (folder, name, content) => {
            const handle = await folder.getFileHandle(name, { create: true });
            const stream = await handle.createWritable();
            await stream.write(content);
            await stream.close();
            return handle;
          };
          const file = await openArchive(await put(root, 'app.tar', chosen()));
          // Its members, as a folder.
          const layout = await root.getDirectoryHandle('layout', { create: true });
          const bytes = new Uint8Array(await chosen().arrayBuffer());
          const text = (from, length) => new TextDecoder().decode(bytes.subarray(from, from + length)).split('\0')[0];
          for (let at = 0; text(at, 100) !== ''; ) {
            const [path, size] = [text(at, 100), parseInt(text(at + 124, 12), 8)];
            let folder = layout;
            const names = path.split('/').filter(Boolean);
            const name = path.endsWith('/') ? undefined : names.pop();
            for (const one of names) folder = await folder.getDirectoryHandle(one, { create: true });
            if (name) await put(folder, name, bytes.subarray(at + 512, at + 512 + size));
            at += 512 + Math.ceil(size / 512) * 512;
          }
          const folder = await openArchive(layout);
          const tell = async (archive) => [archive.name, archive.format, archive.images.map(({ id }) => id), (await archive.verify()).verdict];
          return [await tell(file), await tell(folder)];
        });
        const ids = told[0][2];
        assert.equal(ids.length, 2);
        assert.deepEqual(told, [['app.tar', 'oci', ids, 'intact'], ['layout.tar', 'oci', ids, 'intact']]);
      });
    });

    it('says so when the file changed on disk', async () => {
      const file = join(directory, `changing-${browser}.tar`);
      await writeFile(file, await readFile(plain));
      await onPage(browser, file, async (page) => {
        await page.evaluate(async () => {
          globalThis.opened = await globalThis.test.openArchive(globalThis.test.chosen());
        });
        await writeFile(file, 'something else');
        const code = await page.evaluate(() => globalThis.opened.verify().then(() => 'none', (error) => error.code));
        assert.equal(code, 'source-changed');
      });
    });
  });
}
