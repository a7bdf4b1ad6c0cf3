/** What is dropped on the page. */
import type { Folder } from '../lib/index.js';

/** A folder that was dropped, as the library takes one. */
export function droppedFolder(folder: FileSystemDirectoryEntry): Folder {
  const batch = (reader: FileSystemDirectoryReader) =>
    new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
  return {
    kind: 'directory',
    name: folder.name,
    async *entries() {
      const reader = folder.createReader();
      // It gives some hundred at a time.
      for (let entries = await batch(reader); entries.length > 0; entries = await batch(reader)) {
        for (const entry of entries) yield [entry.name, handle(entry)];
      }
    },
  };
}

function handle(entry: FileSystemEntry): FileSystemHandle {
  if (entry.isDirectory) return droppedFolder(entry as FileSystemDirectoryEntry) as unknown as FileSystemHandle;
  const getFile = () => new Promise((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
  return { kind: 'file', name: entry.name, getFile } as unknown as FileSystemHandle;
}
