// The package as its users get it: packed, installed elsewhere, type-checked, served without a bundler, built by Vite.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { skipUnlessBrowser, withPage } from '../support/browsers.mjs';
import { fixtures } from '../support/fixtures.mjs';
import { run } from '../support/run.mjs';
import { lasting, temporary } from '../support/temp.mjs';
import { serve } from '../../web/serve.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
const TARGET = 'registry.local/team/app:2';
const context = lasting();

let project;
let archive;
/** sha256 of the archive under its new name, as Node writes it. */
let expected;

before(async () => {
  const home = await temporary(context);
  await run('npm', ['pack', '--silent', '--pack-destination', home], { cwd: root });
  project = join(home, 'project');
  await mkdir(project);
  await writeFile(join(project, 'package.json'), '{ "name": "user", "private": true, "type": "module" }');
  await run('npm', ['install', '--silent', join(home, 'longshore-0.1.0.tgz')], { cwd: project });

  archive = join(home, 'app.tar');
  await fixtures(['docker-hybrid', '--images', '2', '--layers', '3', '--size', '300000', '--name', 'app:1', '--name', 'db:1', archive]);
  // As a user's program imports it, by name.
  const program = `
    import { openArchive } from 'longshore';
    const archive = await openArchive(${JSON.stringify(archive)});
    const inspect = await archive.inspect('app:1');
    await archive.tag('app:1', ${JSON.stringify(TARGET)});
    await (await archive.save()).writeTo(${JSON.stringify(`${archive}.retagged`)});
    const report = await archive.verify();
    const { images, findings, reads, format } = archive;
    console.log(JSON.stringify({ images, findings, reads, format, inspect, report }));
  `;
  await writeFile(join(project, 'program.js'), program);
  await writeFile(join(project, 'recorded.json'), await run(process.execPath, ['program.js'], { cwd: project }));
  expected = createHash('sha256').update(await readFile(`${archive}.retagged`)).digest('hex');
});

const TYPED = `
import { openArchive, LongshoreError, type ArchiveView, type ErrorCode, type Finding, type Format, type Image, type ImageInspect, type VerifyReport } from 'longshore';

export async function retag(input: INPUT): Promise<string[]> {
  const controller = new AbortController();
  try {
    const archive = await openArchive(input, { signal: controller.signal, onProgress: ({ done, total }) => void (done / total) });
    const changes = await archive.tag('app', 'registry.local/app:1');
    await archive.rename([{ from: '', to: 'mirror.local' }]);
    const saved = await archive.save();
    SAVED
    return changes.map(({ to }) => to ?? '');
  } catch (error) {
    const code: ErrorCode | undefined = error instanceof LongshoreError ? error.code : undefined;
    return [code ?? ''];
  }
}
// @ts-expect-error: a number is nothing to open
void openArchive(1);
`;

describe('the browser entry', () => {
  // As on a server that renders the page of an application.
  it('loads where there is no browser', async () => {
    const program = `delete globalThis.navigator; const { openArchive } = await import('longshore/browser'); console.log(typeof openArchive);`;
    await writeFile(join(project, 'server.js'), program);
    assert.equal(await run(process.execPath, ['server.js'], { cwd: project }), 'function\n');
  });
});

describe('the declarations', () => {
  const check = async (name, module, typed, types) => {
    // What the API really gave, as literals: a property that the declarations lack is an error.
    const { images, findings, reads, format, inspect, report } = JSON.parse(await readFile(join(project, 'recorded.json'), 'utf8'));
    const literals = `
      export const images: Image[] = ${JSON.stringify(images)};
      export const findings: Finding[] = ${JSON.stringify(findings)};
      export const reads: ArchiveView['reads'] = ${JSON.stringify(reads)};
      export const format: Format = ${JSON.stringify(format)};
      export const inspect: ImageInspect = ${JSON.stringify(inspect)};
      export const report: VerifyReport = ${JSON.stringify(report)};
    `;
    await writeFile(join(project, `${name}.ts`), typed + literals);
    const options = ['--noEmit', '--strict', '--exactOptionalPropertyTypes', '--target', 'es2022', '--typeRoots', join(root, 'node_modules/@types'), '--types', types];
    const compiler = join(root, 'node_modules/typescript/bin/tsc');
    return run(process.execPath, [compiler, ...options, ...module, `${name}.ts`], { cwd: project });
  };

  it('fit what the browser entry gives and takes', async () => {
    const typed = TYPED.replace('INPUT', 'File | URL').replace('SAVED', 'const blob: Blob = saved.blob; void blob;');
    await check('browser', ['--module', 'esnext', '--moduleResolution', 'bundler', '--lib', 'es2024,dom'], typed, '');
  });

  it('fit what the Node entry gives and takes', async () => {
    const typed = TYPED.replace('INPUT', 'string | URL').replace('SAVED', "await saved.writeTo('out.tar');");
    await check('node', ['--module', 'nodenext', '--lib', 'es2024'], typed, 'node');
  });
});

