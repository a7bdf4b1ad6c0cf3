/**
 * The folder that a store is in, in Node:
 *
 * - `catalog/N.json`: the catalog's rows after N changes. A change is a new file, which nobody can make twice: of two
 *   processes that change the same catalog, one fails and begins again. No lock is needed, so none is left by a crash. The
 *   files before the last are empty, and stay for a while, so that nobody who was slow makes one of them again.
 * - `blobs/ALGORITHM/HEX`: blobs, whole and right.
 * - `note.json`: what is only remembered to save time.
 * - `partial/`: what is being written; each name begins with the process that writes it, and its machine.
 */
import { randomUUID } from 'node:crypto';
import { link, mkdir, open, readFile, readdir, rename, stat, unlink, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { LongshoreError, isBreakdown } from './errors.js';
import type { Row } from './protocol.js';

/** The version of what is in the files. */
const VERSION = 1;
/** How long the empty files of past revisions stay. */
const PAST_MS = 60 * 60_000;
/** How long a clean-up may take before nobody waits for it any more. */
const CLEANING_MS = 10 * 60_000;
/** How long what another machine is writing is left alone. */
const FOREIGN_MS = 24 * 60 * 60_000;

/** Who removes blobs, while nobody else may count on those that no row names. */
interface Cleaning {
  pid: number;
  host: string;
}

/** What is in a file of the catalog. */
interface Written {
  version: number;
  rows: Record<string, string>;
  cleaning?: Cleaning;
}

/** A catalog as it was read. */
export interface Catalog {
  revision: number;
  rows: Row[];
  /** Whether somebody removes blobs just now. */
  isCleaned: boolean;
}

/** Where a blob is. Fails with `invalid-argument` where that is no digest. */
export function blobPath(folder: string, digest: string): string {
  const [, algorithm, hex] = /^(sha256|sha512):([0-9a-f]{64,128})$/.exec(digest) ?? [];
  if (!algorithm || !hex) throw new LongshoreError('invalid-argument', `${digest} is no digest.`);
  return join(folder, 'blobs', algorithm, hex);
}

/** A file that is being written. */
export function partialPath(folder: string, attempt: string, name: string): string {
  return join(folder, 'partial', `${attempt}-${name}`);
}

/** A name for what one caller writes. */
export function newAttempt(): string {
  return `${process.pid}.${host()}.${randomUUID()}`;
}

/** This machine, as a part of a file's name. */
function host(): string {
  return hostname().replace(/[^\w-]/g, '_');
}

/** Makes the folder, if there is none. */
export async function makeFolder(folder: string): Promise<void> {
  await storing(async () => {
    for (const name of ['catalog', 'partial', 'blobs']) await mkdir(join(folder, name), { recursive: true });
  });
}

/** The catalog as it is now. Fails with `store-failed`. */
export function readCatalog(folder: string): Promise<Catalog> {
  return storing(async () => {
    for (let before = -1; ; ) {
      const revision = await lastRevision(folder);
      if (revision === 0) return { revision, rows: [], isCleaned: false };
      const path = catalogPath(folder, revision);
      const text = await readFile(path, 'utf8').catch(gone);
      if (!text) {
        // By now there is a later one: only what is past is emptied.
        if (revision === before) throw new Error('its catalog is empty');
        before = revision;
        continue;
      }
      const { version, rows, cleaning } = (JSON.parse(text) ?? {}) as Partial<Written>;
      if (Number(version) > VERSION) throw new Error('it was made by a newer version of Longshore');
      if (version !== VERSION || !rows) throw new Error('its catalog is none');
      return { revision, rows: Object.entries(rows), isCleaned: cleaning !== undefined && (await isBusy(cleaning, path)) };
    }
  });
}

/** Makes the next catalog; `false` where there is one already. */
export function nextCatalog(folder: string, revision: number, rows: readonly Row[], isCleaned = false): Promise<boolean> {
  return storing(async () => {
    const partial = partialPath(folder, newAttempt(), 'catalog');
    const cleaning: Cleaning | undefined = isCleaned ? { pid: process.pid, host: hostname() } : undefined;
    try {
      const file = await open(partial, 'wx');
      try {
        const written: Written = { version: VERSION, rows: Object.fromEntries(rows), ...(cleaning && { cleaning }) };
        await file.writeFile(JSON.stringify(written));
        await file.datasync();
      } finally {
        await file.close();
      }
      await link(partial, catalogPath(folder, revision));
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw thrown;
    } finally {
      await unlink(partial).catch(() => {});
    }
    await syncFolder(join(folder, 'catalog'));
    await retire(folder, revision).catch(() => {});
    return true;
  });
}

/** Empties the files of the revisions before, and removes those that have been empty for long. */
async function retire(folder: string, current: number): Promise<void> {
  for (const revision of await revisions(folder)) {
    if (revision >= current) break;
    const path = catalogPath(folder, revision);
    const found = await stat(path);
    if (found.size > 0) {
      const empty = partialPath(folder, newAttempt(), 'empty');
      await (await open(empty, 'wx')).close();
      await rename(empty, path);
    } else if (Date.now() - found.mtimeMs > PAST_MS) {
      await unlink(path);
    }
  }
}

/** The number of the catalog as it is now. */
export async function lastRevision(folder: string): Promise<number> {
  return (await revisions(folder)).at(-1) ?? 0;
}

/** The numbers of the catalogs that are there, ascending. */
async function revisions(folder: string): Promise<number[]> {
  const names = await readdir(join(folder, 'catalog'));
  return names.flatMap((name) => (/^\d+\.json$/.test(name) ? [parseInt(name, 10)] : [])).sort((a, b) => a - b);
}

function catalogPath(folder: string, revision: number): string {
  return join(folder, 'catalog', `${revision}.json`);
}

/** What was noted last; nothing, where that cannot be read. */
export async function readNote(folder: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(join(folder, 'note.json'), 'utf8'));
  } catch {
    return undefined;
  }
}

