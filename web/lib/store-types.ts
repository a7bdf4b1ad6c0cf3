/** The shapes of what a store hands out: plain data. Sizes are bytes and stay below 2^53. */
import type { ErrorData } from './errors.js';
import type { Platform, RenameRule, SaveOptions, UnpackOptions } from './types.js';

/** What {@link Store.load} takes. */
export interface LoadOptions extends UnpackOptions {
  /** Names are changed by these rules before they are taken in, as `archive.rename` does. */
  rename?: readonly RenameRule[];
}

/** What a load brought. */
export interface LoadResult {
  /** What `docker load` prints. */
  lines: string[];
  /** Names that could not be kept: tags alone, names with a digest, and what is no name to Docker. */
  refused: string[];
  /** IDs of the images that were not here before. */
  images: string[];
  /** IDs of the working containers that were not: the archive of a whole store has such. */
  containers: string[];
  /** How many bytes of blobs were kept anew. */
  bytes: number;
}

/** A name that would lead to another image than now. */
export interface MovedName {
  name: string;
  /** The ID, or an index's digest, that it leads to now. */
  from: string;
  to: string;
}

/** What a load would do. */
export interface LoadPlan {
  /** IDs of the images that would come, of those that are here, and of those that are here but damaged and would be whole. */
  added: string[];
  known: string[];
  mended: string[];
  /** Names of the working containers that would come. */
  containers: string[];
  /** Names that would come. */
  names: string[];
  moves: MovedName[];
  /** Names that the archive gives to several images, each from one to the next: the last would keep it. */
  repeated: { name: string; from: string; to: string }[];
  /** Names that could not be kept: tags alone, names with a digest, and what is no name to Docker. */
  refused: string[];
  /** Bytes of blobs that would have to be kept, and of those that need not. */
  bytes: number;
  knownBytes: number;
  /** Bytes that may still come, as far as the browser says so. It promises nothing. */
  room?: number;
}

/** What {@link Store.images} is to list. */
export interface ListOptions {
  /** Intermediate images too. */
  all?: boolean;
  /** As `docker images --filter`: `reference`, `dangling`, `before`, `since`, `label`, `until`. */
  filters?: Readonly<Record<string, readonly string[]>>;
}

/** One row of `docker images`. */
export interface ImageRow {
  /** Absent where Docker prints `<none>`. */
  repository?: string;
  tag?: string;
  digest?: string;
  id: string;
  /** Digest of the index through which it has the name. */
  index?: string;
  platform: Platform;
  /** RFC 3339, as the config states it. */
  created?: string;
  /** Sum of the layers' sizes as stored. */
  size: number;
  /** Whether a blob of it is lost or not what its digest says. */
  damaged?: boolean;
}

/** One row of `docker history`, the last step first. */
export interface HistoryRow {
  /** Absent where Docker prints `<missing>`. */
  id?: string;
  created?: string;
  createdBy: string;
  size: number;
  comment: string;
  /** Names of the image that the step made. */
  tags: string[];
}

/** What `docker system df -v` shows of images. */
export interface DiskUsage {
  /** How many images there are, and how many of them something uses. */
  total: number;
  active: number;
  /** All that is kept, and what would be free without the images that nothing uses. */
  size: number;
  reclaimable: number;
  images: ImageUsage[];
}

/** What one image takes. */
export interface ImageUsage {
  id: string;
  name?: string;
  created?: string;
  size: number;
  /** Of that, what other images have too, and what is its own. */
  shared: number;
  unique: number;
  containers: number;
}

/** What giving a name means beside that. */
export interface Tagging {
  /** The name, as Docker prints it. */
  name: string;
  /** ID of the image, or digest of the index, that had it. */
  from?: string;
  /** Names that go with a version by habit and that lead elsewhere or nowhere: `2.1`, `2` and `latest` for `2.1.10`. */
  aliases: string[];
  /** Of the name and its aliases, those that lead to something newer than the image: the tag would move back. */
  backwards: string[];
}

/** What a change printed. */
export interface Changed {
  /** What Docker prints. */
  lines: string[];
}

/** What became of one image that was to be removed. */
export interface Removed {
  /** As it was asked for. */
  image: string;
  lines: string[];
  /** Why it was not removed. */
  error?: ErrorData;
}

/** How images are removed. */
export interface RemoveOptions {
  force?: boolean;
  /** Keeps parents that have no name. */
  noPrune?: boolean;
}

/** What {@link Store.prune} removes. */
export interface PruneOptions {
  /** All that no container uses, not only those without a name. */
  all?: boolean;
  /** As `docker image prune --filter`: `label`, `label!`, `until`, `dangling`. */
  filters?: Readonly<Record<string, readonly string[]>>;
}

/** How {@link Store.save} writes. */
export type StoreSaveOptions = Omit<SaveOptions, 'images' | 'add'>;

/** How {@link Store.exportAll} writes. */
export type ExportOptions = Pick<SaveOptions, 'gzip'> & UnpackOptions;

/** What {@link Store.verify} found. */
export interface StoreReport {
  verdict: 'intact' | 'damaged';
  /** Digests of the blobs that are lost or are not what they should be. */
  damaged: string[];
  /** IDs of the images that need one of those. */
  images: string[];
  /** IDs of the containers that do. */
  containers: string[];
  /** How many blobs and bytes were read. */
  blobs: number;
  bytes: number;
}

/** What {@link Store.collect} removed. */
export interface Collected {
  blobs: number;
  bytes: number;
}

/** What the `change` event of a store tells. */
export interface StoreChange {
  /** How many changes the store has seen. */
  revision: number;
  /** Whether another tab made it. */
  elsewhere: boolean;
}