describe('the codes', () => {
  const codes = async (file, name) => {
    const source = await readFile(join(root, file), 'utf8');
    const block = source.slice(source.indexOf(`    ${name} {`));
    return [...block.slice(0, block.indexOf('\n    }\n')).matchAll(/= "([a-z0-9-]+)"/g)].map(([, code]) => code);
  };

  it('are the same in Rust, in JavaScript and in the documentation', async () => {
    const { ERROR_CODES } = await import(pathToFileURL(join(root, 'dist/lib/errors.js')).href);
    const documented = await readFile(join(root, 'docs/formats.md'), 'utf8');
    const errors = await codes('crates/archive/src/error.rs', 'Code');
    const findings = await codes('crates/archive/src/error.rs', 'FindingCode');
    assert.ok(errors.length > 10 && findings.length > 10);
    assert.deepEqual(errors.filter((code) => !ERROR_CODES.includes(code)), []);
    const isMissing = (code) => !documented.includes(`| \`${code}\` |`);
    assert.deepEqual([...ERROR_CODES, ...findings].filter(isMissing), []);
  });
});

const PAGE = (script) => `<!doctype html><link rel="icon" href="data:,"><input type="file" id="file">${script}`;

/** Runs in a page: opens the chosen file, tags and verifies it, opens it compressed, and tells what the saved Blob is. */
async function retag(target) {
  const { openArchive } = globalThis.longshore;
  const opened = await openArchive(document.querySelector('#file').files[0]);
  await opened.tag('app:1', target);
  const { verdict } = await opened.verify();
  const packed = await new Response(document.querySelector('#file').files[0].stream().pipeThrough(new CompressionStream('gzip'))).blob();
  const unpacked = await openArchive(packed);
  const { packing } = unpacked;
  await unpacked.close();
  const { blob, size, name } = await opened.save();
  const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer());
  const hex = [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  return { hex, name, verdict, packing, whole: size === blob.size, references: opened.images[0].references };
}

async function retagsIn(browser, origin, path = '/') {
  await withPage(browser, origin, async (page) => {
    await page.goto(path);
    await page.waitFor(() => globalThis.longshore !== undefined);
    await page.setFiles('#file', archive);
    const result = await page.evaluate(retag, TARGET);
    assert.deepEqual(result, { hex: expected, name: 'app.tar', verdict: 'intact', packing: ['gzip'], whole: true, references: ['app:1', TARGET] });
  });
}

/** Serves a folder until the tests' end. */
async function served(directory, pages) {
  const server = await serve({ root: directory, policy: '', pages });
  context.after(server.close);
  return server.origin;
}

