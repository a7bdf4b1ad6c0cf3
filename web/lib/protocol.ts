/** What crosses between the caller and the session, which lives in a Worker or, in Node, right here. */
import type { ContainerRow, RemovedContainer } from './container-types.js';
import type { ErrorData } from './errors.js';
import type { FileOperations } from './protocol-files.js';
import type { DiskUsage, HistoryRow, ImageRow, LoadPlan, Removed, Tagging } from './store-types.js';
import type {
  ArchiveView,
  CallOptions,
  Compatibility,
  ImageInspect,
  LayerPacking,
  Limits,
  NameChange,
  Packing,
  Progress,
  Reference,
  RenameRule,
  RepairKind,
  RepairProposal,
  RewritePlan,
  RewrittenLayer,
  VerifyReport,
  WriteFormat,
} from './types.js';

/** Node's `fs.readSync`. */
export type ReadSync = (fd: number, buffer: Uint8Array, offset: number, length: number, position: number) => number;

/** A digest that is being computed; at the end it is `sha256:…`. */
export interface Hashing {
  update(bytes: Uint8Array): void;
  finish(): string;
}

/** A file that Node has open, with the function that reads it. */
export interface OpenFile {
  fd: number;
  size: number;
  readSync: ReadSync;
}

/** Bytes that the session can read. */
export type SessionSource = Blob | Uint8Array | OpenFile;

/** The files of a folder, by their paths in it. */
export interface SessionFolder {
  paths: string[];
  sources: SessionSource[];
}

/** Bytes that are made when they are needed: so many. */
export interface Later {
  size: number;
}

/** What has to be known of a layer before an archive with it can be made: it is measured, or packed anew. */
export interface LayerNeed {
  /** The number of its archive among those that are written, and its own number there. */
  archive: number;
  entry: number;
  path: string;
  size: number;
  packing?: LayerPacking;
  parts: Part[];
}

/** Such a layer of an open archive. */
export interface OpenNeed extends LayerNeed {
  /** Where its bytes are: no other bytes are there as long as the archive is open. */
  origin: string;
}

/** A layer that was packed anew. */
export interface LayerRepacked {
  archive: number;
  entry: number;
  source: SessionSource | Later;
  digest: string;
  /** Digest of what it holds. */
  content: string;
  packing: LayerPacking;
}

/** Images as a registry keeps them. */
export interface Shipment {
  /** One for each image, or for those that are one for several platforms: its names, and its manifest's digest. */
  roots: { names: string[]; digest: string }[];
  /** Each after what it refers to. */
  manifests: { mediaType: string; digest: string; bytes: Uint8Array<ArrayBuffer>; refers: string[] }[];
  /** Layers and configs. */
  blobs: ShippedBlob[];
}

/** A layer or a config as a registry keeps it. */
export interface ShippedBlob {
  digest: string;
  size: number;
  isLayer: boolean;
  parts: Part[];
}

/** What becomes of an image's layers, with what the new ones are made of. */
export type LayersMade = Omit<RewritePlan, 'image' | 'layers' | 'keptBy'> & { layers: LayerMade[] };

/** A layer that is to be made: of parts, or of old layers that have to be unpacked. */
export type LayerMade = RewrittenLayer & { packing: LayerPacking } & ({ parts: Part[] } | (LayerPieces & { parts?: undefined }));

/** What comes from where in a new layer: three numbers each. */
export interface LayerPieces {
  sources: Part[][];
  pieces: Float64Array<ArrayBuffer>;
  fresh: Uint8Array<ArrayBuffer>;
}

/** The new layers of an image. */
export interface NewLayers {
  /** Its ID. */
  image: string;
  layers: { first: number; count: number; packing: LayerPacking; digest: string; diffId: string; parts: Part[] }[];
}

/** Images of an archive that are to be written: all, if none are named. */
export interface Chosen {
  handle: number;
  images: string[];
}

