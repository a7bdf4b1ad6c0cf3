/** The store's blobs in a folder, as a thread of the codec puts them there and reads them again. */
import { createReadStream } from 'node:fs';
import { mkdir, open, rename, unlink, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Shelf, Stored } from './keep-tasks.js';
import { blobPath, gone, partialPath, storing, syncFolder } from './node-folder.js';
import { cut, readAhead, type Range } from './parts.js';
import type { ShelfPlace } from './protocol.js';

/** What is read and written at a time. */
const PIECE = 4 << 20;

/** Opens the folder for one task. */
export async function folderShelf(place: ShelfPlace, read: (range: Range) => Uint8Array | Promise<Uint8Array>): Promise<Shelf> {
  if (!('folder' in place)) throw new Error('Node keeps blobs in a folder');
  const { folder, attempt, task } = place;
  const open_ = new Set<FileHandle>();
  const partials = new Map<Stored, string>();
  const stored = async (file: FileHandle, path: string): Promise<Stored> => ({
    part: { source: file.fd, offset: 0, length: (await file.stat()).size },
    read: () => createReadStream(path),
    async close() {
      open_.delete(file);
      await file.close();
    },
  });
  return {
    put: ({ digest, parts }, number, shown) =>
      storing(async () => {
        // Whose name would not be a path in here is no digest.
        blobPath(folder, digest);
        const path = partialPath(folder, attempt, `${task}-${number}`);
        const file = await open(path, 'wx+');
        open_.add(file);
        let done = 0;
        for await (const piece of readAhead(cut(parts, PIECE), read)) {
          for (let written = 0; written < piece.length; ) {
            written += (await file.write(piece, written, piece.length - written, done + written)).bytesWritten;
          }
          await shown({ source: file.fd, offset: done, length: piece.length });
          done += piece.length;
        }
        await file.datasync();
        const put = await stored(file, path);
        partials.set(put, path);
        return put;
      }),
    settle: (kept) =>
      storing(async () => {
        const folders = new Set<string>();
        for (const { blob, stored } of kept) {
          const path = blobPath(folder, blob.digest);
          await mkdir(dirname(path), { recursive: true });
          await rename(partials.get(stored) as string, path);
          partials.delete(stored);
          folders.add(dirname(path));
        }
        for (const folder of folders) await syncFolder(folder);
      }),
    find: ({ digest }) =>
      storing(async () => {
        const path = blobPath(folder, digest);
        const file = await open(path, 'r').catch(gone);
        if (!file) return undefined;
        open_.add(file);
        return stored(file, path);
      }),
    close() {
      for (const file of open_) void file.close();
      for (const path of partials.values()) void unlink(path).catch(() => {});
    },
  };
}
