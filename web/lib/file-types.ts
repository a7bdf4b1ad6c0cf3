/** The shapes of what is said about files inside layers: plain data, safe to structured-clone and to turn into JSON. */
import type { UnpackOptions } from './types.js';

/** What a file is. A hard link is one only in {@link LayerChange}; elsewhere it is the file that it leads to. */
export type FileKind = 'file' | 'directory' | 'symlink' | 'hard-link' | 'character-device' | 'block-device' | 'fifo';

/** A file of a layer or of an image. */
export interface FileEntry {
  /** From the root, without a slash before it: `etc/passwd`. What is not UTF-8 is replaced by U+FFFD. */
  path: string;
  kind: FileKind;
  /** The twelve bits of permissions: `0o4755`. */
  mode: number;
  uid: number;
  gid: number;
  /** Names of owner and group, where the layer has them. */
  user?: string;
  group?: string;
  /** Bytes that a reader gets: of a sparse file, the holes included. */
  size: number;
  /** Seconds since 1970. */
  mtime: number;
  /** Where a link leads, as written. */
  link?: string;
  /** Major and minor number of a device. */
  device?: [number, number];
  /** Extended attributes; the values are hexadecimal digits. */
  xattrs?: { name: string; value: string }[];
  /** Index into {@link Image.layers} of the layer that it comes from; absent for a directory that no layer has an entry of. */
  layer?: number;
  /** How many names the file has, of which this is one. */
  links: number;
}

/** Some of what is in a directory. */
export interface FilePage {
  entries: FileEntry[];
  /** Where the list goes on; absent at its end. */
  next?: number;
}

/** What a layer does to one path. */
export interface LayerChange {
  change: 'added' | 'changed' | 'deleted';
  /** What is there afterwards; of what is deleted, what was there before. A directory that is deleted stands for all in it. */
  file: FileEntry;
  /** Bytes that the layer adds, or of what is deleted those that it hides. */
  bytes: number;
}

/** How much of what an image's layers hold nobody sees. */
export interface Efficiency {
  /** dive's score: over all paths, the smallest of what layers have there against the sum of it. 1 is the best. */
  score: number;
  /** Bytes of all files of all layers, unpacked. */
  total: number;
  /** Those that later layers replace or delete. */
  wasted: number;
  /** The paths that waste most, the worst first: at most a thousand. */
  paths: { path: string; bytes: number; copies: number }[];
}

/** What differs at one path of two images. */
export interface FileDifference {
  change: 'added' | 'changed' | 'deleted';
  /** What of it is changed. Times do not count. */
  what?: ('kind' | 'content' | 'mode' | 'owner' | 'link' | 'xattrs')[];
  before?: FileEntry;
  after?: FileEntry;
}

/** Two images side by side. */
export interface Comparison {
  /** The files that differ, in the order of their paths. */
  files: FileDifference[];
  /** Fields of {@link Image.config} and the platform that differ. */
  config: { field: string; before?: unknown; after?: unknown }[];
  /** Diff IDs of the layers that both have, in the order of the first. */
  sharedLayers: string[];
}

/** A layer that takes the place of one or several. */
export interface RewrittenLayer {
  /** The lowest layer whose place it takes, as an index into {@link Image.layers}. */
  first: number;
  /** How many these are. */
  count: number;
  /** Bytes that these hold, unpacked, and that it holds. */
  before: number;
  after: number;
  /** How many entries these have, whiteouts included, and how many it has. */
  entriesBefore: number;
  entriesAfter: number;
}

/** What {@link Archive.squash} or {@link Archive.drop} would do to one image. */
export interface RewritePlan {
  /** The image's ID. */
  image: string;
  /** The layers that would be written anew, bottom first; the others stay what they are. */
  layers: RewrittenLayer[];
  /** The files that would go, with the layer that has each: at most a thousand. Whiteouts are files whose name begins with `.wh.`. */
  gone: { path: string; kind: FileKind; layer: number; size: number }[];
  /** How many would go, and how large they are together. */
  goneCount: number;
  goneBytes: number;
  /** IDs of other images that go on having one of these layers as it is: then the archive does, too. */
  keptBy: string[];
}

/** How many layers become one. */
export interface SquashOptions extends UnpackOptions {
  /** The lowest of them, as an index into {@link Image.layers}: all layers, unless said otherwise. */
  from?: number;
  /** How many from the top, in place of `from`. */
  layers?: number;
}

/** Which file systems are compared: those of whole images unless said otherwise. */
export interface CompareOptions extends FileOptions {
  /** The same as `layer` for the other image. */
  otherLayer?: number;
}

/** A file that was found. */
export interface FileMatch {
  file: FileEntry;
  /** Where in it the bytes stand first, where bytes were looked for. */
  offset?: number;
}

/** What all calls take that go to an image's files. */
export interface FileOptions extends UnpackOptions {
  /** Index into {@link Image.layers}: the file system as this layer leaves it. That of the whole image unless said otherwise. */
  layer?: number;
}

/** Which files. */
export interface FileListOptions extends FileOptions {
  /** The directory: the root unless said otherwise. */
  path?: string;
}

/** Some of a directory. */
export interface FolderOptions extends FileOptions {
  /** Where to go on: {@link FilePage.next} of the page before. */
  from?: number;
  /** How many entries there may be: 1000 unless said otherwise. */
  limit?: number;
}

/** What is looked for: a file has to have all of it. */
export interface FileQuery extends FileListOptions {
  /**
   * `*` and `?` stand for anything in one name, `**` for any directories, `[a-z]` for one of these. Without a slash the pattern
   * is for the name, else for the whole path.
   */
  glob?: string;
  /** A regular expression (of Rust's regex-lite) for the path with a slash before it. */
  regex?: string;
  /** What a regular file holds: bytes, or text as UTF-8. A file with several names is found by the first. */
  content?: Uint8Array | string;
}
