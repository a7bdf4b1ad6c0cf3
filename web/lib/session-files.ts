/** The session's work on files inside layers. Indexes and file systems stay until their archive is closed. */
import type * as Codec from './codec.js';
import { aborted, lost } from './errors.js';
import type { ContainerOperations, FileOperations, FileResults, FileTask, Known, Root, Upper } from './protocol-files.js';
import type { Difference, LayerPart, OverlayStep, Part, ReadSync } from './protocol.js';
import type { Context } from './session.js';
import type { Limits, Progress } from './types.js';

/** How many file systems of one archive are kept: each takes some 20 bytes for a file. */
const TREES = 3;

/** What a caller is to see of an archive. */
export interface Opened {
  parts(): Part[];
  /** Another number after each edit. */
  version(): number;
}

/** Lets others have their turn between stretches of synchronous work. */
export type Breath = (context: Context, progress: () => Progress) => Promise<void>;

/** The files of one archive. */
class ArchiveFiles {
  /** Whatever uses the indexes waits for what does so now. */
  queue: Promise<unknown> = Promise.resolve();
  files: Codec.Files | undefined;
  version = 0;
  /** By image and layer, the one that was used last at the end. */
  readonly trees = new Map<string, Codec.FileTree>();
  isClosed = false;

  forgetTrees(): void {
    for (const tree of this.trees.values()) tree.free();
    this.trees.clear();
  }

  free(): void {
    this.isClosed = true;
    this.forgetTrees();
    this.files?.free();
    this.files = undefined;
  }
}

interface Task {
  handles: number[];
  next(context: Context): Promise<FileResults | undefined> | FileResults | undefined;
  free(): void;
}

/** Answers {@link FileOperations}. */
export class SessionFiles {
  readonly #loadCodec: () => Promise<typeof Codec>;
  readonly #opened: (handle: number) => Opened;
  readonly #breathe: Breath;
  readonly #readSync: ReadSync | undefined;
  readonly #archives = new Map<number, ArchiveFiles>();
  readonly #tasks = new Map<number, Task>();
  /** Tars that are unpacked into containers of an archive's images. */
  readonly #tars = new Map<number, { handle: number; tree: Codec.FileTree }>();

  /** `opened` fails for a handle of no open archive. */
  constructor(
    loadCodec: () => Promise<typeof Codec>,
    opened: (handle: number) => Opened,
    breathe: Breath,
    readSync: ReadSync | undefined,
  ) {
    this.#loadCodec = loadCodec;
    this.#opened = opened;
    this.#breathe = breathe;
    this.#readSync = readSync;
  }

