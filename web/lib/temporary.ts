/** Where a browser keeps unpacked bytes, in order of preference; see unpacking.ts for who removes them. */
import type { Sink } from './codec-tasks.js';
import { LongshoreError } from './errors.js';
import type { Target } from './protocol.js';

/** The folder of the origin private file system, and the database, that hold unpacked files. */
export const PLACE = 'longshore-unpacked';
export const STORE = 'pieces';

/** The most that is kept in memory, where the browser gives nothing else. */
const MEMORY = 512 << 20;

/** As far as TypeScript's library for pages does not know it: only Workers have it. */
interface SyncAccessHandle {
  write(bytes: Uint8Array): number;
  flush(): void;
  close(): void;
}

/** The best place that this browser has for that target. */
export async function browserSink(target: Target): Promise<Sink> {
  const name = 'name' in target ? target.name : undefined;
  for (const open of name === undefined ? [] : [fileSink, databaseSink]) {
    try {
      return await open(name as string);
    } catch {
      // Private windows and older browsers lack the one or the other.
    }
  }
  return memorySink();
}

/** A file of the origin private file system. */
export async function fileSink(name: string): Promise<Sink> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(PLACE, { create: true });
  const handle = await folder.getFileHandle(name, { create: true });
  const { createSyncAccessHandle } = handle as unknown as { createSyncAccessHandle?: () => Promise<SyncAccessHandle> };
  if (!createSyncAccessHandle) throw new Error('no synchronous access');
  const file = await createSyncAccessHandle.call(handle);
  return {
    write(bytes) {
      for (let done = 0; done < bytes.length; ) done += stored(() => file.write(done === 0 ? bytes : bytes.subarray(done)));
    },
    finish() {
      stored(() => file.flush());
      file.close();
      return handle.getFile();
    },
    abandon: () => file.close(),
  };
}

/** Blobs in IndexedDB, which keeps them on disk. */
export async function databaseSink(name: string): Promise<Sink> {
  const database = await openDatabase();
  let count = 0;
  const put = (blob: Blob) => change(database, (store) => void store.put(blob, [name, count++]));
  // Some have IndexedDB, but no Blobs in it.
  await put(new Blob([]));
  return {
    write: (bytes) => put(new Blob([bytes])).catch(noRoom),
    async finish() {
      const pieces = await new Promise<Blob[]>((resolve, reject) => {
        const request = database.transaction(STORE).objectStore(STORE).getAll(allOf(name));
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(request.error);
      });
      database.close();
      return new Blob(pieces);
    },
    abandon: () => database.close(),
  };
}

/** The browser's memory, from which some put much on disk by themselves. */
export function memorySink(limit = MEMORY): Sink {
  const pieces: Blob[] = [];
  let size = 0;
  return {
    write(bytes) {
      size += bytes.length;
      if (size > limit) {
        const sentence = 'The file unpacks to more than fits into memory, and this browser gives no other place for it.';
        throw new LongshoreError('limit-exceeded', sentence, { limit: 'memory', expected: limit, actual: size });
      }
      pieces.push(new Blob([bytes]));
    },
    finish: () => new Blob(pieces),
    abandon: () => void (pieces.length = 0),
  };
}

/** Opens the database of unpacked pieces. */
export function openDatabase(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(PLACE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Changes the pieces in a transaction of its own. */
export function change(database: IDBDatabase, work: (store: IDBObjectStore) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    const transaction = database.transaction(STORE, 'readwrite');
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error);
    work(transaction.objectStore(STORE));
  });
}

/** The keys of a file's pieces. */
export function allOf(name: string): IDBKeyRange {
  return IDBKeyRange.bound([name], [name, Infinity]);
}

function stored<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw noRoom(thrown);
  }
}

function noRoom(thrown: unknown): never {
  const reason = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  const sentence = `There is no room for what the file unpacks to: ${reason}.`;
  throw new LongshoreError('write-failed', sentence, { reason }, { cause: thrown });
}
