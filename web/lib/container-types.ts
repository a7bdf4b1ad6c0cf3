/** The shapes of working containers: plain data. Sizes are bytes and stay below 2^53. */
import type { ErrorData } from './errors.js';
import type { Difference } from './protocol.js';
import type { CallOptions } from './types.js';

/** What {@link Store.create} makes. */
export interface CreateOptions {
  /** The container's name: the beginning of its ID unless said otherwise. */
  name?: string;
}

/** What {@link Store.ps} lists. */
export interface PsOptions {
  /** Also what does not run, which nothing does here. */
  all?: boolean;
  /** As `docker ps --filter`: `name`, `id`, `ancestor`, `status`, `label`, `before`, `since`, and those about what runs. */
  filters?: Readonly<Record<string, readonly string[]>>;
}

/** One row of `docker ps --all`. */
export interface ContainerRow {
  id: string;
  name: string;
  /** What the image was called when the container was made, where that still means the same image; else its ID. */
  image: string;
  imageId: string;
  /** What would run. */
  command: string;
  /** RFC 3339. */
  created: string;
  status: 'Created';
  /** How many paths were changed, and how many bytes were written. */
  changes: number;
  size: number;
  /** A blob of it, or of its image, is lost or not what its digest says. */
  damaged?: true;
}

/** What became of one container that was to be removed. */
export interface RemovedContainer {
  /** As it was asked for. */
  container: string;
  /** Why it was not removed. */
  error?: ErrorData;
}

/** One line of `docker diff`: a path was added, changed or deleted. It is absolute; what is not UTF-8 is written as `%E9`. */
export type ContainerChange = Difference;

/** What is said of a file beside its content; what is not said stays, or is root's with the mode 0644 (folders 0755). */
export interface FileAttributes {
  mode?: number;
  uid?: number;
  gid?: number;
  /** Seconds since 1970, or a `Date`: now unless said otherwise. */
  mtime?: number | Date;
}

/** A file to be written. */
export interface FileToWrite extends FileAttributes {
  path: string;
  content: Blob | Uint8Array | string;
}

/** How {@link Container.commit} makes an image. */
export interface CommitOptions extends CallOptions {
  author?: string;
  message?: string;
  /** Lines of a Dockerfile, as `docker commit --change` takes them. */
  changes?: readonly string[];
  /** When, in RFC 3339: now unless said otherwise. The same changes at the same time make the same image. */
  created?: string;
}

/** The image that a commit made. */
export interface Committed {
  /** Its ID, which Docker prints. */
  id: string;
  lines: string[];
}
