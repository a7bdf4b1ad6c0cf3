/** Unpacking a compressed file in a browser. Loaded when there is one, and once to remove what crashed tabs left. */
import { aborted } from './errors.js';
import type { Place } from './making.js';
import type { Inner } from './packed.js';
import type { Pool } from './pool.js';
import { PLACE, STORE, allOf, change, openDatabase } from './temporary.js';
import type { Limits, UnpackOptions } from './types.js';

/** How long a Worker that was ended may still hold its file. */
const PATIENCE_MS = 5000;

/** Unpacks a file in a Worker, into the browser's storage where there is some. */
export async function unpack(pool: Pool, blob: Blob, limits: Limits, { signal, onProgress }: UnpackOptions): Promise<Inner<Blob>> {
  const { name, release } = await temporaryName();
  try {
    const total = blob.size;
    const parts = [{ source: blob, offset: 0, length: total }];
    const onDone = (done: number) => onProgress?.({ phase: 'unpack', done, total });
    onDone(0);
    const { blob: inner, trailing } = await pool.run('unpack', { parts, limits, into: { name } }, { signal, onDone });
    if (signal?.aborted) throw aborted(signal);
    onDone(total);
    return { source: inner as Blob, trailing, release };
  } catch (thrown) {
    await release();
    throw thrown;
  }
}

/** A place in the browser's storage for bytes that an archive is made of. */
export async function temporaryPlace(): Promise<Place> {
  const { name, release } = await temporaryName();
  return { target: { name }, source: (blob) => blob as Blob, release };
}

/** A small file of the browser's storage, until it is released; nothing where there is no such thing. */
export async function temporaryFile(text: string): Promise<{ file: File; release: () => Promise<void> } | undefined> {
  const { name, release } = await temporaryName();
  if (name === undefined) return undefined;
  try {
    const place = await (await navigator.storage.getDirectory()).getDirectoryHandle(PLACE, { create: true });
    const handle = await place.getFileHandle(name, { create: true });
    const writable = await handle.createWritable();
    await writable.write(text);
    await writable.close();
    return { file: await handle.getFile(), release };
  } catch {
    await release();
    return undefined;
  }
}

/** Removes what other tabs left behind that are no more. */
export async function sweep(): Promise<void> {
  // Without locks nothing tells whose a file is, and none was made.
  for (const name of navigator.locks ? await names() : []) {
    await navigator.locks.request(lockOf(name), { ifAvailable: true }, async (lock) => lock && remove(name));
  }
}

/**
 * A name for a temporary file, with a lock on it that lives as long as this page: it tells other tabs that the file is in
 * use. None where there are no locks: on origins that are not secure, and in frames that may not store anything.
 */
async function temporaryName(): Promise<{ name: string | undefined; release: () => Promise<void> }> {
  const nowhere = { name: undefined, release: async () => {} };
  if (!navigator.locks) return nowhere;
  const name = crypto.randomUUID();
  return new Promise((resolve) => {
    const held = navigator.locks.request(lockOf(name), async () => {
      await new Promise<void>((end) => {
        const release = async () => {
          await remove(name).finally(end);
          await held.catch(() => {});
        };
        resolve({ name, release });
      });
    });
    held.catch(() => resolve(nowhere));
  });
}

function lockOf(name: string): string {
  return `${PLACE}/${name}`;
}

/** Removes a temporary file from wherever it is. What cannot be removed now is removed by the next sweep. */
async function remove(name: string): Promise<void> {
  const late = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      await (await folder())?.removeEntry(name);
      break;
    } catch (thrown) {
      const isHeld = (thrown as DOMException).name === 'NoModificationAllowedError';
      if (!isHeld || performance.now() > late) break;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  await withDatabase((database) => change(database, (store) => void store.delete(allOf(name))));
}

/** The names of all temporary files. */
async function names(): Promise<Set<string>> {
  const found = new Set<string>();
  const files = (await folder()) as unknown as { keys(): AsyncIterable<string> } | undefined;
  if (files) for await (const name of files.keys()) found.add(name);
  await withDatabase(async (database) => {
    const keys = await new Promise<IDBValidKey[]>((resolve, reject) => {
      const request = database.transaction(STORE).objectStore(STORE).getAllKeys();
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    for (const key of keys) found.add(String((key as IDBValidKey[])[0]));
  });
  return found;
}

async function folder(): Promise<FileSystemDirectoryHandle | undefined> {
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(PLACE);
  } catch {
    return undefined;
  }
}

/** Does something with the database, if there is one already. */
async function withDatabase(work: (database: IDBDatabase) => Promise<void>): Promise<void> {
  try {
    if (!(await indexedDB.databases()).some(({ name }) => name === PLACE)) return;
    const database = await openDatabase();
    await work(database).finally(() => database.close());
  } catch {
    // What a browser does not let us see holds nothing of ours.
  }
}
