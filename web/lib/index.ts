/**
 * Container image archives in the browser: open what `docker save` writes, read it, change its names, save it.
 *
 * The work runs in a Worker of this package's own, which starts with the first call; the page's thread never waits for
 * it. Nothing is uploaded, and only headers and metadata are read.
 *
 * @module longshore
 */
import { BaseArchive } from './archive.js';
import { invalid, limitsOf, newHandle, text } from './checks.js';
import { browserPool } from './browser-threads.js';
import { WorkerClient, type Locations } from './client.js';
import type { Container as BaseContainer } from './container.js';
import { LongshoreError, aborted } from './errors.js';
import { fetchArchive, nameOfUrl } from './fetch.js';
import { Gathering, gatherToBlob } from './gathering.js';
import type { Place } from './making.js';
import { loaded } from './modules.js';
import { nameInside, openPacked, type Outer } from './packed.js';
import type { Pool } from './pool.js';
import type { Part } from './protocol.js';
import type { Registry } from './registry-client.js';
import type { Shell } from './registry-exchange.js';
import type { PullOptions, RegistryOptions } from './registry-types.js';
import { attended } from './running.js';
import type { BaseStore } from './store.js';
import type { ArchiveView, CallOptions, FileListOptions, FileOptions, Limits, Reference, SaveOptions, UnpackOptions } from './types.js';

export type { Locations } from './client.js';
export { ERROR_CODES, LongshoreError, type ErrorCode, type ErrorDetail } from './errors.js';
export type { Registry } from './registry-client.js';
export type * from './container-types.js';
export type * from './registry-types.js';
export type * from './store-types.js';
export type * from './types.js';

/** Something that gives a file: a `FileSystemFileHandle`. */
export interface FileGiver {
  getFile(): Promise<File>;
}

/** A folder: a `FileSystemDirectoryHandle`. */
export interface Folder {
  readonly kind: 'directory';
  readonly name: string;
  entries(): AsyncIterable<[string, FileSystemHandle]>;
}

/** What {@link Archive.save} gives. */
export interface Saved {
  /** The archive. Made of slices of the opened file: no layer is in memory. */
  blob: Blob;
  /** A name for the file. */
  name: string;
  size: number;
  /**
   * Names that the format has no place for, where it is `docker` or `docker-legacy`: a tag alone, or a name with a digest. Docker
   * does not know the images by them.
   */
  leftOut: string[];
  /**
   * Removes what was packed anew for the Blob from the browser's storage, when the Blob is no longer needed. Closing the
   * archive does so too.
   */
  release(): Promise<void>;
}

const client = new WorkerClient();
const pool = browserPool(() => client.locations);

/** Says where the package's files are, before the first call. Needed only where they do not lie side by side. */
export function configure(locations: Locations): void {
  // The Workers would begin where they are.
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  for (const [what, url] of Object.entries(locations)) client.locations[what as keyof Locations] = url && urlOf(url, base).href;
}

/**
 * Opens an image archive: a `File` or `Blob`, a file handle, or a URL, which is fetched whole. One that is compressed as
 * a whole (gzip, bzip2, xz, zstd, lz4) is unpacked first, into the browser's storage, until the archive is closed.
 *
 * An unpacked one, as an OCI image layout often is, opens by its folder's handle, or by the files that an
 * `<input webkitdirectory>` gives; it is saved as a tar.
 *
 * Fails with `empty-file`, `not-a-tar`, `compressed`, `invalid-compression`, `truncated`, `invalid-tar`, `not-an-image-archive`,
 * `missing-entry`, `invalid-json`, `invalid-manifest`, `invalid-config`, `limit-exceeded`,
 * `source-changed`, `read-failed`, `write-failed`, `fetch-failed` or `aborted`.
 */
export async function openArchive(
  input: ArchiveInput,
  options: UnpackOptions = {},
): Promise<Archive> {
  const limits = limitsOf(options.limits);
  return attended(options, (options) => opened(input, limits, options), (archive) => archive.close());
}

async function opened(input: ArchiveInput, limits: Limits, options: CallOptions): Promise<Archive> {
  const folder = await folderOf(input, options);
  if (folder) return openFolder(folder, options);
  const { blob, name } = await blobOf(input, options);
  const handle = newHandle();
  const { view, outer } = await openPacked<Blob>(
    blob,
    (source) => client.call('open', { handle, source }, options),
    async (source) => (await unpacking()).unpack(pool, source, limits, options),
  );
  sweepOnce();
  return new Archive(client, pool, handle, view, nameInside(name, outer), outer);
}

