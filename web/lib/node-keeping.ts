/** A store's rows and blobs in a folder. */
import { readFileSync } from 'node:fs';
import { readdir, stat, statfs, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { damagedBlob, type LongshoreError } from './errors.js';
import { SMALL, type Freed, type Keeping, type Outcome } from './keeping.js';
import { blobPath, gone, lastRevision, makeFolder, newAttempt, nextCatalog, readCatalog, readNote, removePartials, storing, writeNote } from './node-folder.js';
import { FileSource, hashOf, isOf } from './node-source.js';
import type { KeptBlob, Row, RowChange, ShelfPlace } from './protocol.js';

/** How long to wait for whoever removes blobs. */
const PATIENCE_MS = 20;

/** What a blob is read from: a small one is in memory, as there may be more of them than a process may have open files. */
export type BlobSource = FileSource | Uint8Array<ArrayBuffer>;

/** Opens the folder at `path`, which is made if there is none. */
export async function folderKeeping(path: string): Promise<Keeping<BlobSource>> {
  await makeFolder(path);
  return new FolderKeeping(path);
}

class FolderKeeping implements Keeping<BlobSource> {
  listener: Keeping<BlobSource>['listener'];
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async revision(): Promise<number> {
    return (await readCatalog(this.#folder)).revision;
  }

  async rows(): Promise<{ revision: number; rows: Row[] }> {
    const { revision, rows } = await readCatalog(this.#folder);
    return { revision, rows };
  }

  async commit(revision: number, change: RowChange, needed: readonly KeptBlob[]): Promise<Outcome> {
    const catalog = await readCatalog(this.#folder);
    if (catalog.isCleaned) {
      await sleep(PATIENCE_MS);
      return 'moved';
    }
    if (catalog.revision !== revision) return 'moved';
    const missing = await this.missing(needed);
    if (missing.length > 0) return missing;
    const rows = new Map(catalog.rows);
    for (const key of change.delete) rows.delete(key);
    for (const [key, value] of change.put) rows.set(key, value);
    return (await nextCatalog(this.#folder, revision + 1, [...rows])) ? revision + 1 : 'moved';
  }

  async missing(blobs: readonly KeptBlob[]): Promise<string[]> {
    const missing: string[] = [];
    for (const { digest, size } of blobs) {
      const found = await storing(() => stat(blobPath(this.#folder, digest)).catch(gone));
      if (found?.size !== size) missing.push(digest);
    }
    return missing;
  }

  shelf(attempt: string, task: number): ShelfPlace {
    return { folder: this.#folder, attempt, task };
  }

  attempt(): string {
    return newAttempt();
  }

  async sweep(
    revision: number,
    needed: ReadonlySet<string>,
    own?: { attempt: string; blobs: readonly KeptBlob[] },
  ): Promise<Freed | undefined> {
    const folder = this.#folder;
    const catalog = await readCatalog(folder);
    if (catalog.isCleaned) {
      await sleep(PATIENCE_MS);
      return undefined;
    }
    if (catalog.revision !== revision) return undefined;
    const unwanted = (own ? own.blobs.map(({ digest }) => digest) : await this.#digests()).filter((digest) => !needed.has(digest));
    const bytes = await storing(() => removePartials(folder, own?.attempt));
    if (unwanted.length === 0) return { blobs: 0, bytes, revision };
    // From here on nobody changes the catalog, and so nobody comes to need what goes.
    if (!(await nextCatalog(folder, revision + 1, catalog.rows, true))) return undefined;
    const freed = { blobs: 0, bytes, revision: revision + 2 };
    const isDone = await storing(async () => {
      for (const digest of unwanted) {
        const path = blobPath(folder, digest);
        const size = await stat(path).then(({ size }) => size, () => undefined);
        if (size === undefined) continue;
        // Others who thought that this had crashed have gone on, and may need it. Nothing keeps them from doing so between this look
        // and the next line, if this process sleeps just there, for as long as they wait.
        if ((await lastRevision(folder)) !== revision + 1) return false;
        await unlink(path);
        freed.blobs += 1;
        freed.bytes += size;
      }
      return true;
    });
    return isDone && (await nextCatalog(folder, revision + 2, catalog.rows)) ? freed : undefined;
  }

  async forget(digests: readonly string[]): Promise<void> {
    for (const digest of digests) await storing(() => unlink(blobPath(this.#folder, digest)).catch(() => {}));
  }

  source({ digest, size }: KeptBlob): Promise<BlobSource> {
    return storing(async () => {
      const source = this.#opened(digest);
      if (source.size === size && size > SMALL) return source;
      try {
        const bytes = source.size === size && new Uint8Array(readFileSync(source.fd));
        if (bytes && isOf(digest, hashOf(digest).update(bytes))) return bytes;
      } finally {
        source.close();
      }
      throw damagedBlob(digest);
    });
  }

  release(source: BlobSource): void {
    if (source instanceof FileSource) source.close();
  }

  #opened(digest: string): FileSource {
    try {
      return new FileSource(blobPath(this.#folder, digest), undefined, { digest, wrong: () => this.#wrong(digest) });
    } catch (thrown) {
      const { cause } = thrown as { cause?: NodeJS.ErrnoException };
      // What keeps it from being opened, as too many open files, may not last.
      throw cause?.code === 'ENOENT' ? damagedBlob(digest, thrown) : (cause ?? thrown);
    }
  }

  whileLoading<T>(_signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return work();
  }

  async whileNobodyLoads<T>(idle: boolean, work: () => Promise<T>): Promise<T | undefined> {
    if (!idle) return work();
    // Nothing tells who else has the folder open; but what a process was writing when it died is nobody's.
    await storing(() => removePartials(this.#folder));
    return undefined;
  }

  async room(): Promise<number | undefined> {
    const { bavail, bsize } = await storing(() => statfs(this.#folder));
    return bavail * bsize;
  }

  async usage(): Promise<undefined> {}

  persist(): void {}

  noted(): Promise<unknown> {
    return readNote(this.#folder);
  }

  note(value: unknown): Promise<void> {
    return writeNote(this.#folder, value);
  }

  announce(): void {}

  close(): void {}

  async #wrong(digest: string): Promise<LongshoreError> {
    await this.listener?.wrong(digest);
    return damagedBlob(digest);
  }

  /** Digests of the blobs that are here. */
  async #digests(): Promise<string[]> {
    const digests: string[] = [];
    for (const algorithm of ['sha256', 'sha512']) {
      const names = await readdir(join(this.#folder, 'blobs', algorithm)).catch(() => []);
      digests.push(...names.filter((name) => /^[0-9a-f]{64,128}$/.test(name)).map((name) => `${algorithm}:${name}`));
    }
    return digests;
  }
}
