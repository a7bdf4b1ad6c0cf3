/**
 * Container image archives in Node: the same API as in the browser, over files of the operating system, without a
 * Worker. Calls do their work on the caller's thread, some milliseconds at a time.
 *
 * @module longshore
 */
import { closeSync, readFileSync, readSync, readdirSync, statSync } from 'node:fs';
import { basename, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BaseArchive, checked, type Made } from './archive.js';
import { invalid, limitsOf, newHandle, text } from './checks.js';
import * as core from './core.js';
import type { Container as BaseContainer } from './container.js';
import { LongshoreError, aborted, fromData, isBreakdown, toData } from './errors.js';
import { fetchArchive, nameOfUrl } from './fetch.js';
import { gatherToFile } from './node-gathering.js';
import type { BlobSource } from './node-keeping.js';
import { FileSource } from './node-source.js';
import type { Place } from './making.js';
import { once } from './modules.js';
import { nodePool } from './node-threads.js';
import { temporaryFile, unpackToFile } from './node-unpacking.js';
import { assertUnchanged, pieces, writeTo } from './node-write.js';
import { nameInside, openPacked, type Outer } from './packed.js';
import type { Pool } from './pool.js';
import { fileStore, nodeShell } from './node-registry.js';
import type { Backend, Incoming, Operation, Operations, Part, ReadSync, SessionFolder, SessionSource } from './protocol.js';
import { openRegistry, type Registry } from './registry-client.js';
import type { Shell } from './registry-exchange.js';
import { pullFiles } from './registry-pull.js';
import type { Shipping } from './registry-push.js';
import type { PullOptions, RegistryOptions } from './registry-types.js';
import { attended } from './running.js';
import { Session } from './session.js';
import type { BaseStore } from './store.js';
import type { ArchiveView, CallOptions, FileListOptions, FileOptions, Limits, Reference, RenameRule, SaveOptions, UnpackOptions, VerifyReport } from './types.js';

export { ERROR_CODES, LongshoreError, type ErrorCode, type ErrorDetail } from './errors.js';
export type { Registry } from './registry-client.js';
export type * from './container-types.js';
export type * from './registry-types.js';
export type * from './store-types.js';
export type * from './types.js';

/** Parts as they come. */
type Batches = AsyncIterable<readonly Part[]> | Iterable<readonly Part[]>;

/** What {@link Archive.save} gives. Nothing is copied before one of its two methods is called. */
export interface Saved {
  /** A name for the file. */
  name: string;
  size: number;
  /**
   * Names that the format has no place for, where it is `docker` or `docker-legacy`: a tag alone, or a name with a digest. Docker
   * does not know the images by them.
   */
  leftOut: string[];
  /**
   * Writes the archive to a file, which appears when it is complete; it may be the very file that was opened. Fails
   * with `write-failed`, `source-changed`, `read-failed`, `closed` where the archive was closed, or `aborted`, and then
   * leaves what was there.
   */
  writeTo(path: string | URL, options?: CallOptions): Promise<void>;
  /** The archive as a stream. It fails as {@link Saved.writeTo} does. */
  stream(): ReadableStream<Uint8Array>;
  /** Removes what was packed anew for it, when it is no longer needed. Closing the archive does so too. */
  release(): Promise<void>;
}

/** The session of this process, made at the first call. */
class Local implements Backend {
  #session: Session | undefined;
  #breakdown: LongshoreError | undefined;

  async call<Op extends Operation>(
    op: Op,
    args: Operations[Op]['args'],
    { signal, onProgress }: CallOptions = {},
  ): Promise<Operations[Op]['result']> {
    if (signal?.aborted) throw aborted(signal);
    // An instance that broke down cannot be replaced: this process has only one.
    if (this.#breakdown) throw this.#breakdown;
    try {
      this.#session ??= start();
      return await this.#session.run(op, args, {
        get cancelled() {
          return signal?.aborted ?? false;
        },
        onProgress: (progress) => onProgress?.(progress),
      });
    } catch (thrown) {
      const error = thrown instanceof LongshoreError ? thrown : fromData(toData(thrown), thrown);
      if (isBreakdown(thrown)) this.#breakdown = error;
      throw error;
    }
  }
}