/** All of a Blob. */
function wholeOf(blob: Blob): Part {
  return { source: blob, offset: 0, length: blob.size };
}

/** What {@link openArchive} opens. */
export type ArchiveInput = Blob | URL | string | FileGiver | Folder | FileSystemDirectoryHandle | readonly File[];

/** A working container of this browser's store. */
export type Container = BaseContainer<Archive, Blob>;

/** Images that are kept in this browser. */
export type Store = BaseStore<Archive, Saved, ArchiveInput, Blob>;

/** Where a browser keeps a store. */
export interface StoreOptions {
  /** The name of the database in IndexedDB: `longshore-store` unless said otherwise. */
  name?: string;
  /** Whether to keep `Blob`s there, or arrays, as some browsers need. Found out unless said otherwise, which tests do. */
  blobs?: boolean;
}

/**
 * Opens this browser's image store: its images are there again when the page is opened the next time. Several tabs may use
 * it at once.
 *
 * Fails with `store-failed` where the browser keeps nothing, as in some private windows.
 */
export async function openStore(options: StoreOptions = {}): Promise<Store> {
  if (typeof options !== 'object' || options === null) throw invalid('the options must be an object');
  const { name, blobs } = options;
  if (name !== undefined && text(name, 'name') === '') throw invalid('a store needs a name');
  const [{ BaseStore }, { databaseKeeping }] = await loaded(() => Promise.all([import('./store.js'), import('./database-keeping.js')]));
  const store: Store = new BaseStore<Archive, Saved, ArchiveInput, Blob>({
    backend: client,
    pool,
    keeping: await databaseKeeping(name, blobs),
    open: openArchive,
    pull,
    async assemble(documents, blobs) {
      const files = new Map(documents.map(([path, bytes]) => [path, new Blob([bytes])]));
      for (const [path, blob] of blobs) files.set(path, blob);
      return openFolder({ name: 'images', files }, {});
    },
    async gather(pieces, sourceOf) {
      const source = await gatherToBlob(pieces, sourceOf);
      return { source, part: wholeOf(source), release() {} };
    },
    partOf: async (content) => (content instanceof Blob ? wholeOf(content) : content),
  });
  store.tidy().catch(() => {});
  return store;
}

/** Opens the files of a folder as the archive that they are. */
async function openFolder(
  { name, files }: { name: string; files: Map<string, Blob | Uint8Array> },
  options: CallOptions,
  release = async () => {},
): Promise<Archive> {
  const handle = newHandle();
  const source = { paths: [...files.keys()], sources: [...files.values()] };
  const view = await client.call('open', { handle, source }, options);
  return new Archive(client, pool, handle, view, `${name}.tar`, { packing: [], findings: [], release });
}

/**
 * Pulls an image from a registry, as `docker pull` does, into an archive: an OCI image layout in the browser's storage,
 * until the archive is closed. Every byte is held against its digest. The registry has to let pages of this origin talk to
 * it; docs/registry.md says how.
 *
 * Fails with `invalid-reference`, `not-found`, `no-such-platform`, `unreachable`, `unauthorized`, `denied`,
 * `registry-refused`, `registry-failed`, `invalid-answer`, `digest-mismatch`, `limit-exceeded`, `write-failed`, `aborted`.
 */
export async function pull(reference: string, options: PullOptions = {}): Promise<Archive> {
  const [{ pullFiles }, { browserShell, browserStore }] = await loaded(() =>
    Promise.all([import('./registry-pull.js'), import('./registry-browser.js')]),
  );
  const releases = new Set<() => Promise<void>>();
  const release = async () => {
    for (const end of releases) await end();
  };
  const shell = browserShell(client.locations.registryWasmUrl);
  return attended(options, async (options) => {
    try {
      const pulled = await pullFiles(shell, text(reference, 'reference'), options, () => browserStore(releases));
      return await openFolder(pulled, { signal: options.signal }, release);
    } catch (thrown) {
      await release();
      throw thrown;
    }
  }, (archive) => archive.close());
}