  async begin({ handle, task, work, limits }: FileOperations['fileBegin']['args'], context: Context): Promise<undefined> {
    const handles = [handle];
    const tar = work.kind === 'contents' && work.tar !== undefined ? this.#tar(work.tar) : undefined;
    const tree = tar?.share() ?? (await this.#tree(handle, work, limits, context));
    try {
      const begun = await this.#begin(tree, work, limits, context, handles);
      this.#tasks.set(task, { handles, ...begun });
    } finally {
      tree.free();
    }
    return undefined;
  }

  async next({ task }: FileOperations['fileNext']['args'], context: Context): Promise<FileResults | undefined> {
    const begun = this.#tasks.get(task);
    if (!begun) throw lost();
    return begun.next(context);
  }

  end({ task }: FileOperations['fileEnd']['args']): undefined {
    this.#tasks.get(task)?.free();
    this.#tasks.delete(task);
    return undefined;
  }

  async share({ handle, of }: ContainerOperations['shareIndexes']['args']): Promise<undefined> {
    const known = this.#archives.get(of);
    if (!known) return undefined;
    const own = this.#own(handle);
    const shared = own.queue.then(async () => {
      const files = await this.#files(handle, own);
      if (known.files) files.know(known.files);
    });
    own.queue = shared.catch(() => {});
    await shared;
    return undefined;
  }

  async upperApply(
    { handle, operations, now, limits, ...upper }: ContainerOperations['upperApply']['args'],
    context: Context,
  ): Promise<OverlayStep> {
    return this.#onOverlay(handle, upper, limits, context, (overlay) => overlay.apply(operations, now));
  }

  async upperDiff({ handle, limits, ...upper }: ContainerOperations['upperDiff']['args'], context: Context): Promise<Difference[]> {
    return this.#onOverlay(handle, upper, limits, context, (overlay) => overlay.diff());
  }

  async upperLayer({ handle, limits, ...upper }: ContainerOperations['upperLayer']['args'], context: Context): Promise<LayerPart[]> {
    return this.#onOverlay(handle, upper, limits, context, (overlay) => {
      const parts: LayerPart[] = [];
      overlay.beginLayer();
      for (let more = overlay.nextLayerParts(); more; more = overlay.nextLayerParts()) parts.push(...more);
      return parts;
    });
  }

  async tarBegin({ handle, tar, parts, limits }: ContainerOperations['tarBegin']['args'], context: Context): Promise<undefined> {
    const { TarFiles } = await this.#loadCodec();
    const indexing = new TarFiles(parts, this.#readSync, limits);
    try {
      let tree = indexing.step();
      for (; !tree; tree = indexing.step()) await this.#breathe(context, () => ({ phase: 'files', done: 0, total: 0 }));
      this.#tars.set(tar, { handle, tree });
    } finally {
      indexing.free();
    }
    return undefined;
  }

  async tarUnpack(
    { handle, tar, path, limits, ...upper }: ContainerOperations['tarUnpack']['args'],
    context: Context,
  ): Promise<OverlayStep> {
    return this.#onOverlay(handle, upper, limits, context, (overlay) => overlay.unpack(this.#tar(tar), path));
  }

  tarEnd({ tar }: ContainerOperations['tarEnd']['args']): undefined {
    this.#tars.get(tar)?.tree.free();
    this.#tars.delete(tar);
    return undefined;
  }

  /** An archive is closed. */
  close(handle: number): void {
    for (const [tar, one] of this.#tars) if (one.handle === handle) this.tarEnd({ handle, tar });
    for (const [number, task] of this.#tasks) if (task.handles.includes(handle)) this.end({ task: number });
    this.#archives.get(handle)?.free();
    this.#archives.delete(handle);
  }

  async #begin(
    tree: Codec.FileTree,
    work: FileTask,
    limits: Limits,
    context: Context,
    handles: number[],
  ): Promise<Omit<Task, 'handles'>> {
    switch (work.kind) {
      case 'list': {
        const { entries, next } = tree.list(work.path, work.recursive, work.from, work.limit);
        let given = false;
        const first: FileResults = { items: entries, parts: [], ...(next !== undefined && { next }) };
        return { next: () => (given ? undefined : ((given = true), first)), free: () => {} };
      }
      case 'read':
        return this.#stream(tree.read(work.path));
      case 'contents': {
        const { order, stream } = tree.readNumbers(Uint32Array.from(work.numbers));
        const bytes = this.#stream(stream);
        let given = false;
        return { ...bytes, next: (context) => (given ? bytes.next(context) : ((given = true), { items: order, parts: [] })) };
      }
      case 'export':
        return this.#stream(tree.export(work.path));
      case 'search': {
        const { glob, regex, content } = work;
        return this.#work(tree.search(work.path, { ...(glob !== undefined && { glob }), ...(regex !== undefined && { regex }) }, content), 'search');
      }
      case 'changes':
        return this.#work(tree.changes(), 'files');
      case 'efficiency':
        return this.#work(tree.efficiency(), 'files');
      case 'squash':
        return this.#work(tree.squash(work.first), 'files');
      case 'drop':
        return this.#work(tree.drop(work.paths), 'files');
      case 'compare': {
        const other = await this.#tree(work.other, { image: work.otherImage, layer: work.otherLayer }, limits, context);
        handles.push(work.other);
        try {
          return this.#work(tree.compare(other), 'compare');
        } finally {
          other.free();
        }
      }
    }
  }

  #tar(tar: number): Codec.FileTree {
    const begun = this.#tars.get(tar);
    if (!begun) throw lost();
    return begun.tree;
  }

  /** What was changed in a container, over the file system of its image. */
  async #onOverlay<T>(
    handle: number,
    { image, changes, copied = [], unpacked = [] }: Upper & Partial<Known>,
    limits: Limits,
    context: Context,
    work: (overlay: Codec.Overlay) => T,
  ): Promise<T> {
    const tree = await this.#tree(handle, { image, layer: undefined }, limits, context);
    try {
      const { Overlay } = await this.#loadCodec();
      const overlay = new Overlay(tree, changes);
      try {
        for (const [number, { digest, size, offset, length }] of copied) overlay.copied(number, digest, size, offset, length);
        for (const [number, { digest, size, offset, length }] of unpacked) overlay.unpacked(number, digest, size, offset, length);
        return work(overlay);
      } finally {
        overlay.free();
      }
    } finally {
      tree.free();
    }
  }

  /** Bytes, some MiB at a time. */
  #stream(stream: Codec.FileStream): Omit<Task, 'handles'> {
    let isFreed = false;
    return {
      next: async (context) => {
        for (;;) {
          const parts = stream.next();
          if (!parts || parts.length > 0) return parts && { items: [], parts };
          await this.#breathe(context, () => ({ phase: 'files', done: 0, total: 0 }));
          if (isFreed) throw lost();
        }
      },
      free: () => {
        isFreed = true;
        stream.free();
      },
    };
  }

  /** Things, as soon as there are some. */
  #work(work: Codec.FileWork, phase: Progress['phase']): Omit<Task, 'handles'> {
    let isFreed = false;
    return {
      next: async (context) => {
        for (;;) {
          const items = work.next();
          if (!items || items.length > 0) return items && { items, parts: [] };
          await this.#breathe(context, () => ({ phase, done: work.done(), total: work.total() }));
          if (isFreed) throw lost();
        }
      },
      free: () => {
        isFreed = true;
        work.free();
      },
    };
  }

  /** The file system, made where it is not there. It is the caller's, who frees it. */
  async #tree(handle: number, { image, layer }: Root, limits: Limits, context: Context): Promise<Codec.FileTree> {
    const archive = this.#own(handle);
    const made = archive.queue.then(async () => {
      const files = await this.#files(handle, archive);
      if (context.cancelled) throw aborted();
      const key = JSON.stringify([image, layer]);
      const known = archive.trees.get(key);
      const tree = known ?? (await this.#make(archive, files, image, layer, limits, context));
      archive.trees.delete(key);
      archive.trees.set(key, tree);
      for (const [oldest, tree] of archive.trees) {
        if (archive.trees.size <= TREES) break;
        archive.trees.delete(oldest);
        tree.free();
      }
      return tree.share();
    });
    archive.queue = made.catch(() => {});
    return made;
  }

  /** What there is of an open archive's files. */
  #own(handle: number): ArchiveFiles {
    this.#opened(handle);
    const own = this.#archives.get(handle) ?? new ArchiveFiles();
    this.#archives.set(handle, own);
    return own;
  }

  /** The archive's layers as they are now. */
  async #files(handle: number, archive: ArchiveFiles): Promise<Codec.Files> {
    const { Files } = await this.#loadCodec();
    if (archive.isClosed) throw lost();
    const opened = this.#opened(handle);
    const version = opened.version();
    if (!archive.files) {
      archive.files = new Files(opened.parts(), this.#readSync);
    } else if (archive.version !== version) {
      // An image may have another name now.
      archive.forgetTrees();
      archive.files.refresh(opened.parts(), this.#readSync);
    }
    archive.version = version;
    return archive.files;
  }

  async #make(
    archive: ArchiveFiles,
    files: Codec.Files,
    image: string,
    layer: number | undefined,
    limits: Limits,
    context: Context,
  ): Promise<Codec.FileTree> {
    files.begin(image, layer, limits);
    const progress = (): Progress => ({ phase: 'files', done: files.done(), total: files.total() });
    for (;;) {
      const tree = files.step();
      if (tree) return tree;
      await this.#breathe(context, progress);
      if (archive.isClosed) throw lost();
    }
  }
}
