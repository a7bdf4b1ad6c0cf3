/** A store's rows and blobs in a browser's database. */
import { hex } from './checks.js';
import { LongshoreError, aborted, damagedBlob } from './errors.js';
import { BLOBS, DATABASE, NOTE, REVISION, ask, openDatabase, piecesOf, then, transact, type BlobRow } from './database.js';
import { keptBlob } from './database-shelf.js';
import { GIVEN_BACK_MS, SMALL, type Freed, type Keeping, type Outcome } from './keeping.js';
import type { KeptBlob, Row, RowChange, ShelfPlace } from './protocol.js';
import { temporaryFile } from './unpacking.js';

/** What Chromium says of room is never more, however much there is. */
const ROOM_SAID = 10 * 2 ** 30;

/** Opens the database of that name. `blobs` is whether it takes `Blob`s, where that is not to be found out. */
export async function databaseKeeping(name = DATABASE, blobs?: boolean): Promise<Keeping<Blob>> {
  const database = await openDatabase(name);
  const keeping = new DatabaseKeeping(name, database, blobs ?? (await takesBlobs(database)));
  await keeping.enter();
  return keeping;
}

/**
 * Whether it keeps `Blob`s, with their bytes. WebKit refuses them in private windows; Chromium's keep no more than where the bytes
 * of a file are, which is gone with the file.
 */
async function takesBlobs(database: IDBDatabase): Promise<boolean> {
  if (await ask(database, 'meta', (meta) => meta.get(BLOBS))) return true;
  const key = [newAttempt(), 0, 0];
  const temporary = await temporaryFile('?');
  const probe = temporary?.file ?? new Blob(['?']);
  try {
    await transact<void>(database, ['data'], 'readwrite', ({ data }) => void data.put(probe.slice(0, 1), key)).finally(temporary?.release);
    const kept: Blob | undefined = await ask(database, 'data', (data) => data.get(key));
    if ((await kept?.text()) !== '?') return false;
    await transact<void>(database, ['meta'], 'readwrite', ({ meta }) => void meta.put(true, BLOBS));
    return true;
  } catch {
    return false;
  } finally {
    await transact<void>(database, ['data'], 'readwrite', ({ data }) => void data.delete(key)).catch(() => {});
  }
}

function newAttempt(): string {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}

class DatabaseKeeping implements Keeping<Blob> {
  listener: Keeping<Blob>['listener'];
  readonly #name: string;
  readonly #blobs: boolean;
  readonly #channel: BroadcastChannel;
  #database: IDBDatabase;
  #leave: (() => void) | undefined;
  #closed = false;

