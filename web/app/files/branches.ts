/** What the tree of files shows below a folder: a file system as it is, or with what a layer did to it. */
import type { Archive, CallOptions, FileEntry, LayerChange } from '../../lib/index.js';

export type Change = LayerChange['change'];

/** A file in the tree. */
export interface Item {
  file: FileEntry;
  /** What the chosen layer did to it. */
  change?: Change;
  /** The file system that it is read from: as that layer leaves it, or the image's. */
  layer: number | undefined;
}

export interface Items {
  items: Item[];
  /** Where the folder goes on; absent at its end. */
  next?: number;
}

export interface PageOptions extends CallOptions {
  from?: number;
  limit?: number;
}

/** Gives a folder's children, page by page; the root's where there is none. */
export type Branches = (folder: Item | undefined, options: PageOptions) => Promise<Items>;

/** The files that there are in an image, or in the file system as a layer leaves it. */
export function wholeTree(archive: Archive, image: string, layer?: number): Branches {
  return async (folder, options) => {
    const { entries, next } = await page(archive, image, folder?.file.path ?? '', layer, options);
    return { items: entries.map((file) => ({ file, layer })), ...(next !== undefined && { next }) };
  };
}

/** What a layer did, as far as the entries of its file system do not say so themselves. */
export interface Changes {
  layer: number;
  counts: Record<Change, number>;
  /** By path. What is not among them and comes from the layer was added. */
  marks: Map<string, Change>;
  /** By the directory that they were in, sorted. */
  deleted: Map<string, FileEntry[]>;
  /** The directories that something changed in. */
  above: Set<string>;
}

export async function changesOf(archive: Archive, image: string, layer: number, options: CallOptions): Promise<Changes> {
  const counts: Changes['counts'] = { added: 0, changed: 0, deleted: 0 };
  const changes: Changes = { layer, counts, marks: new Map(), deleted: new Map(), above: new Set() };
  for await (const { change, file } of archive.layerChanges(image, layer, options)) {
    counts[change] += 1;
    let directory = parentOf(file.path);
    if (change === 'deleted') {
      const siblings = changes.deleted.get(directory);
      if (siblings) siblings.push(file);
      else changes.deleted.set(directory, [file]);
    } else if (change === 'changed' || file.kind === 'hard-link') {
      // A hard link may be to what a lower layer has.
      changes.marks.set(file.path, change);
    }
    while (directory !== '' && !changes.above.has(directory)) {
      changes.above.add(directory);
      directory = parentOf(directory);
    }
  }
  for (const siblings of changes.deleted.values()) siblings.sort(byPath);
  return changes;
}

/** The file system as a layer leaves it, with what it deleted; or of that only what the layer did. */
export function changedTree(archive: Archive, image: string, changes: Changes, isBrief: boolean): Branches {
  const { layer, marks, deleted, above } = changes;
  /** How many of a directory's deleted files are in the pages so far. */
  const given = new Map<string, number>();

  function mark(file: FileEntry): Item {
    const change = marks.get(file.path) ?? (file.layer === layer ? 'added' : undefined);
    return { file, layer, ...(change && { change }) };
  }

  return async (folder, options) => {
    const path = folder?.file.path ?? '';
    if (folder?.change === 'deleted') {
      const { entries, next } = await page(archive, image, path, folder.layer, options);
      const items = entries.map((file): Item => ({ file, change: 'deleted', layer: folder.layer }));
      return { items, ...(next !== undefined && { next }) };
    }
    let { from } = options;
    for (;;) {
      const { entries, next } = await page(archive, image, path, layer, { ...options, ...(from !== undefined && { from }) });
      const gone = deleted.get(path) ?? [];
      let at = from === undefined ? 0 : (given.get(path) ?? 0);
      const items: Item[] = [];
      const bury = (until?: FileEntry) => {
        for (let file = gone[at]; file && (!until || byPath(file, until) < 0); file = gone[++at]) {
          // What was there is in the file system below.
          items.push({ file, change: 'deleted', layer: layer - 1 });
        }
      };
      for (const file of entries) {
        bury(file);
        const item = mark(file);
        if (!isBrief || item.change || above.has(file.path)) items.push(item);
      }
      if (next === undefined) bury();
      given.set(path, at);
      if (items.length > 0 || next === undefined) return { items, ...(next !== undefined && { next }) };
      from = next;
    }
  };
}

function page(archive: Archive, image: string, path: string, layer: number | undefined, options: PageOptions) {
  return archive.folder(image, path, { ...options, ...(layer !== undefined && { layer }) });
}

/** The directory that a file is in; empty for the root. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** A file's own name. */
export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

function byPath(a: FileEntry, b: FileEntry): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}
