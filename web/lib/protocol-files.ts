/** What crosses between the caller and the session about files inside layers. */
import type { Part } from './protocol.js';
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
    | { kind: 'export'; path: string }
    | { kind: 'search'; path: string; glob: string | undefined; regex: string | undefined; content: Uint8Array | undefined }
    | { kind: 'changes' }
    | { kind: 'efficiency' }
    | { kind: 'compare'; other: number; otherImage: string }
  );

/** Some results: things, and bytes as parts. */
export interface FileResults {
  items: unknown[];
  parts: Part[];
  /** Where a list goes on. */
  next?: number;
}

export interface FileOperations {
  /** Begins, as `task` of the caller's choice, which `fileEnd` ends. Layers are indexed that were not yet. */
  fileBegin: { args: { handle: number; task: number; work: FileTask; limits: Limits }; result: undefined };
  /** What was found since; nothing at the end. */
  fileNext: { args: { task: number }; result: FileResults | undefined };
  fileEnd: { args: { task: number }; result: undefined };
}