function start(): Session {
  core.initSync({ module: readFileSync(new URL('./core_bg.wasm', import.meta.url)) });
  const modules = {
    codec: once(async () => {
      const codec = await import('./codec.js');
      codec.initSync({ module: readFileSync(new URL('./codec_bg.wasm', import.meta.url)) });
      return codec;
    }),
    engine: once(async () => {
      const engine = await import('./engine.js');
      engine.initSync({ module: readFileSync(new URL('./engine_bg.wasm', import.meta.url)) });
      return engine;
    }),
  };
  return new Session(core, modules, readSync as ReadSync);
}

const local = new Local();
const pool = nodePool();

/**
 * Opens an image archive: a path (a string is always one), a `URL` (of a file, or `http(s):`), a `Blob`, or an array; what a URL
 * fetches and what a `Blob` has is read into memory. The path
 * may be that of a folder, as unpacked OCI image layouts are; it is saved as a tar. A file
 * that is compressed as a whole (gzip, bzip2, xz, zstd, lz4) is unpacked first, into a file that nobody else sees and
 * that is gone when the archive is closed or the process ends.
 *
 * Fails with the codes of the browser's `openArchive`.
 */
export async function openArchive(
  input: ArchiveInput,
  options: UnpackOptions = {},
): Promise<Archive> {
  const limits = limitsOf(options.limits);
  return attended(options, (options) => opened(input, limits, options), (archive) => archive.close());
}

async function opened(input: ArchiveInput, limits: Limits, options: CallOptions): Promise<Archive> {
  const handle = newHandle();
  const folder = folderOf(input);
  if (folder) return openFolder(folder, options);
  const open = (source: FileSource | Uint8Array) => local.call('open', { handle, source: sessionSource(source) }, options);
  const unpack = (source: FileSource | Uint8Array) => unpackToFile(pool, source, limits, options);
  const { source, name } = await sourceOf(input, options);
  const file = source instanceof FileSource ? source : undefined;
  try {
    const opened = await openPacked<FileSource | Uint8Array>(source, open, unpack);
    // What is in another file by now is not read here any more.
    if (opened.source !== source) file?.close();
    const inner = opened.source instanceof FileSource ? opened.source : undefined;
    return new Archive(local, pool, handle, opened.view, nameInside(name, opened.outer), opened.outer, inner ? [inner] : []);
  } catch (thrown) {
    file?.close();
    throw thrown;
  }
}

/** Opens the files of a folder as the archive that they are. */
async function openFolder(folder: string, options: CallOptions): Promise<Archive> {
  const handle = newHandle();
  const files: FileSource[] = [];
  try {
    const paths: string[] = [];
    for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
      // What a link points to may be outside.
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath ?? entry.path, entry.name);
      paths.push(relative(folder, path).split(sep).join('/'));
      files.push(new FileSource(path));
    }
    const name = `${basename(resolve(folder))}.tar`;
    return await openFiles(handle, name, { paths, sources: files.map(sessionSource) }, files, options);
  } catch (thrown) {
    for (const file of files) file.close();
    if (thrown instanceof LongshoreError) throw thrown;
    const reason = (thrown as Error).message;
    throw new LongshoreError('read-failed', `The folder cannot be read: ${reason}.`, { entry: folder, reason }, { cause: thrown });
  }
}

async function openFiles(
  handle: number,
  name: string,
  source: SessionFolder,
  files: readonly FileSource[],
  options: CallOptions,
): Promise<Archive> {
  const view = await local.call('open', { handle, source }, options);
  return new Archive(local, pool, handle, view, name, { packing: [], findings: [], release: async () => {} }, files);
}

