/** A working container: an image, and what is changed in it, kept by a store. Nothing runs. */
import type { BaseArchive } from './archive.js';
import type { ChangeVerb } from './catalog.js';
import { invalid, newHandle, text } from './checks.js';
import { inBlobs } from './contents.js';
import type { CommitOptions, Committed, ContainerChange, FileAttributes, FileToWrite } from './container-types.js';
import type { NumberedBytes } from './files.js';
import type { Plan } from './keeper.js';
import type { Bytes } from './parts.js';
import type { Known, Numbered, Upper } from './protocol-files.js';
import type { BlobToKeep, Content, EngineChange, Found, Job, KeptBlob, LayerPart, OverlayStep, Part, Verb, Verbs } from './protocol.js';
import type { CallOptions } from './types.js';

/** Bytes that were put together, until they are released. */
export interface Gathered<Source> {
  source: Source;
  part: Part;
  release(): void;
}

/** What a container asks of its store. `Source` is what a blob is read from. */
export interface Host<A, Source> {
  /** Asks the engine about the catalog as it is now. */
  asked<V extends Verb>(verb: V, args: Verbs[V]['args']): Promise<{ revision: number; result: Verbs[V]['result'] }>;
  /** Asks for a change, and makes it. */
  change<V extends ChangeVerb>(verb: V, args: Verbs[V]['args']): Promise<Verbs[V]['result']>;
  /** Keeps blobs, and makes the change: planned again where others change the store meanwhile. */
  keep<T extends EngineChange>(plan: () => Promise<Plan<T>>, calls: CallOptions): Promise<T>;
  /** The archive of the container's image, until the store is closed. */
  base(container: string): Promise<A>;
  /** An archive of the image with one more layer, which is the caller's. */
  assemble(container: string, layer: { blob: KeptBlob; source: Source }): Promise<A>;
  /** Finds the digests of bytes. */
  measure(jobs: readonly Job[], calls: CallOptions): Promise<Found[]>;
  /** Bytes in order, some of them blobs of the store, as one source. */
  gather(pieces: readonly LayerPart[]): Promise<Gathered<Source>>;
  /** What somebody gave, as bytes that threads can read. */
  partOf(content: Blob | Uint8Array): Promise<Part>;
  /** Runs work that ends when the store is closed. */
  whileOpen<T>(options: CallOptions, work: (calls: CallOptions) => Promise<T>): Promise<T>;
}

/**
 * A working container. Paths are from the root, with or without a slash before them, and are followed through links as a
 * process in the container would follow them. Changes are kept at once; each can be undone by the store's `undo`.
 *
 * Calls fail with `no-such-container` where it was removed, `no-such-file`, `file-exists`, `not-a-directory`, `is-a-directory`,
 * `invalid-argument` for a path that cannot be one, `damaged-image` or `damaged-blob` where something was lost, and as the store's `load` does for want of room.
 */
export class Container<A extends BaseArchive, Source> {
  /** 64 hexadecimal digits. */
  readonly id: string;
  /** The ID of the image that it was made from. */
  readonly image: string;
  readonly #host: Host<A, Source>;
  #name: string;
  /** The image's archive, whose layers are read once. */
  #base: Promise<A> | undefined;

  /** @internal */
  constructor(host: Host<A, Source>, { id, name, image }: { id: string; name: string; image: string }) {
    this.id = id;
    this.image = image;
    this.#host = host;
    this.#name = name;
  }

  /** Its name, as far as it was changed here. */
  get name(): string {
    return this.#name;
  }

  /** `docker rename`. Fails with `invalid-argument` or `name-in-use`. */
  async rename(name: string): Promise<void> {
    await this.#host.change('renameContainer', [this.id, text(name, 'name')]);
    this.#name = name.replace(/^\//, '');
  }

