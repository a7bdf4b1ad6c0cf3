// The archives of the crate longshore-fixtures, for tests that are not written in Rust.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { run } from './run.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));

/** Runs `longshore-fixtures`; see tests/fixtures/src/main.rs. `release` is for large archives. */
export function fixtures(args, { release = false } = {}) {
  const profile = release ? ['--release'] : [];
  return run('cargo', ['run', '--quiet', ...profile, '--package', 'longshore-fixtures', '--', ...args], { cwd: root });
}

/** What is predicted of these files, which need not be archives that can be opened: for each, a list with one prediction for each reader. */
export async function predictions(files) {
  const args = ['run', '--quiet', '--package', 'longshore-archive', '--example', 'compatibility', '--', ...files];
  return JSON.parse(await run('cargo', args, { cwd: root }));
}

/** What an archive's manifest.json says, read by tar: names to image IDs. */
export async function namesIn(file) {
  const manifest = JSON.parse(await run('tar', ['-xOf', file, 'manifest.json']));
  const names = [];
  for (const { Config, RepoTags } of manifest) {
    const config = await run('tar', ['-xOf', file, Config]);
    for (const name of RepoTags ?? []) names.push([name, imageId(config)]);
  }
  return Object.fromEntries(names.sort());
}

/** The ID of the image with this config. */
export function imageId(config) {
  return `sha256:${createHash('sha256').update(config).digest('hex')}`;
}

/** Where in an archive the middle of its largest member stands, which is a layer. */
export async function middleOfLayer(file) {
  const bytes = await readFile(file);
  let best = { size: 0, data: 0 };
  for (let at = 0; bytes[at] !== 0; ) {
    const size = parseInt(bytes.toString('latin1', at + 124, at + 135), 8);
    if (size > best.size) best = { size, data: at + 512 };
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return best.data + (best.size >> 1);
}
