/** What crosses between the caller and the session about files inside layers. */
import type { Content, Difference, LayerPart, OverlayStep, Part } from './protocol.js';
import type { Limits } from './types.js';

/** Which file system is meant: of an image, up to and with a layer. */
export interface Root {
  image: string;
  layer: number | undefined;
}

/** Work on an image's files, whose results are fetched bit by bit. */
export type FileTask = Root &
  (
    | { kind: 'list'; path: string; recursive: boolean; from: number | undefined; limit: number | undefined }
    | { kind: 'read'; path: string }
    /** What regular files hold, as they stand in the layers: first each number with the size, then all bytes. */
    | { kind: 'contents'; numbers: readonly number[]; tar: number | undefined }
    | { kind: 'export'; path: string }
    | { kind: 'search'; path: string; glob: string | undefined; regex: string | undefined; content: Uint8Array | undefined }
    | { kind: 'changes' }
    | { kind: 'efficiency' }
    /** What becomes of the layers when those from `first` on become one, or when paths go. */
    | { kind: 'squash'; first: number }
    | { kind: 'drop'; paths: string[] }
    | { kind: 'compare'; other: number; otherImage: string; otherLayer: number | undefined }
  );

/** Some results: things, and bytes as parts. */
export interface FileResults {
  items: unknown[];
  parts: Part[];
  /** Where a list goes on. */
  next?: number;
}

/** An image, and what was changed in a container of it, as JSON. */
export interface Upper {
  image: string;
  changes: string;
}

/** Where files with numbers are: in an image, or in a tar that was begun. */
export type Numbered = { image: string } | { tar: number };

/** Contents of files that are in blobs of the store: of those of the image, and of those of a tar. */
export interface Known {
  copied: [number, Content][];
  unpacked: [number, Content][];
}

/** Operations on a container of an image of the archive. */
export interface ContainerOperations {
  /** What is known of the files in layers of `of` is known of the archive's, where they are the same: both are out of one store. */
  shareIndexes: { args: { handle: number; of: number }; result: undefined };
  /** `operations` is JSON. */
  upperApply: {
    args: { handle: number; operations: string; now: number; limits: Limits } & Known & Upper;
    result: OverlayStep;
  };
  upperDiff: { args: { handle: number; limits: Limits } & Upper; result: Difference[] };
  /** The changes as a layer, in order. */
  upperLayer: { args: { handle: number; limits: Limits } & Upper; result: LayerPart[] };
  /** Indexes a tar, as `tar` of the caller's choice, which `tarEnd` ends. */
  tarBegin: { args: { handle: number; tar: number; parts: Part[]; limits: Limits }; result: undefined };
  /** Unpacks it into a directory. */
  tarUnpack: {
    args: { handle: number; tar: number; path: string; limits: Limits } & Known & Upper;
    result: OverlayStep;
  };
  tarEnd: { args: { handle: number; tar: number }; result: undefined };
}

export interface FileOperations extends ContainerOperations {
  /** Begins, as `task` of the caller's choice, which `fileEnd` ends. Layers are indexed that were not yet. */
  fileBegin: { args: { handle: number; task: number; work: FileTask; limits: Limits }; result: undefined };
  /** What was found since; nothing at the end. */
  fileNext: { args: { task: number }; result: FileResults | undefined };
  fileEnd: { args: { task: number }; result: undefined };
}