  constructor(name: string, database: IDBDatabase, blobs: boolean) {
    this.#name = name;
    this.#blobs = blobs;
    this.#database = database;
    this.#watch();
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }: MessageEvent<{ revision: number }>) => this.listener?.changed(data.revision);
  }

  /** A lock that lives as long as this page tells others that the store is open here. */
  async enter(): Promise<void> {
    if (!navigator.locks) return;
    await new Promise<void>((entered) => {
      const inside = async () => {
        await new Promise<void>((leave) => {
          this.#leave = leave;
          entered();
        });
      };
      navigator.locks.request(this.#lock('open'), { mode: 'shared' }, inside).catch(() => entered());
    });
  }

  revision(): Promise<number> {
    return this.#again(async (database) => (await ask(database, 'meta', (meta) => meta.get(REVISION))) ?? 0);
  }

  rows(): Promise<{ revision: number; rows: Row[] }> {
    return this.#transact(['meta', 'catalog'], 'readonly', ({ meta, catalog }, give) => {
      then(meta.get(REVISION), (revision: number | undefined) => {
        then(catalog.getAllKeys(), (keys) => {
          then(catalog.getAll(), (values: string[]) => {
            give({ revision: revision ?? 0, rows: keys.map((key, index) => [String(key), values[index] as string]) });
          });
        });
      });
    });
  }

  commit(expected: number, change: RowChange, needed: readonly KeptBlob[]): Promise<Outcome> {
    const commit = () => this.#transact<Outcome>(['meta', 'catalog', 'blobs'], 'readwrite', ({ meta, catalog, blobs }, give) => {
      then(meta.get(REVISION), (revision: number = 0) => {
        if (revision !== expected) {
          give('moved');
          return;
        }
        missingOf(blobs, needed, (missing) => {
          if (missing.length > 0) {
            give(missing);
            return;
          }
          for (const key of change.delete) catalog.delete(key);
          for (const [key, value] of change.put) catalog.put(value, key);
          meta.put(revision + 1, REVISION);
          give(revision + 1);
        });
      });
    });
    return whenThereIsRoom(commit);
  }

  missing(needed: readonly KeptBlob[]): Promise<string[]> {
    return this.#transact<string[]>(['blobs'], 'readonly', ({ blobs }, give) => missingOf(blobs, needed, give));
  }

  shelf(attempt: string, task: number): ShelfPlace {
    return { database: this.#name, blobs: this.#blobs, attempt, task };
  }

  attempt(): string {
    return newAttempt();
  }

  sweep(expected: number, needed: ReadonlySet<string>, own?: { attempt: string }): Promise<Freed | undefined> {
    return this.#transact<Freed | undefined>(['meta', 'blobs', 'data'], 'readwrite', ({ meta, blobs, data }, give) => {
      then(meta.get(REVISION), (revision: number = 0) => {
        if (revision !== expected) return;
        const freed = { blobs: 0, bytes: 0, pieces: 0, revision };
        then(blobs.getAllKeys(), (digests) => {
          then(blobs.getAll(), (rows: BlobRow[]) => {
            const kept = new Set<string>();
            const gone = new Set<string>();
            rows.forEach((row, index) => {
              const digest = String(digests[index]);
              if (needed.has(digest) || (own && own.attempt !== row.place[0])) {
                kept.add(row.place.join());
                return;
              }
              blobs.delete(digest);
              gone.add(row.place.join());
              freed.blobs += 1;
              freed.bytes += row.size;
            });
            then(data.getAllKeys(own && piecesOf(own.attempt)), (keys) => {
              for (const key of keys as [string, number, number][]) {
                const place = key.slice(0, 2).join();
                if (kept.has(place)) continue;
                data.delete(key);
                // Who asks for one to see its size has it, and then its space does not come back.
                if (!gone.has(place)) freed.pieces += 1;
              }
              // Undoing what came before would bring back images without their blobs.
              if (!own && freed.blobs > 0) meta.put((freed.revision += 1), REVISION);
              give(freed);
            });
          });
        });
      });
    });
  }

  forget(digests: readonly string[]): Promise<void> {
    return this.#transact<undefined>(['blobs', 'data'], 'readwrite', ({ blobs, data }) => {
      for (const digest of digests) {
        then(blobs.get(digest), (row: BlobRow | undefined) => {
          if (!row) return;
          blobs.delete(digest);
          data.delete(piecesOf(...row.place));
        });
      }
    });
  }

  async source({ digest, size }: KeptBlob): Promise<Blob> {
    let reason: unknown;
    try {
      const blob = await this.#again((database) => keptBlob(database, digest));
      // What the browser has lost shows when it is read.
      if (blob?.size === size && (size > SMALL || (await isRight(blob, digest)))) {
        for (let at = 0; at < size; at += 64 << 20) await blob.slice(at, at + 1).arrayBuffer();
        return blob;
      }
    } catch (thrown) {
      // The database fails, and not the blob: that may not last.
      if (thrown instanceof LongshoreError) throw thrown;
      reason = thrown;
    }
    throw damagedBlob(digest, reason);
  }

  release(): void {}

  async whileLoading<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return navigator.locks ? this.#locked({ mode: 'shared', signal }, work) : work();
  }

  async whileNobodyLoads<T>(idle: boolean, work: () => Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
    // Without locks, a load that finds its blobs gone keeps them once more.
    if (!navigator.locks) return idle ? undefined : work();
    if (idle) {
      const { held = [] } = await navigator.locks.query();
      if (held.filter(({ name }) => name === this.#lock('open')).length > 1) return undefined;
    }
    // The two do not go together.
    const how: LockOptions = idle ? { ifAvailable: true } : signal ? { signal } : {};
    return this.#locked<T | undefined>({ mode: 'exclusive', ...how }, async (lock) => (lock ? work() : undefined));
  }

  async #locked<T>(options: LockOptions, work: (lock: Lock | null) => Promise<T>): Promise<T> {
    try {
      return (await navigator.locks.request(this.#lock('blobs'), options, work)) as T;
    } catch (thrown) {
      // Stopped while it waited for others.
      throw options.signal?.aborted && !(thrown instanceof LongshoreError) ? aborted(options.signal) : thrown;
    }
  }

  async usage(): Promise<number | undefined> {
    return (await estimate()).usage;
  }

  async room(): Promise<number | undefined> {
    const { quota, usage } = await estimate();
    if (quota === undefined || usage === undefined) return undefined;
    const room = Math.max(0, quota - usage);
    return room < ROOM_SAID ? room : undefined;
  }

  noted(): Promise<unknown> {
    return this.#again((database) => ask(database, 'meta', (meta) => meta.get(NOTE)));
  }

  note(value: unknown): Promise<void> {
    return this.#transact<void>(['meta'], 'readwrite', ({ meta }) => void meta.put(value, NOTE));
  }

  persist(): void {
    // Firefox asks whoever sits there, who may take their time.
    navigator.storage?.persist?.().catch(() => {});
  }

  announce(revision: number): void {
    this.#channel.postMessage({ revision });
  }

  close(): void {
    this.#closed = true;
    this.#channel.close();
    this.#database.close();
    this.#leave?.();
  }

  #lock(what: 'open' | 'blobs'): string {
    return `${this.#name}-${what}`;
  }

  #watch(): void {
    this.#database.onversionchange = () => {
      this.close();
      this.listener?.ended();
    };
  }

  #transact<T>(...args: Parameters<typeof transact<T>> extends [IDBDatabase, ...infer Rest] ? Rest : never): Promise<T> {
    return this.#again((database) => transact<T>(database, ...args));
  }

  /** Does it once more with the database opened anew: after one failure, Firefox fails at everything until then. */
  async #again<T>(work: (database: IDBDatabase) => Promise<T>): Promise<T> {
    if (this.#closed) throw new LongshoreError('closed', 'The store is closed.');
    const database = this.#database;
    try {
      return await work(database);
    } catch (thrown) {
      if (!(thrown instanceof LongshoreError) || thrown.code !== 'store-failed' || this.#closed) throw thrown;
    }
    if (this.#database === database) {
      database.close();
      this.#database = await openDatabase(this.#name);
      this.#watch();
    }
    return work(this.#database);
  }
}

/** Until what a load that failed had written is given back, there is no room for a row either. */
async function whenThereIsRoom<T>(work: () => Promise<T>): Promise<T> {
  for (const late = performance.now() + GIVEN_BACK_MS; ; ) {
    try {
      return await work();
    } catch (thrown) {
      const isFull = thrown instanceof LongshoreError && thrown.code === 'quota-exceeded';
      if (!isFull || performance.now() > late) throw thrown;
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
}

async function isRight(blob: Blob, digest: string): Promise<boolean> {
  const [algorithm, expected] = digest.split(':');
  const bytes = await blob.arrayBuffer();
  // There is none on origins that are not secure.
  const hash: ArrayBuffer | undefined = await crypto.subtle?.digest(algorithm === 'sha512' ? 'SHA-512' : 'SHA-256', bytes);
  return !hash || hex(new Uint8Array(hash)) === expected;
}

async function estimate(): Promise<StorageEstimate> {
  return (await navigator.storage?.estimate?.().catch(() => undefined)) ?? {};
}

/** Finds out which of the blobs have no row. */
function missingOf(blobs: IDBObjectStore, needed: readonly KeptBlob[], use: (missing: string[]) => void): void {
  if (needed.length === 0) {
    use([]);
    return;
  }
  then(blobs.getAllKeys(), (keys) => {
    const here = new Set(keys.map(String));
    use(needed.filter(({ digest }) => !here.has(digest)).map(({ digest }) => digest));
  });
}