/** A part of an archive to be written: new bytes, or a range of what it was opened from. */
export type Part = Uint8Array | { source: Blob | Uint8Array | number; offset: number; length: number };

/** A member whose bytes a verification needs to know about. */
export interface Job {
  /** Its number. */
  entry: number;
  size: number;
  /** `sha256` or `sha512`: for the digest of the bytes as stored, and of what they hold. */
  stored: string;
  content: string;
  /** Whether they are to be unpacked, if they are compressed. */
  unpack: boolean;
  parts: Part[];
}

/** What one pass over a member's bytes shows. */
export interface Measured {
  digest: string;
  size: number;
  compression?: Packing;
  /** What the bytes hold; absent where that is what is stored. */
  content?: { digest: string; size: number; trailing: number };
  /** Why they cannot be unpacked. */
  error?: { code: string; message: string };
  /** What in a layer makes readers refuse it. */
  odd?: FoundOdd[];
}

/** Something odd in a layer: what, as the codec names it, and at which path. */
export interface FoundOdd {
  what: string;
  path: string;
}

/** What was found of the member of that number. */
export interface Found extends Measured {
  entry: number;
}

/** A blob of a store. */
export interface KeptBlob {
  digest: string;
  size: number;
}

/** A blob that a store is to keep. */
export interface BlobToKeep extends KeptBlob {
  parts: Part[];
  /** What it must hold: the diff ID of each layer, by its number in its image, that it is. */
  layers: { layer: number; diffId: string }[];
}

/** What operations on a container come to: an edit of its rows, as JSON, or the files whose contents are needed first: of the image, and of a tar. */
export type OverlayStep = { edit: string } | { edit?: undefined; wanting?: number[]; unpacking?: number[] };

/** What a file of a container holds: a range of a blob of the store. */
export interface Content extends KeptBlob {
  offset: number;
  length: number;
}

/** A part of the layer that a container's changes are. */
export type LayerPart = Uint8Array | Content;

/** A line of `docker diff`. */
export interface Difference {
  kind: 'A' | 'C' | 'D';
  path: string;
}

/** What an archive brings to a store. */
export interface Incoming {
  /** For the engine, as JSON. */
  incoming: string;
  /** A document for it, too, where the archive is that of a whole store. */
  containers?: string | undefined;
  blobs: BlobToKeep[];
  /** Names that a store has no place for. */
  refused: string[];
}

/** A catalog as the shell has read it: `rows` are only needed where the session does not have that revision yet. */
export interface EngineCall {
  catalog: number;
  revision: number;
  rows?: Row[];
  question: Question;
}

/** A row of a catalog: that of an image has the key `image/<ID>`. */
export type Row = [key: string, value: string];

/** What the engine can be asked: what it takes and what it gives. It changes nothing but by `apply`. */
export interface Verbs {
  plan: { args: [incoming: string, containers: string | undefined]; result: Omit<LoadPlan, 'refused' | 'knownBytes' | 'room'> & { blobs: KeptBlob[] } };
  load: { args: [incoming: string, containers: string | undefined, pulled: string | undefined]; result: EngineChange };
  tagging: { args: [source: string, target: string]; result: Tagging };
  tag: { args: [source: string, target: string]; result: EngineChange };
  rmi: { args: [images: string[], force: boolean, noPrune: boolean]; result: EngineChange & { items: Removed[] } };
  /** Filters are names and values by turns, and `now` is what the clock says, here and for `images`. */
  prune: { args: [all: boolean, filters: string[], now: number]; result: EngineChange & { reclaimed: number } };
  damage: { args: [digests: string[], right: string[]]; result: EngineChange };
  images: { args: [all: boolean, filters: string[], now: number]; result: ImageRow[] };
  inspect: { args: [image: string]; result: ImageInspect };
  history: { args: [image: string]; result: HistoryRow[] };
  df: { args: []; result: DiskUsage };
  save: { args: [images: string[], platforms: string[]]; result: Export };
  saveAll: { args: []; result: Export };
  create: { args: [image: string, id: string, name: string, created: string]; result: EngineChange };
  ps: { args: [all: boolean, filters: string[]]; result: ContainerRow[] };
  container: { args: [container: string]; result: { id: string; name: string; image: string; created: string } };
  renameContainer: { args: [container: string, name: string]; result: EngineChange };
  removeContainers: { args: [containers: string[]]; result: EngineChange & { items: RemovedContainer[] } };
  /** JSON, for the codec's `Overlay`. */
  changes: { args: [container: string]; result: string };
  /** `edit` is JSON that the codec's `Overlay` gave. */
  edit: { args: [container: string, edit: string]; result: EngineChange };
  /** An archive of the container's files: of its image, or with the layer too, which the caller puts beside the blobs. */
  view: { args: [container: string, diffId: string | undefined, size: number | undefined]; result: Export };
  /** `options` is JSON: `{ reference?, commit: { author?, message?, created, changes? } }`. The documents are blobs to be kept. */
  commit: {
    args: [container: string, diffId: string | undefined, size: number | undefined, options: string];
    result: EngineChange & { id: string; documents: [digest: string, text: string][] };
  };
  blobs: { args: []; result: KeptBlob[] };
  apply: { args: [change: RowChange, revision: number]; result: undefined };
}

