/** What crosses between the caller and the session, which lives in a Worker or, in Node, right here. */
import type { ErrorData } from './errors.js';
import type { ArchiveView, CallOptions, ImageInspect, NameChange, Progress, Reference, RenameRule } from './types.js';

/** A file that Node has open, with the function that reads it. */
export interface OpenFile {
  fd: number;
  size: number;
  readSync: (fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => number;
}

/** What an archive can be opened from. */
export type SessionSource = Blob | Uint8Array | OpenFile;

/** A part of an archive to be written: new bytes, or a range of what it was opened from. */
export type Part = Uint8Array | { source: Blob | Uint8Array | number; offset: number; length: number };

/** An edit, and the archive after it. */
export interface Edited {
  changes: NameChange[];
  view: ArchiveView;
}

/** Every operation of a session: what it takes and what it gives. Callers choose an archive's handle. */
export interface Operations {
  open: { args: { handle: number; source: SessionSource }; result: ArchiveView };
  close: { args: { handle: number }; result: undefined };
  tag: { args: { handle: number; source: string; target: string }; result: Edited };
  untag: { args: { handle: number; reference: string }; result: Edited };
  rename: { args: { handle: number; rules: RenameRule[] }; result: Edited };
  undo: { args: { handle: number }; result: ArchiveView };
  redo: { args: { handle: number }; result: ArchiveView };
  inspect: { args: { handle: number; image: string }; result: ImageInspect };
  parts: { args: { handle: number }; result: Part[] };
  parseReference: { args: { text: string }; result: Reference };
  suggestTags: { args: { tag: string }; result: string[] };
  memory: { args: Record<string, never>; result: number };
}

export type Operation = keyof Operations;

/** Whoever can run operations. */
export interface Backend {
  call<Op extends Operation>(
    op: Op,
    args: Operations[Op]['args'],
    options?: CallOptions,
  ): Promise<Operations[Op]['result']>;
}

/** To the Worker. A request may be followed by its cancellation. */
export type Request =
  | { id: number; op: 'start'; args: { wasmUrl: string | undefined } }
  | { id: number; op: 'cancel' }
  | { [Op in Operation]: { id: number; op: Op; args: Operations[Op]['args'] } }[Operation];

/** From the Worker: any number of progress reports for a request, then its result or its error. */
export type Reply =
  | { id: number; progress: Progress }
  | { id: number; result: unknown }
  | { id: number; error: ErrorData; broken: boolean };