/** Notes something. */
export function writeNote(folder: string, value: unknown): Promise<void> {
  return storing(async () => {
    const partial = partialPath(folder, newAttempt(), 'note');
    await writeFile(partial, JSON.stringify(value));
    await rename(partial, join(folder, 'note.json'));
  });
}

/** Removes what processes left that are no more, or all of one attempt; says how many bytes that was. */
export async function removePartials(folder: string, attempt?: string): Promise<number> {
  let bytes = 0;
  const names = await readdir(join(folder, 'partial'));
  // Whatever else somebody put there is not ours.
  for (const name of names.filter((name) => /^\d+\./.test(name))) {
    const path = join(folder, 'partial', name);
    const [pid, on] = name.split('.');
    const isDead = on === host() && !isAlive(Number(pid));
    const { mtimeMs = 0, size = 0 } = (await stat(path).catch(gone)) ?? {};
    const isOld = Date.now() - mtimeMs > FOREIGN_MS;
    const isLeft = attempt === undefined ? isDead || isOld : name.startsWith(`${attempt}-`);
    if (!isLeft) continue;
    await unlink(path).catch(gone);
    bytes += size;
  }
  return bytes;
}

async function isBusy({ pid, host }: Cleaning, path: string): Promise<boolean> {
  const since = (await stat(path).catch(gone))?.mtimeMs ?? 0;
  return Date.now() - since < CLEANING_MS && (host !== hostname() || isAlive(pid));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** What was renamed into a folder stays there even if the machine fails. */
export async function syncFolder(folder: string): Promise<void> {
  // Windows opens no folders, and needs none of this.
  const handle = await open(folder, 'r').catch(() => undefined);
  await handle?.sync().catch(() => {});
  await handle?.close();
}

/** Runs what writes to the folder; fails with `quota-exceeded` where the disk is full, and else with `store-failed`. */
export async function storing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    // The wasm has its own, as of a file that has changed.
    if (isBreakdown(thrown) || 'detail' in (thrown as object)) throw thrown;
    const { code, message: reason } = thrown as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT') {
      throw new LongshoreError('quota-exceeded', 'The disk has no more room for the store.', { reason }, { cause: thrown });
    }
    throw new LongshoreError('store-failed', `The store's folder failed: ${reason}.`, { reason }, { cause: thrown });
  }
}

/** Nothing, for a file that is not there; fails for any other reason. */
export function gone(thrown: NodeJS.ErrnoException): undefined {
  if (thrown.code === 'ENOENT') return undefined;
  throw thrown;
}