/** A registry by its name: `registry.local:5000`. Nothing is asked yet. Fails with `invalid-argument`. */
export async function registry(host: string, options: RegistryOptions = {}): Promise<Registry> {
  const [{ openRegistry }, { browserShell }] = await loaded(() =>
    Promise.all([import('./registry-client.js'), import('./registry-browser.js')]),
  );
  return openRegistry(browserShell(client.locations.registryWasmUrl), text(host, 'host'), options);
}

/** Takes a name apart by Docker's grammar; fails with `invalid-reference` and Docker's own sentence. */
export async function parseReference(reference: string): Promise<Reference> {
  return client.call('parseReference', { text: text(reference, 'reference') });
}

/** The tags that people put beside a version tag: for `2.1.10` these are `2.1`, `2` and `latest`. */
export async function suggestTags(tag: string): Promise<string[]> {
  return client.call('suggestTags', { tag: text(tag, 'tag') });
}

/** Bytes of memory that the Worker's wasm holds. */
export function memoryUsed(): Promise<number> {
  return client.call('memory', {});
}

/** An open archive, in a browser. */
export class Archive extends BaseArchive {
  /** @internal */
  constructor(backend: WorkerClient, pool: Pool, handle: number, view: ArchiveView, name: string, outer: Outer) {
    super(backend, pool, handle, view, name, outer);
  }

  /**
   * The archive, or what the options make of it, as a `Blob` to be downloaded or written. It is made of slices of the
   * opened file, which must not change until they are written. Of a file that was compressed, and where layers or the
   * whole are packed anew, the archive must stay open as long.
   *
   * Fails with `source-changed` where the file did change already, `no-such-image`, `ambiguous-image` or `no-such-platform` for the
   * images, `invalid-argument` for an encrypted layer that Docker is to read,
   * `duplicate-reference` where two of them have one name, `missing-entry`, `invalid-compression`, `limit-exceeded`,
   * `write-failed` where there is no room for what is packed anew, `closed` where an archive is closed meanwhile, and
   * `aborted`.
   */
  async save(options: SaveOptions<Archive> = {}): Promise<Saved> {
    const { parts, leftOut, release } = await this.make(options);
    const type = options.gzip ? 'application/gzip' : 'application/x-tar';
    const blob = new Blob(parts.map(blobPart), { type });
    return { blob, name: options.gzip ? `${this.name}.gz` : this.name, size: blob.size, leftOut, release };
  }

  /**
   * A file of an image as a `Blob`; links are followed inside the image. From a layer that is not compressed it is a slice of
   * the opened file.
   *
   * Fails as {@link files} does, and with `invalid-argument` where it is no regular file.
   */
  async readFile(image: string, path: string, options: FileOptions = {}): Promise<Blob> {
    return this.#gathered(this.bytesOf('read', image, path, options), 'application/octet-stream');
  }

  /** As {@link readFile}, for files that are large: nothing beyond what is taken is unpacked. */
  streamFile(image: string, path: string, options: FileOptions = {}): ReadableStream<Uint8Array> {
    const chunks = chunksOf(this.bytesOf('read', image, path, options));
    return new ReadableStream(
      {
        async pull(controller) {
          const { done, value } = await chunks.next();
          if (done) controller.close();
          else controller.enqueue(value);
        },
        cancel: async () => void (await chunks.return(undefined)),
      },
      { highWaterMark: 0 },
    );
  }

  /** A tar of an image's files, or of those below a directory, whose name they begin with: as `docker export` and `docker cp`. */
  async exportFiles(image: string, options: FileListOptions = {}): Promise<Blob> {
    return this.#gathered(this.bytesOf('export', image, options.path ?? '', options), 'application/x-tar');
  }

  /** @internal */
  override async join(parts: readonly Part[]): Promise<Part> {
    return wholeOf(new Blob(parts.map(blobPart)));
  }

  async #gathered(batches: AsyncIterable<Part[]>, type: string): Promise<Blob> {
    const gathering = new Gathering();
    for await (const parts of batches) for (const part of parts) gathering.add(blobPart(part));
    return gathering.blob(type);
  }

  /** @internal */
  protected override async shell(): Promise<Shell> {
    return (await loaded(() => import('./registry-browser.js'))).browserShell(client.locations.registryWasmUrl);
  }

  /** @internal */
  protected override async place(): Promise<Place> {
    return (await unpacking()).temporaryPlace();
  }
}

