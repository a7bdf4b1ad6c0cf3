/**
 * The store's database in a browser: its schema, and transactions.
 *
 * - `catalog`: the rows of the catalog, of which only the engine knows what they say.
 * - `meta`: `revision`, the number of changes that the catalog has seen; `note`, what is only remembered to save time; `blobs`, that
 *   the browser keeps `Blob`s here, once that was found out.
 * - `blobs`: by digest, where the bytes are. There being a row states that the blob is here, whole, and what its digest says.
 * - `data`: pieces of blobs, each a `Blob` or, where the browser refuses those, an array, by `[attempt, blob, piece]`. An
 *   attempt is one load's, so that two that keep the same blob do not write over each other.
 */
import { LongshoreError } from './errors.js';

/** The name of the database, unless the caller has another. */
export const DATABASE = 'longshore-store';

export type StoreName = 'catalog' | 'meta' | 'blobs' | 'data';

/** The key in `meta` of the number of changes. */
export const REVISION = 'revision';
/** The key in `meta` of what nobody relies on. */
export const NOTE = 'note';
/** The key in `meta` of whether `Blob`s are kept. */
export const BLOBS = 'blobs';

/** A row of `blobs`. */
export interface BlobRow {
  size: number;
  /** The attempt that stored it, and its number there. */
  place: [string, number];
  pieces: number;
}

/** Each makes the schema of its version out of that of the one before. They are only ever added to. */
const MIGRATIONS: readonly ((database: IDBDatabase) => void)[] = [
  (database) => {
    for (const name of ['catalog', 'meta', 'blobs', 'data'] satisfies StoreName[]) database.createObjectStore(name);
  },
];

/** Opens the database, which is made or brought up to date where that is needed. Fails with `store-failed`. */
export function openDatabase(name: string, version = MIGRATIONS.length): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    let request: IDBOpenDBRequest;
    try {
      request = indexedDB.open(name, version);
    } catch (thrown) {
      reject(storageFailure(thrown));
      return;
    }
    request.onupgradeneeded = ({ oldVersion }) => {
      for (const migrate of MIGRATIONS.slice(oldVersion)) migrate(request.result);
    };
    request.onsuccess = () => {
      const database = request.result;
      // A newer version of the package, in another tab, waits for this.
      database.onversionchange = () => database.close();
      resolve(database);
    };
    request.onerror = () => reject(storageFailure(request.error));
  });
}

/**
 * Runs one transaction. `work` asks for all that it needs, and gives the result, before it returns or in what answers its
 * requests; it resolves when the transaction is complete.
 */
export function transact<T>(
  database: IDBDatabase,
  names: StoreName[],
  mode: IDBTransactionMode,
  work: (stores: Record<StoreName, IDBObjectStore>, give: (result: T) => void) => void,
): Promise<T> {
  return new Promise((resolve, reject) => {
    let result: T | undefined;
    let transaction: IDBTransaction;
    try {
      // What is committed stays, even if the machine fails: pieces of blobs may be lost, they are not believed before.
      const durability = mode === 'readwrite' && names.some((name) => name !== 'data') ? 'strict' : 'default';
      transaction = database.transaction(names, mode, { durability });
      transaction.oncomplete = () => resolve(result as T);
      transaction.onabort = () => reject(storageFailure(transaction.error));
      const stores = Object.fromEntries(names.map((name) => [name, transaction.objectStore(name)]));
      work(stores as Record<StoreName, IDBObjectStore>, (given) => void (result = given));
    } catch (thrown) {
      reject(storageFailure(thrown));
    }
  });
}

/** Hands what a request gives to `use`. */
export function then<T>(request: IDBRequest<T>, use: (value: T) => void): void {
  request.onsuccess = () => use(request.result);
}

/** Asks one thing of one object store. */
export function ask<T>(database: IDBDatabase, name: StoreName, question: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  return transact<T>(database, [name], 'readonly', (stores, give) => then(question(stores[name]), give));
}

/** The keys of the pieces of one attempt, or of one blob of it. */
export function piecesOf(attempt: string, number?: number): IDBKeyRange {
  return number === undefined
    ? IDBKeyRange.bound([attempt], [attempt, Infinity, Infinity])
    : IDBKeyRange.bound([attempt, number], [attempt, number, Infinity]);
}

/** What the browser's storage failed with, as an error of this package. */
export function storageFailure(thrown: unknown): LongshoreError {
  if (thrown instanceof LongshoreError) return thrown;
  const { name = '', message = String(thrown) } = (thrown ?? {}) as Partial<DOMException>;
  if (name === 'QuotaExceededError') {
    const sentence = 'The browser gives no more room for the store.';
    return new LongshoreError('quota-exceeded', sentence, { reason: message }, { cause: thrown });
  }
  if (name === 'VersionError') {
    const sentence = 'The store was made by a newer version of Longshore. Reload the page.';
    return new LongshoreError('store-failed', sentence, { reason: message }, { cause: thrown });
  }
  const reason = message || name;
  return new LongshoreError('store-failed', `The browser's storage failed: ${reason}.`, { reason }, { cause: thrown });
}