export type Verb = keyof Verbs;

/** One thing that the engine is asked. */
export type Question = { [V in Verb]: { verb: V; args: Verbs[V]['args'] } }[Verb];

/** A change as the engine plans it. */
export interface EngineChange extends RowChange {
  lines: string[];
  inverse: RowChange;
  /** Blobs that must be here when the change is made. */
  needs: KeptBlob[];
}

/** What makes up an archive of some images: documents, and blobs by their paths. */
export interface Export {
  documents: [path: string, text: string][];
  blobs: (KeptBlob & { path: string })[];
}

/** Rows of the catalog that a change puts and takes away. */
export interface RowChange {
  put: Row[];
  delete: string[];
}

/** An edit, and the archive after it. */
export interface Edited {
  changes: NameChange[];
  view: ArchiveView;
}

/** Every operation of a session: what it takes and what it gives. Callers choose an archive's handle. */
export interface Operations extends FileOperations {
  open: { args: { handle: number; source: SessionSource | SessionFolder }; result: ArchiveView };
  close: { args: { handle: number }; result: undefined };
  tag: { args: { handle: number; source: string; target: string }; result: Edited };
  untag: { args: { handle: number; reference: string }; result: Edited };
  rename: { args: { handle: number; rules: RenameRule[] }; result: Edited };
  remove: { args: { handle: number; image: string }; result: ArchiveView };
  /** The IDs of the images that are meant by a name. */
  choose: { args: { handle: number; image: string }; result: string[] };
  relayer: { args: { handle: number; images: NewLayers[] }; result: { ids: string[]; view: ArchiveView } };
  /** `changes` is JSON. */
  reconfigure: { args: { handle: number; image: string; changes: string }; result: { ids: string[]; view: ArchiveView } };
  undo: { args: { handle: number }; result: ArchiveView };
  redo: { args: { handle: number }; result: ArchiveView };
  inspect: { args: { handle: number; image: string }; result: ImageInspect };
  parts: { args: { handle: number }; result: Part[] };
  /** Begins to verify, as `examination` of the caller's choice, which `forget` ends. */
  jobs: { args: { handle: number; examination: number }; result: Job[] };
  report: { args: { examination: number; found: Found[] }; result: VerifyReport };
  forget: { args: { examination: number }; result: undefined };
  compatibility: { args: { handle: number; packing: Packing[]; trailing: boolean }; result: Compatibility[] };
  repairs: { args: { handle: number }; result: RepairProposal[] };
  repair: { args: { handle: number; repairs: RepairKind[] }; result: ArchiveView };
  /** Begins to write, as `writing` of the caller's choice, which `drop` ends. */
  write: {
    args: {
      writing: number;
      chosen: Chosen[];
      platforms: string[];
      format: WriteFormat | 'store' | 'registry' | undefined;
      packing: LayerPacking | undefined;
    };
    result: OpenNeed[];
  };
  made: {
    args: { writing: number; found: (Found & { archive: number })[]; repacked: LayerRepacked[] };
    result: { parts: Part[]; leftOut: string[] };
  };
  /** The same for a registry, where the format was `registry`. */
  shipment: { args: Operations['made']['args']; result: Shipment };
  drop: { args: { writing: number }; result: undefined };
  /** What the archive that would be made of another one brings to a store, with names changed by the rules. */
  incoming: { args: Operations['made']['args'] & { archive: number; rules: RenameRule[] }; result: Incoming };
  /** Asks the engine about a catalog; `stale` where it has to be given the rows of that revision first. */
  engine: { args: EngineCall; result: { stale: true } | { stale: false; result: unknown } };
  /** Lets go of a catalog. */
  shut: { args: { catalog: number }; result: undefined };
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

/** Where the modules are, if not beside the Worker's script. */
export interface WasmUrls {
  wasmUrl: string | undefined;
  codecWasmUrl: string | undefined;
  engineWasmUrl: string | undefined;
}

/** To the Worker. A request may be followed by its cancellation. */
export type Request =
  | { id: number; op: 'start'; args: WasmUrls }
  | { id: number; op: 'cancel' }
  | { [Op in Operation]: { id: number; op: Op; args: Operations[Op]['args'] } }[Operation];

/** From the Worker: any number of progress reports for a request, then its result or its error. */
export type Reply =
  | { id: number; progress: Progress }
  | { id: number; result: unknown }
  | { id: number; error: ErrorData; broken: boolean };

/** What the threads of the codec do: each does one task at a time, and tells of the bytes that it is through with. */
export interface Tasks {
  measure: { args: { jobs: Job[]; limits: Limits }; result: Found[] };
  unpack: { args: { parts: Part[]; limits: Limits; into: Target }; result: Unpacked };
  /** Makes a layer of others. */
  rewrite: { args: LayerPieces & { packing: LayerPacking; limits: Limits; into: Target }; result: Repacked };
  repack: { args: { parts: Part[]; packing: LayerPacking; limits: Limits; into: Target }; result: Repacked };
  keep: { args: { blobs: BlobToKeep[]; limits: Limits; into: ShelfPlace }; result: undefined };
  /** The digests of the blobs that are gone or wrong. */
  check: { args: { blobs: KeptBlob[]; of: ShelfPlace }; result: string[] };
}

export type TaskName = keyof Tasks;

/** Where unpacked bytes go. */
export type Target =
  /** A file that Node has open. */
  | { fd: number }
  /** The browser's storage, under this name; memory where it has none or there is no name. */
  | { name: string | undefined };

/** Where a store keeps blobs. `attempt` is the load that they are kept by, `task` a number that no other task of it has. */
export type ShelfPlace =
  /** A database of the browser, which takes Blobs or not. */
  | { database: string; blobs: boolean; attempt: string; task: number }
  /** A folder that Node writes to. */
  | { folder: string; attempt: string; task: number };

/** What came out. */
export interface Unpacked {
  /** Absent where the target was a file. */
  blob?: Blob;
  size: number;
  /** Bytes after the compressed data that are none. */
  trailing: number;
}

/** What came of packing anew. */
export interface Repacked {
  /** Absent where the target was a file. */
  blob?: Blob;
  size: number;
  digest: string;
  /** Digest of what it holds. */
  content: string;
}

/** To a thread of the codec. */
export type ToThread =
  | { op: 'start'; wasmUrl: string | undefined }
  | { [Op in TaskName]: { op: Op; args: Tasks[Op]['args'] } }[TaskName];

/** From a thread of the codec: bytes done so far, then the result or the error. */
export type FromThread = { done: number } | { result: unknown } | { error: ErrorData; broken: boolean };