/** Parts as bytes, a MiB at most at a time. */
async function* chunksOf(batches: AsyncIterable<Part[]>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const parts of batches) {
    for (const part of parts) {
      if (part instanceof Uint8Array) {
        yield part;
        continue;
      }
      for (let at = 0; at < part.length; at += CHUNK) {
        const start = part.offset + at;
        const slice = (part.source as Blob).slice(start, start + Math.min(CHUNK, part.length - at));
        const bytes = await slice.arrayBuffer().catch((thrown: unknown) => {
          throw new LongshoreError('source-changed', 'The file has changed since it was opened. Open it again.', {}, { cause: thrown });
        });
        yield new Uint8Array(bytes);
      }
    }
  }
}

const CHUNK = 1 << 20;

let swept = false;

/** What tabs that crashed have left in the browser's storage goes, once, when there is time. */
function sweepOnce(): void {
  if (swept) return;
  swept = true;
  unpacking().then(({ sweep }) => sweep()).catch(() => {});
}

function unpacking(): Promise<typeof import('./unpacking.js')> {
  return loaded(() => import('./unpacking.js'));
}

function blobPart(part: Part): Blob | Uint8Array<ArrayBuffer> {
  if (part instanceof Uint8Array) return part as Uint8Array<ArrayBuffer>;
  return (part.source as Blob).slice(part.offset, part.offset + part.length);
}

async function blobOf(input: unknown, options: CallOptions): Promise<{ blob: Blob; name: string }> {
  if (input instanceof Blob) return { blob: input, name: nameOf(input) };
  if (typeof input === 'string' || input instanceof URL) {
    const url = urlOf(input);
    const blob = await fetchArchive(url, options, (response) => response.blob());
    return { blob, name: nameOfUrl(url) || 'image.tar' };
  }
  if (typeof (input as FileGiver | undefined)?.getFile === 'function') {
    const file = await fileOf(input as FileGiver);
    return { blob: file, name: nameOf(file) };
  }
  throw invalid('openArchive takes a Blob, a File, a handle of a file or a folder, the files of a folder, or a URL');
}

/** The files of a folder by their paths in it; nothing where the input is none. */
async function folderOf(input: unknown, { signal }: CallOptions): Promise<{ name: string; files: Map<string, Blob> } | undefined> {
  const files = new Map<string, Blob>();
  if (Array.isArray(input)) {
    if (!input.every((file) => file instanceof File)) throw invalid('the files of a folder must be Files');
    for (const file of input) files.set(file.webkitRelativePath.replace(/^[^/]*\//, '') || file.name, file);
    return { name: (input[0] as File | undefined)?.webkitRelativePath.split('/')[0] || 'image', files };
  }
  const folder = input as Partial<Folder> | undefined;
  if (folder?.kind !== 'directory') return undefined;
  const walk = async (folder: Folder, path: string): Promise<void> => {
    for await (const [name, handle] of folder.entries()) {
      if (signal?.aborted) throw aborted(signal);
      if (handle.kind === 'directory') await walk(handle as unknown as Folder, `${path}${name}/`);
      else files.set(`${path}${name}`, await fileOf(handle as FileSystemFileHandle));
    }
  };
  await walk(folder as Folder, '').catch((thrown: unknown) => {
    throw unreadable('folder', thrown);
  });
  return { name: folder.name || 'image', files };
}

function nameOf(blob: Blob): string {
  return (blob instanceof File && blob.name) || 'image.tar';
}

function urlOf(input: string | URL, base = globalThis.location?.href): URL {
  try {
    return new URL(input, base);
  } catch {
    throw invalid(`${input} is no URL`);
  }
}

async function fileOf(handle: FileGiver): Promise<File> {
  try {
    const file = await handle.getFile();
    if (file instanceof Blob) return file;
    throw invalid('the handle gives no File');
  } catch (thrown) {
    throw unreadable('file', thrown);
  }
}

function unreadable(what: string, thrown: unknown): LongshoreError {
  if (thrown instanceof LongshoreError) return thrown;
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new LongshoreError('read-failed', `The ${what} cannot be opened: ${reason}.`, { reason }, { cause: thrown });
}