/**
 * Pulls an image from a registry, as `docker pull` does, into an archive: an OCI image layout in files that nobody else sees
 * and that are gone when the archive is closed or the process ends. Every byte is held against its digest.
 *
 * Fails with the codes of the browser's `pull`.
 */
export async function pull(reference: string, options: PullOptions = {}): Promise<Archive> {
  return attended(options, async (options) => {
    const own: FileSource[] = [];
    try {
      const { name, files } = await pullFiles(nodeShell(new Map()), text(reference, 'reference'), options, () => fileStore(own));
      const source = { paths: [...files.keys()], sources: [...files.values()].map(sessionSource) };
      return await openFiles(newHandle(), `${name}.tar`, source, own, { signal: options.signal });
    } catch (thrown) {
      for (const file of own) file.close();
      throw thrown;
    }
  }, (archive) => archive.close());
}

/** A registry by its name: `registry.local:5000`. Nothing is asked yet. Fails with `invalid-argument`. */
export async function registry(host: string, options: RegistryOptions = {}): Promise<Registry> {
  return openRegistry(nodeShell(new Map()), text(host, 'host'), options);
}

/** What {@link openArchive} opens. */
export type ArchiveInput = string | URL | Uint8Array | Blob;

/** A working container of a store in a folder. */
export type Container = BaseContainer<Archive, BlobSource>;

/** Images that are kept in a folder. */
export type Store = BaseStore<Archive, Saved, ArchiveInput, BlobSource>;

/**
 * Opens the image store in the folder at `path`, which is made if there is none. Several processes may use it at once.
 *
 * Fails with `store-failed`.
 */
export async function openStore(path: string | URL): Promise<Store> {
  if (path === '') throw invalid('a store needs a folder');
  const folder = resolve(pathOf(path));
  const [{ BaseStore }, { folderKeeping }] = await Promise.all([import('./store.js'), import('./node-keeping.js')]);
  const store: Store = new BaseStore<Archive, Saved, ArchiveInput, BlobSource>({
    backend: local,
    pool,
    keeping: await folderKeeping(folder),
    open: openArchive,
    pull,
    async assemble(documents, blobs) {
      const files = blobs.flatMap(([, source]) => (source instanceof FileSource ? source : []));
      try {
        const paths = [...documents, ...blobs].map(([path]) => path);
        const sources = [...documents, ...blobs].map(([, source]) => sessionSource(source));
        return await openFiles(newHandle(), 'images.tar', { paths, sources }, files, {});
      } catch (thrown) {
        for (const file of files) file.close();
        throw thrown;
      }
    },
    gather: gatherToFile,
    partOf: async (content) => (content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : content),
  });
  store.tidy().catch(() => {});
  return store;
}

/** Takes a name apart by Docker's grammar; fails with `invalid-reference` and Docker's own sentence. */
export async function parseReference(reference: string): Promise<Reference> {
  return local.call('parseReference', { text: text(reference, 'reference') });
}

/** The tags that people put beside a version tag: for `2.1.10` these are `2.1`, `2` and `latest`. */
export async function suggestTags(tag: string): Promise<string[]> {
  return local.call('suggestTags', { tag: text(tag, 'tag') });
}

/** Bytes of memory that the wasm holds. */
export function memoryUsed(): Promise<number> {
  return local.call('memory', {});
}

/** An open archive, in Node. Close it to close its file. */
export class Archive extends BaseArchive {
  readonly #files: readonly FileSource[];
  /** Temporary files with what was packed anew, by their descriptors. */
  readonly #made = new Map<number, FileSource>();

  /** @internal */
  constructor(
    backend: Backend,
    pool: Pool,
    handle: number,
    view: ArchiveView,
    name: string,
    outer: Outer,
    files: readonly FileSource[],
  ) {
    super(backend, pool, handle, view, name, outer);
    this.#files = files;
  }