/** The page of a project that needs no bundler, and one that says where the files are. */
function plain() {
  const script = (more = '') => `<script type="module">
    import * as longshore from '/node_modules/longshore/dist/lib/index.js';
    ${more}
    globalThis.longshore = longshore;
  </script>`;
  const files = { workerUrl: 'worker.js', wasmUrl: 'core_bg.wasm', codecWorkerUrl: 'codec-worker.js', codecWasmUrl: 'codec_bg.wasm' };
  const lib = './node_modules/longshore/dist/lib';
  const configured = `longshore.configure(${JSON.stringify(files)});`.replace(/:"/g, `:"${lib}/`);
  return served(project, { '/': PAGE(script()), '/configured': PAGE(script(configured)) });
}

for (const browser of ['chromium', 'firefox']) {
  describe(`without a bundler, in ${browser}`, { skip: skipUnlessBrowser(browser) }, () => {
    it('opens, tags and saves', async () => retagsIn(browser, await plain()));

    it('takes locations as the page would', async () => retagsIn(browser, await plain(), '/configured'));

    it('leaves the thread alone, tells its progress, and stops when told', async () => {
      const file = await manyMembers();
      await withPage(browser, await plain(), async (page) => {
        await page.goto('/');
        await page.waitFor(() => globalThis.longshore !== undefined);
        await page.setFiles('#file', file);
        const told = await page.evaluate(async () => {
          const { openArchive } = globalThis.longshore;
          const chosen = document.querySelector('#file').files[0];
          let ticks = 0;
          const timer = setInterval(() => (ticks += 1), 10);
          const progress = [];
          const start = performance.now();
          const opened = await openArchive(chosen, { onProgress: (report) => progress.push(report) });
          const took = performance.now() - start;
          clearInterval(timer);

          const controller = new AbortController();
          const stopped = openArchive(chosen, {
            signal: controller.signal,
            onProgress: () => controller.abort(new Error('enough')),
          });
          const error = await stopped.catch((thrown) => thrown);
          const late = await openArchive(chosen, { signal: AbortSignal.abort() }).catch((thrown) => thrown);
          const onProgress = () => {
            throw new Error('enough of that');
          };
          const thrown = [openArchive(chosen, { onProgress }), opened.verify({ onProgress }), opened.save({ gzip: true, onProgress })];
          return {
            thrown: await Promise.all(thrown.map((work) => work.then(() => 'nothing', ({ message }) => message))),
            images: opened.images.length,
            ticks,
            took,
            progress,
            error: { code: error.code, cause: error.cause?.message, class: error instanceof globalThis.longshore.LongshoreError },
            late: late.code,
          };
        });
        assert.equal(told.images, 2);
        assert.deepEqual(told.thrown, Array(3).fill('enough of that'));
        assert.ok(told.progress.length > 1, `${told.progress.length} reports in ${told.took} ms`);
        for (const { phase, done, total } of told.progress) assert.ok(phase === 'index' && done <= total && total > 0);
        assert.ok(told.ticks > 1, `${told.ticks} ticks in ${told.took} ms`);
        assert.deepEqual(told.error, { code: 'aborted', cause: 'enough', class: true });
        assert.equal(told.late, 'aborted');
      });
    });
  });
}

describe('with Vite', { skip: skipUnlessBrowser('chromium') }, () => {
  let site;
  before(async () => {
    site = join(project, 'site');
    await mkdir(site);
    await writeFile(join(site, 'index.html'), PAGE('<script type="module" src="./main.js"></script>'));
    await writeFile(join(site, 'main.js'), "import * as longshore from 'longshore';\nglobalThis.longshore = longshore;\n");
  });

  it('works in a build', async () => {
    const { build } = await import('vite');
    await build({ root: site, logLevel: 'warn', configFile: false });
    await retagsIn('chromium', await served(join(site, 'dist')));
  });

  it('works in development', async () => {
    const { createServer } = await import('vite');
    const server = await createServer({ root: site, logLevel: 'warn', configFile: false, server: { host: '127.0.0.1', port: 0 } });
    context.after(() => server.close());
    await server.listen();
    await retagsIn('chromium', new URL(server.resolvedUrls.local[0]).origin);
  });
});

/** The archive with 200,000 empty members before it. */
async function manyMembers() {
  const file = `${archive}.many`;
  const members = Buffer.alloc(200_000 * 512);
  for (let n = 0; n < 200_000; n += 1) {
    const header = members.subarray(n * 512, (n + 1) * 512);
    header.write(`empty/${n}`);
    header.write('0000644\0' + '0000000\0'.repeat(2) + '00000000000\0'.repeat(2) + '        0', 100);
    header.write('ustar\u000000', 257);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  }
  await writeFile(file, Buffer.concat([members, await readFile(archive)]));
  return file;
}