  /**
   * Writes a file, or several as one change: what is there gets other content and keeps its mode and owner, unless the
   * attributes say otherwise. Folders that are missing are made.
   */
  async write(path: string, content: FileToWrite['content'], options?: FileAttributes & CallOptions): Promise<void>;
  async write(files: readonly FileToWrite[], options?: CallOptions): Promise<void>;
  async write(
    first: string | readonly FileToWrite[],
    second: FileToWrite['content'] | CallOptions = {},
    third: FileAttributes & CallOptions = {},
  ): Promise<void> {
    const isOne = typeof first === 'string';
    const options = isOne ? third : (second as CallOptions);
    const files = isOne ? [{ ...attributesOf(third), path: first, content: second as FileToWrite['content'] }] : first;
    const isFile = (file: unknown): boolean => typeof file === 'object' && file !== null;
    if (!Array.isArray(files) || !files.every(isFile)) throw invalid('files must be an array of { path, content }');
    await this.#working(options, async (calls) => {
      const base = await this.#opened();
      const given: NumberedBytes[] = [];
      for (const [number, { content }] of files.entries()) given.push({ number, ...(await this.#bytesOf(content)) });
      const { contents, blobs } = await this.#inBlobs(base, given, calls);
      const folders = new Set(files.map(({ path }) => folderOf(text(path, 'path'))));
      const operations = [...folders].filter((path) => path !== '').map((path): object => ({ do: 'mkdir', path, parents: true }));
      for (const [index, file] of files.entries()) {
        operations.push({ do: 'write', path: file.path, content: contents.get(index), attributes: attributesOf(file) });
      }
      await this.#operate(base, operations, blobs, calls);
    });
  }

  /** Makes a folder; with `parents` also those above it, and then it may be there. */
  async mkdir(path: string, { parents = false, ...attributes }: FileAttributes & { parents?: boolean } = {}): Promise<void> {
    await this.#do({ do: 'mkdir', path: text(path, 'path'), parents: parents === true, attributes: attributesOf(attributes) });
  }

  /** Makes a symbolic link, which leads to `target`. */
  async symlink(path: string, target: string): Promise<void> {
    await this.#do({ do: 'symlink', path: text(path, 'path'), target: text(target, 'target') });
  }

  /** Removes a file, or a folder with all that is in it. */
  async remove(path: string): Promise<void> {
    await this.#do({ do: 'remove', path: text(path, 'path') });
  }

  /** Moves a file or a folder; what is there is replaced, unless it is a folder that is not empty. */
  async move(from: string, to: string): Promise<void> {
    await this.#do({ do: 'move', from: text(from, 'from'), to: text(to, 'to') });
  }

  /** Gives a file other permissions: twelve bits. */
  async chmod(path: string, mode: number): Promise<void> {
    await this.#do({ do: 'change', path: text(path, 'path'), attributes: attributesOf({ mode }) });
  }

  /** Gives a file another owner and group, by their numbers. */
  async chown(path: string, uid: number, gid: number): Promise<void> {
    await this.#do({ do: 'change', path: text(path, 'path'), attributes: attributesOf({ uid, gid }) });
  }

  /**
   * Unpacks a tar, compressed or not, into a folder (the root unless said otherwise), as `docker cp - CONTAINER:PATH` does. Fails
   * also as unpacking does: `invalid-tar`, `truncated`, `invalid-compression`, `limit-exceeded`.
   */
  async apply(tar: Blob | Uint8Array, { path = '', ...options }: { path?: string } & CallOptions = {}): Promise<void> {
    text(path, 'path');
    if (!(tar instanceof Blob || tar instanceof Uint8Array)) throw invalid('a tar must be a Blob or a Uint8Array');
    await this.#working(options, async (calls) => {
      const base = await this.#opened();
      const unpacking = newHandle();
      try {
        await base.onFiles('tarBegin', { tar: unpacking, parts: [await this.#host.partOf(tar)] }, calls);
        await this.#edit(base, { tar: unpacking }, [], calls, (upper) => base.onFiles('tarUnpack', { ...upper, tar: unpacking, path }, calls));
      } finally {
        base.onFiles('tarEnd', { tar: unpacking }, {}).catch(() => {});
      }
    });
  }

  /** `docker diff`: what was added, changed and deleted, sorted. */
  async diff(): Promise<ContainerChange[]> {
    return this.#working({}, async (calls) => (await this.#opened()).onFiles('upperDiff', (await this.#upper()).upper, calls));
  }

  /**
   * The container's files as an archive: of its image, and of what was changed as one more layer, which is there even if nothing
   * was. What is changed later changes nothing of it; close it when it is no longer needed.
   */
  async open(options: CallOptions = {}): Promise<A> {
    return this.#working(options, async (calls) => {
      const layer = await this.#layer(calls);
      try {
        const archive = await this.#host.assemble(this.id, layer);
        // Without them it is slower, and no worse.
        await archive.shareIndexes(await this.#opened()).catch(() => {});
        return archive;
      } catch (thrown) {
        layer.release();
        throw thrown;
      }
    });
  }

  /**
   * `docker commit`: an image of what is in the container now, under that name if there is one. What was changed becomes its last
   * layer; where nothing was, there is none. The container stays.
   *
   * Fails with `invalid-reference` for the name, `no-such-image` where the image was removed by force, and `invalid-argument` for changes
   * that Docker refuses, in Docker's words.
   */
  async commit(reference?: string, options: CommitOptions = {}): Promise<Committed> {
    const { author = '', message = '', changes = [], created = new Date().toISOString() } = options;
    if (!Array.isArray(changes)) throw invalid('changes must be an array of lines');
    const how = JSON.stringify({
      ...(reference !== undefined && { reference: text(reference, 'reference') }),
      commit: {
        author: text(author, 'author'),
        message: text(message, 'message'),
        changes: changes.map((line) => text(line, 'changes')),
        created: text(created, 'created'),
      },
    });
    return this.#working(options, async (calls) => {
      const isChanged = (await this.#upper()).upper.changes !== '[]';
      const layer = isChanged ? await this.#layer(calls) : undefined;
      try {
        const { id, lines } = await this.#host.keep(async () => {
          const { revision, result: change } = await this.#host.asked('commit', [this.id, layer?.blob.digest, layer?.blob.size, how]);
          const documents = change.documents.map(([digest, text]): BlobToKeep => {
            const bytes = new TextEncoder().encode(text);
            return { digest, size: bytes.length, parts: [bytes], layers: [] };
          });
          return { revision, change, blobs: layer ? [...documents, layer.blob] : documents };
        }, calls);
        return { id, lines };
      } finally {
        layer?.release();
      }
    });
  }

  /** Lets go of what was opened to look into it. The container itself stays in the store. */
  async close(): Promise<void> {
    const base = this.#base;
    this.#base = undefined;
    await (await base?.catch(() => undefined))?.close();
  }

  #do(operation: object): Promise<void> {
    return this.#working({}, async (calls) => this.#operate(await this.#opened(), [operation], [], calls));
  }

  /** Does operations, all or none. */
  async #operate(base: A, operations: readonly object[], blobs: readonly BlobToKeep[], calls: CallOptions): Promise<void> {
    const todo = { operations: JSON.stringify(operations), now: Math.floor(Date.now() / 1000) };
    await this.#edit(base, undefined, blobs, calls, (upper) => base.onFiles('upperApply', { ...upper, ...todo }, calls));
  }

  /**
   * Puts down what `apply` makes of the container as it is then. It may want contents of files first, of the image or of `tar`: these
   * get into blobs of the store, like `given`.
   */
  async #edit(
    base: A,
    tar: Numbered | undefined,
    given: readonly BlobToKeep[],
    calls: CallOptions,
    apply: (upper: Upper & Known) => Promise<OverlayStep>,
  ): Promise<void> {
    const known: Known = { copied: [], unpacked: [] };
    const blobs = [...given];
    const learn = async (place: Numbered, wanting: readonly number[], known: [number, Content][]) => {
      const found = await this.#inBlobs(base, base.contentsOf(place, wanting, calls), calls);
      for (const content of found.contents) known.push(content);
      blobs.push(...found.blobs);
    };
    await this.#host.keep(async () => {
      for (;;) {
        const { revision, upper } = await this.#upper();
        const step = await apply({ ...upper, ...known });
        if (step.edit === undefined) {
          if (step.wanting) await learn({ image: this.image }, step.wanting, known.copied);
          if (step.unpacking && tar) await learn(tar, step.unpacking, known.unpacked);
          continue;
        }
        const { revision: then, result: change } = await this.#host.asked('edit', [this.id, step.edit]);
        if (then === revision) return { revision, change, blobs };
      }
    }, calls);
  }

  /** What was changed so far. */
  async #upper(): Promise<{ revision: number; upper: Upper }> {
    const { revision, result: changes } = await this.#host.asked('changes', [this.id]);
    return { revision, upper: { image: this.image, changes } };
  }

  /** What was changed, as a layer, which the caller releases. */
  async #layer(calls: CallOptions) {
    const base = await this.#opened();
    const pieces = await base.onFiles('upperLayer', (await this.#upper()).upper, calls);
    const gathered = await this.#host.gather(pieces);
    try {
      const [blob] = await this.#measured([{ size: gathered.part.length, parts: [gathered.part] }], calls);
      return { ...gathered, blob: blob as BlobToKeep };
    } catch (thrown) {
      gathered.release();
      throw thrown;
    }
  }

  #opened(): Promise<A> {
    const opening = (this.#base ??= this.#host.base(this.id));
    // The next call tries again.
    opening.catch(() => (this.#base = undefined));
    return opening;
  }

  /** Contents as blobs, which the store does not have yet. */
  #inBlobs(base: A, files: AsyncIterable<NumberedBytes> | Iterable<NumberedBytes>, calls: CallOptions) {
    return inBlobs(files, (parts) => base.join(parts), (blobs) => this.#measured(blobs, calls));
  }

  /** What somebody gave. */
  async #bytesOf(content: FileToWrite['content']): Promise<Bytes> {
    const given = typeof content === 'string' ? new TextEncoder().encode(content) : content;
    if (!(given instanceof Uint8Array) && !(given instanceof Blob)) throw invalid('content must be a Blob, a Uint8Array or a string');
    const part = await this.#host.partOf(given);
    return { size: part.length, parts: [part] };
  }

  /** Digests, and with them blobs that a store can keep. */
  async #measured(contents: readonly Bytes[], { signal }: CallOptions): Promise<BlobToKeep[]> {
    const jobs = contents.map((bytes, entry) => ({ entry, stored: 'sha256', content: 'sha256', unpack: false, ...bytes }));
    const blobs: BlobToKeep[] = [];
    for (const { entry, digest, size } of await this.#host.measure(jobs, { ...(signal && { signal }) })) {
      blobs[entry] = { digest, size, parts: contents[entry]?.parts ?? [], layers: [] };
    }
    return blobs;
  }

  #working<T>(options: CallOptions, work: (calls: CallOptions) => Promise<T>): Promise<T> {
    return this.#host.whileOpen(options, work);
  }
}

/** The attributes that are some, as the engine reads them. */
function attributesOf({ mode, uid, gid, mtime }: FileAttributes): Record<string, number> {
  const seconds = mtime instanceof Date ? Math.floor(mtime.getTime() / 1000) : mtime;
  const given = Object.entries({ mode, uid, gid, mtime: seconds }).filter((entry): entry is [string, number] => entry[1] !== undefined);
  for (const [name, value] of given) {
    if (!Number.isSafeInteger(value)) throw invalid(`${name} must be a whole number`);
    // What is too much, the engine knows.
    if (value < 0 && name !== 'mtime') throw invalid(`${name} must not be less than 0`);
  }
  return Object.fromEntries(given);
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