  /**
   * The archive, or what the options make of it, ready to be written. Layers that are packed anew go to temporary files,
   * which are gone when the archive is closed or the process ends. Fails with the codes of the browser's `save`.
   */
  async save(options: SaveOptions<Archive> = {}): Promise<Saved> {
    checked(options);
    const archives = [this, ...(options.add ?? [])];
    const files = new Map(archives.flatMap((archive) => archive.#files.map((file) => [file.fd, file])));
    assertUnchanged(files);
    // What was made for edits is read, too.
    const held = archives.flatMap((archive) => [...archive.#files, ...archive.#made.values()].map((file) => file.hold()));
    let made: Made;
    try {
      made = await this.make(options);
    } finally {
      for (const end of held) end();
    }
    const { parts, leftOut, release } = made;
    for (const part of parts) {
      if (!('source' in part)) continue;
      const file = archives.map((archive) => archive.#made.get(part.source as number)).find(Boolean);
      if (file) files.set(file.fd, file);
    }
    const size = parts.reduce((sum, part) => sum + part.length, 0);
    return {
      name: options.gzip ? `${this.name}.gz` : this.name,
      size,
      leftOut,
      writeTo: async (path, options = {}) => attended(options, (options) => writeTo(parts, size, files, pathOf(path), options)),
      stream: () => {
        const iterator = pieces(parts, 1 << 20, files);
        return new ReadableStream({
          async pull(controller) {
            const { done, value } = await iterator.next();
            if (!done) {
              // The piece may be in a buffer that the next one will be read into.
              controller.enqueue(new Uint8Array(value));
              return;
            }
            assertUnchanged(files);
            controller.close();
          },
          cancel: async () => void (await iterator.return(undefined)),
        });
      },
      release,
    };
  }

  /** @internal */
  protected override async shell(): Promise<Shell> {
    return nodeShell({ get: (fd) => this.#made.get(fd) ?? this.#files.find((file) => file.fd === fd) });
  }

  /** @internal */
  protected override async ship<T>(
    images: readonly string[],
    platforms: readonly string[],
    options: UnpackOptions,
    shipping: Shipping<T>,
  ): Promise<T> {
    const release = this.#files.map((file) => file.hold());
    try {
      for (const file of this.#files) file.assertUnchanged();
      return await super.ship(images, platforms, options, shipping);
    } finally {
      for (const end of release) end();
    }
  }

  /** @internal */
  protected override async place(): Promise<Place> {
    const { path, fd } = temporaryFile();
    return {
      target: { fd },
      source: () => {
        const made = new FileSource(path, fd);
        this.#made.set(fd, made);
        return sessionSource(made);
      },
      release: async () => {
        const made = this.#made.get(fd);
        this.#made.delete(fd);
        if (made) await made.close();
        else closeSync(fd);
      },
    };
  }

  /**
   * A file of an image; links are followed inside the image. Fails as {@link files} does, and with `invalid-argument` where it
   * is no regular file.
   */
  async readFile(image: string, path: string, options: FileOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    return this.#whole(this.bytesOf('read', image, path, options));
  }

  /** @internal */
  override async join(parts: readonly Part[]): Promise<Part> {
    return this.#whole([parts]);
  }

  async #whole(batches: Batches): Promise<Uint8Array<ArrayBuffer>> {
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#chunks(batches)) chunks.push(chunk);
    const whole = new Uint8Array(chunks.reduce((size, { length }) => size + length, 0));
    let at = 0;
    for (const chunk of chunks) {
      whole.set(chunk, at);
      at += chunk.length;
    }
    return whole;
  }

  /** As {@link readFile}, for files that are large. */
  streamFile(image: string, path: string, options: FileOptions = {}): ReadableStream<Uint8Array> {
    return streamed(this.#chunks(this.bytesOf('read', image, path, options)));
  }

  /** A tar of an image's files, or of those below a directory, whose name they begin with: as `docker export` and `docker cp`. */
  exportFiles(image: string, options: FileListOptions = {}): ReadableStream<Uint8Array> {
    return streamed(this.#chunks(this.bytesOf('export', image, options.path ?? '', options)));
  }

  async *#chunks(batches: Batches): AsyncGenerator<Uint8Array, void, undefined> {
    const files = new Map(this.#files.map((file) => [file.fd, file]));
    for await (const parts of batches) {
      // Layers that were made anew are elsewhere.
      for (const [fd, file] of this.#made) files.set(fd, file);
      // A piece may be in a buffer that the next one is read into.
      for await (const piece of pieces(parts, 1 << 20, files)) yield new Uint8Array(piece);
      assertUnchanged(files);
    }
  }

  override async verify(options: UnpackOptions = {}): Promise<VerifyReport> {
    return this.#whileHeld(async (assertUnchanged) => {
      const report = await super.verify(options);
      assertUnchanged();
      return report;
    });
  }

  /** @internal */
  override async handOver<T>(
    rules: RenameRule[],
    options: UnpackOptions,
    use: (incoming: Incoming, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#whileHeld(() => super.handOver(rules, options, use));
  }

  /** Threads read from the descriptors: they have to stay, even where the archive is closed meanwhile. */
  async #whileHeld<T>(work: (assertUnchanged: () => void) => Promise<T>): Promise<T> {
    const release = this.#files.map((file) => file.hold());
    const assertUnchanged = () => this.#files.forEach((file) => file.assertUnchanged());
    try {
      assertUnchanged();
      return await work(assertUnchanged);
    } finally {
      for (const end of release) end();
    }
  }

  override async close(): Promise<void> {
    try {
      await super.close();
    } finally {
      await Promise.all(this.#files.map((file) => file.close()));
    }
  }
}

/** A stream that reads on as it is read. */
function streamed(chunks: AsyncGenerator<Uint8Array, void, undefined>): ReadableStream<Uint8Array> {
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: async () => void (await chunks.return(undefined)),
  });
}

/** The folder that a caller means; nothing where it is none. */
function folderOf(input: unknown): string | undefined {
  if (typeof input !== 'string' && !(input instanceof URL && input.protocol === 'file:')) return undefined;
  const path = pathOf(input);
  try {
    return statSync(path).isDirectory() ? path : undefined;
  } catch {
    // Opening it will say why.
    return undefined;
  }
}

/** The path that a caller means. */
function pathOf(path: unknown): string {
  if (typeof path === 'string') return path;
  if (!(path instanceof URL)) throw invalid('a path must be a string or a file: URL');
  try {
    return fileURLToPath(path);
  } catch (thrown) {
    throw invalid(`${path.href} is no path: ${(thrown as Error).message}`);
  }
}

function sessionSource(source: FileSource | Uint8Array): SessionSource {
  return source instanceof FileSource ? ({ fd: source.fd, size: source.size, readSync } as SessionSource) : source;
}

async function sourceOf(input: unknown, options: CallOptions): Promise<{ source: FileSource | Uint8Array; name: string }> {
  if (typeof input === 'string' || (input instanceof URL && input.protocol === 'file:')) {
    const source = new FileSource(pathOf(input));
    return { source, name: basename(source.path) };
  }
  if (input instanceof Uint8Array) return { source: input, name: 'image.tar' };
  if (input instanceof Blob) {
    const name = (input instanceof File && input.name) || 'image.tar';
    return { source: new Uint8Array(await input.arrayBuffer()), name };
  }
  if (!(input instanceof URL)) throw invalid('openArchive takes a path, a URL, a Uint8Array or a Blob');
  const bytes = await fetchArchive(input, options, (response) => response.arrayBuffer());
  return { source: new Uint8Array(bytes), name: nameOfUrl(input) || 'image.tar' };
}
