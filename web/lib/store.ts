/** The image store, as both entries of the package give it: Docker's verbs over whatever keeps rows and blobs. */
import { BaseArchive } from './archive.js';
import { hex, invalid, limitsOf, text, texts } from './checks.js';
import { LiveCatalog } from './catalog.js';
import { Container, type Gathered, type Host } from './container.js';
import type { ContainerRow, CreateOptions, PsOptions, RemovedContainer } from './container-types.js';
import { LongshoreError, aborted, damagedBlob, type ErrorDetail } from './errors.js';
import { Keeper, patiently, type Plan } from './keeper.js';
import { GIVEN_BACK_MS, type Freed, type Keeping } from './keeping.js';
import { inLanes } from './lanes.js';
import { KnownPackings } from './making.js';
import { grouped, measureAll, progress, sum } from './measuring.js';
import type { Pool } from './pool.js';
import type { Backend, EngineChange, Export, KeptBlob, LayerPart, Part } from './protocol.js';
import type { MirrorOptions, MirrorReport, PullOptions, PushOptions, PushReport } from './registry-types.js';
import { Running } from './running.js';
import type {
  Changed,
  Collected,
  DiskUsage,
  ExportOptions,
  HistoryRow,
  ImageRow,
  ListOptions,
  LoadOptions,
  LoadPlan,
  LoadResult,
  PruneOptions,
  Removed,
  RemoveOptions,
  StoreChange,
  StoreReport,
  StoreSaveOptions,
  Tagging,
} from './store-types.js';
import type { CallOptions, ImageInspect, Limits, RenameRule, SaveOptions } from './types.js';

/** How long to wait for space that was freed, where it shows. */
const PATIENCE_MS = 30_000;

/** An archive that a store made or is to take in. */
export interface StoredArchive<S> extends BaseArchive {
  save(options?: SaveOptions<never>): Promise<S>;
}

/** What an archive's `save` gives. */
export interface StoredSave {
  release(): Promise<void>;
}

/** What differs between a browser and Node. `Source` is what a blob is read from. */
export interface Edge<A, Input, Source> {
  backend: Backend;
  pool: Pool;
  keeping: Keeping<Source>;
  /** Opens an archive to be loaded. */
  open(input: Input, options: CallOptions): Promise<A>;
  pull(reference: string, options: PullOptions): Promise<A>;
  /** Makes an archive of documents and blobs, by their paths. */
  assemble(documents: [path: string, bytes: Uint8Array<ArrayBuffer>][], blobs: [path: string, source: Source][]): Promise<A>;
  /** Bytes in order, some of them blobs, as one source. */
  gather(pieces: readonly LayerPart[], sourceOf: (blob: KeptBlob) => Promise<Source>): Promise<Gathered<Source>>;
  /** What somebody gave, as bytes that threads can read. */
  partOf(content: Blob | Uint8Array): Promise<Part>;
}

/**
 * Images that are kept: what `docker load`, `tag`, `rmi`, `images`, `save`, … do, where there is no Docker. Images are
 * named as on Docker's command line; refusals come in Docker's words; results have the lines that Docker prints.
 *
 * Several tabs or processes can use one store at the same time: each change is made whole or not at all, to the store as it
 * is at that moment.
 *
 * Its `change` event, a `CustomEvent` with a `StoreChange` as its detail, tells of every change: in a browser other tabs' too, in
 * Node its own. Its `end` event tells that it was closed because a newer version of the package, in another tab, needs the
 * database.
 */
export class BaseStore<A extends StoredArchive<S>, S extends StoredSave, Input, Source> extends EventTarget {
  readonly #edge: Edge<A, Input, Source>;
  readonly #catalog: LiveCatalog;
  readonly #keeper: Keeper;
  readonly #running = new Running('The store');
  /** What layers came to when they were packed for a registry: the next push packs only what that one does not have. */
  #packings: Promise<KnownPackings> | undefined;
  /** Archives of the images that containers were looked into. */
  readonly #bases = new Set<A>();
  /** What archives are made of. */
  readonly #blobs = new WeakMap<A, readonly KeptBlob[]>();

  /** @internal */
  constructor(edge: Edge<A, Input, Source>) {
    super();
    this.#edge = edge;
    this.#catalog = new LiveCatalog(edge.backend, edge.keeping, (revision) => this.#tell(revision, false));
    this.#keeper = new Keeper(this.#catalog, edge.keeping, edge.pool);
    edge.keeping.listener = {
      changed: (revision) => {
        this.#catalog.forget();
        this.#tell(revision, true);
      },
      ended: () => {
        void this.close();
        this.dispatchEvent(new Event('end'));
      },
      wrong: (digest) => this.#mark([digest]),
    };
  }

  /** `docker images`: fails with `invalid-argument` for filters that Docker does not have, and `no-such-image` for those of `before` and `since`. */
  async images({ all = false, filters = {} }: ListOptions = {}): Promise<ImageRow[]> {
    return this.#catalog.ask('images', [all === true, filtersOf(filters), Date.now()]);
  }

  /** `docker image inspect`. Fails with `no-such-image` or `ambiguous-image`. */
  async inspect(image: string): Promise<ImageInspect> {
    return this.#catalog.ask('inspect', [text(image, 'image')]);
  }

  /** `docker history`, newest first. Fails with `no-such-image` or `ambiguous-image`. */
  async history(image: string): Promise<HistoryRow[]> {
    return this.#catalog.ask('history', [text(image, 'image')]);
  }

  /** `docker system df -v`, as far as it is about images. */
  async df(): Promise<DiskUsage> {
    return this.#catalog.ask('df', []);
  }

  /** What {@link load} would do with an archive. Fails as it does. */
  async plan(input: Input | A, options: LoadOptions = {}): Promise<LoadPlan> {
    const { limits, rules } = checkedLoad(options);
    return this.#running.run(options, (calls) =>
      this.#withArchive(input, calls, (archive) =>
        archive.handOver(rules, { ...calls, limits }, async ({ incoming, containers, blobs: all, refused }) => {
          const { blobs, ...plan } = await this.#catalog.ask('plan', [incoming, containers]);
          const missing = new Set(await this.#edge.keeping.missing(all));
          const room = await this.#edge.keeping.room();
          const bytes = sum(blobs.filter(({ digest }) => missing.has(digest)));
          return { ...plan, refused, bytes, knownBytes: sum(all) - bytes, ...(room !== undefined && { room }) };
        }),
      ),
    );
  }

  /**
   * `docker load`: takes an archive in, as `openArchive` takes it or as it has opened it. Every blob is kept, read again and
   * verified before any image or name of the archive is there; layers that the store has already are not kept twice. All or
   * nothing: where it fails or is stopped, nothing of it stays. What {@link exportAll} made brings its working containers, too: one whose name
   * is taken gets the beginning of its ID for a name. Where there is no room, what was removed goes for good, as by {@link collect}.
   *
   * Fails as `openArchive` does; with `digest-mismatch`, in Docker's words, where a layer is not what the image says;
   * `quota-exceeded`, whose detail has `needed` and, where that is known (Chromium does not tell), `missing` bytes; `no-such-image` where a
   * container comes without its image; `store-failed`, `store-changed` and `aborted`.
   */
  async load(input: Input | A, options: LoadOptions = {}): Promise<LoadResult> {
    return this.#load(input, options);
  }

  /** `pulled` is the name by which a registry was asked for it. */
  async #load(input: Input | A, options: LoadOptions, pulled?: string): Promise<LoadResult> {
    const { limits, rules } = checkedLoad(options);
    this.#edge.keeping.persist();
    return this.#running.run(options, (calls) =>
      this.#withArchive(input, calls, (archive) =>
        archive.handOver(rules, { ...calls, limits }, async (incoming, signal) => {
          const plan = async () => {
            const { revision, result: change } = await this.#catalog.asked('load', [incoming.incoming, incoming.containers, pulled]);
            return { revision, change, blobs: incoming.blobs };
          };
          const { change, bytes } = await this.#keep(plan, limits, { ...calls, signal });
          // What undoing it would take away was not here before.
          const added = (kind: string) => change.inverse.delete.flatMap((key) => (key.startsWith(kind) ? key.slice(kind.length) : []));
          return { lines: change.lines, refused: incoming.refused, images: added('image/'), containers: added('container/'), bytes };
        }),
      ),
    );
  }

  /** What tagging would do beside giving the name; fails as {@link tag} does. */
  async tagging(source: string, target: string): Promise<Tagging> {
    return this.#catalog.ask('tagging', [text(source, 'source'), text(target, 'target')]);
  }

  /** `docker tag`. Fails with `no-such-image`, `ambiguous-image` or `invalid-reference`. */
  async tag(source: string, target: string): Promise<Changed> {
    const { lines } = await this.#catalog.change('tag', [text(source, 'source'), text(target, 'target')]);
    return { lines };
  }

  /**
   * `docker rmi`: what became of each image, in order; where one cannot be removed, that is no failure of the others. What
   * was removed can be undone as long as {@link undoable} counts it.
   */
  async rmi(images: readonly string[], { force = false, noPrune = false }: RemoveOptions = {}): Promise<Removed[]> {
    const { items } = await this.#catalog.change('rmi', [texts(images, 'images'), force === true, noPrune === true]);
    return items;
  }

  /**
   * `docker image prune`: removes images without a name that no other is made from; with `all`, those with a name too. What a
   * container uses stays. Fails with `invalid-argument` for filters that Docker does not have.
   */
  async prune({ all = false, filters = {} }: PruneOptions = {}): Promise<Changed & { reclaimed: number }> {
    const { lines, reclaimed } = await this.#catalog.change('prune', [all === true, filtersOf(filters), Date.now()]);
    return { lines, reclaimed };
  }

  /**
   * Images as an archive, in the form that Docker 25 and later write. What the store does meanwhile changes nothing of it;
   * close it when it is no longer needed.
   *
   * Fails with `no-such-image`, `ambiguous-image`, `no-such-platform`, `damaged-image` where a blob is known to be lost, and `damaged-blob`
   * where that is found out, which also marks the images that need the blob.
   * Only what is read is held against its digest: {@link verify} reads all.
   */
  async open(images: readonly string[], { platforms = [] }: { platforms?: readonly string[] } = {}): Promise<A> {
    const found = await this.#catalog.ask('save', [texts(images, 'images'), texts(platforms, 'platforms')]);
    return this.#assembled(found);
  }

  /**
   * `docker save`: images as a file, in the form that Docker 25 and later write unless the options say otherwise. Release
   * it when it is written. Fails as {@link open} and an archive's `save` do.
   *
   * A blob that turns out to be wrong is `damaged-blob`, too: where layers or the whole are packed, and in Node when the file is
   * written. In a browser, what is not packed is not read before it is downloaded.
   */
  async save(images: readonly string[], { platforms, ...options }: StoreSaveOptions = {}): Promise<S> {
    const archive = await this.open(images, { ...(platforms && { platforms }) });
    return this.#saved(archive, { format: 'docker', ...options } as SaveOptions<never>);
  }

  /** An archive that was made for it, as a file. */
  async #saved(archive: A, options: SaveOptions<never>): Promise<S> {
    try {
      // Of what is packed as a whole, nothing says what it was.
      if (options.gzip) await this.#running.run(options, (calls) => this.#assertWhole(archive, calls));
      const saved = await this.#reading(archive, () => archive.save(options));
      const release = async () => {
        await saved.release();
        await archive.close();
      };
      return { ...saved, release };
    } catch (thrown) {
      await archive.close();
      throw thrown;
    }
  }

  /**
   * All of the store, as one file: the images in the form that Docker 25 and later write, and the working containers beside them, which
   * other tools do not mind. {@link load} takes it in again. An image that is gone but for a container comes along as one without a name.
   *
   * Fails with `invalid-argument` where the store has no image, `damaged-image` and `damaged-blob`, with `limit-exceeded` where hundreds of
   * thousands of files are changed in containers, and as an archive's `save` does.
   */
  async exportAll({ gzip = false, limits = {}, signal, onProgress }: ExportOptions = {}): Promise<S> {
    const archive = await this.#assembled(await this.#catalog.ask('saveAll', []));
    return this.#saved(archive, { gzip, limits, ...(signal && { signal }), ...(onProgress && { onProgress }) });
  }

  /** Every image, by its names or else its ID. */
  async #everything(): Promise<string[]> {
    const rows = await this.images({ all: true });
    return [...new Set(rows.map(({ repository, tag, id }) => (repository && tag ? `${repository}:${tag}` : id)))];
  }

  /** The same as {@link load}, which takes in what {@link exportAll} made. */
  async importAll(input: Input | A, options: LoadOptions = {}): Promise<LoadResult> {
    return this.load(input, options);
  }

  /**
   * `docker push`: an image, under its own name unless the options say otherwise. Fails with `no-such-image`,
   * `ambiguous-image` and `damaged-blob`, and as an archive's `push` does.
   */
  async push(image: string, options: PushOptions = {}): Promise<PushReport> {
    return this.#running.run(options, async (calls) => {
      const archive = await this.open([text(image, 'image')]);
      try {
        return await this.#remembering(() => this.#reading(archive, () => archive.push(image, calls)));
      } finally {
        await archive.close();
      }
    });
  }

  /**
   * Pushes images (all, unless the options say otherwise) under names of another registry. Those without a name, and those that
   * are asked for by ID, have no name to be pushed under: they are skipped. Fails as {@link open} and an archive's `mirror` do.
   */
  async mirror(options: MirrorOptions): Promise<MirrorReport> {
    if (typeof options !== 'object' || options === null) throw invalid('the options must be an object');
    const { images, ...others } = options;
    return this.#running.run(others, async (calls) => {
      const archive = await this.open(images ?? (await this.#everything()));
      try {
        const report = await this.#remembering(() => archive.mirror(calls));
        if (report.failed.some(isDoubtful)) await this.#assertWhole(archive, calls).catch(() => {});
        return report;
      } finally {
        await archive.close();
      }
    });
  }

  /**
   * `docker pull`: takes in what a registry has under a name, which it gets here too, with the digest that it has there
   * (`app@sha256:…`); asked for by its digest, that alone. Nothing of it is there before all of it is verified, diff IDs too. Fails
   * as `pull` and {@link load} do.
   */
  async pull(reference: string, options: PullOptions = {}): Promise<LoadResult> {
    const limits = limitsOf(options.limits);
    return this.#running.run(options, async (calls) => {
      const archive = await this.#edge.pull(text(reference, 'reference'), calls);
      try {
        const { signal, onProgress } = calls;
        return await this.#load(archive, { limits, signal, ...(onProgress && { onProgress }) }, reference);
      } finally {
        await archive.close();
      }
    });
  }

  /**
   * Reads every blob. Images and containers that need one that is lost or wrong are marked until it is here again: until an archive
   * that has it is loaded, or, of a file that was written in a container, until it is written again.
   * Fails with `store-failed` where one cannot be read just now, which says nothing of it, and `aborted`.
   */
  async verify(options: CallOptions = {}): Promise<StoreReport> {
    return this.#running.run(options, async (calls) => {
      const blobs = await this.#catalog.ask('blobs', []);
      const damaged = await this.#mark(await this.#check(blobs, calls), blobs);
      const marked = (rows: readonly { id: string; damaged?: boolean }[]) => [...new Set(rows.flatMap(({ id, damaged }) => (damaged ? [id] : [])))];
      const images = marked(await this.images({ all: true }));
      const containers = marked(await this.ps({ all: true }));
      return { verdict: damaged.length > 0 ? 'damaged' : 'intact', damaged, images, containers, blobs: blobs.length, bytes: sum(blobs) };
    });
  }

  /**
   * `docker create`: a working container of an image. Fails with `no-such-image`, `ambiguous-image`, `name-in-use`, or
   * `invalid-argument` for a name that Docker refuses.
   */
  async create(image: string, { name }: CreateOptions = {}): Promise<Container<A, Source>> {
    const id = hex(crypto.getRandomValues(new Uint8Array(32)));
    const created = new Date().toISOString();
    await this.#catalog.change('create', [text(image, 'image'), id, name === undefined ? id.slice(0, 12) : text(name, 'name'), created]);
    return this.container(id);
  }

  /** A working container, by its name, its ID or the beginning of that. Fails with `no-such-container` or `ambiguous-container`. */
  async container(container: string): Promise<Container<A, Source>> {
    return new Container(this.#host, await this.#catalog.ask('container', [text(container, 'container')]));
  }

  /** `docker ps`. Fails with `invalid-argument` for filters that Docker does not have. */
  async ps({ all = false, filters = {} }: PsOptions = {}): Promise<ContainerRow[]> {
    return this.#catalog.ask('ps', [all === true, filtersOf(filters)]);
  }

  /** `docker rm`: what became of each container, in order; where one cannot be removed, that is no failure of the others. */
  async rm(containers: readonly string[]): Promise<RemovedContainer[]> {
    const { items } = await this.#catalog.change('removeContainers', [texts(containers, 'containers')]);
    return items;
  }

  /**
   * How many of this store's last changes, 100 at most, {@link undo} can take back: none after {@link collect} or a change by others.
   * In Node the latter shows only where `undo` fails.
   */
  get undoable(): number {
    return this.#catalog.undoable;
  }

  /** Takes the last change back. Fails with `store-changed` where it cannot be any more; does nothing where there is none. */
  async undo(): Promise<void> {
    await this.#catalog.undo();
  }

  /**
   * Frees the space of what was removed; then it can no longer be undone. In a browser it waits for loads that
   * run; in Node, and where there are no Web Locks, a load whose blobs it takes keeps them once more.
   */
  async collect(): Promise<Collected> {
    const { blobs = 0, bytes = 0 } = (await this.#collect(false)) ?? {};
    return { blobs, bytes };
  }

  /** Lets go of the store. Loads that run are stopped and fail with `closed`, as do calls that follow. */
  async close(): Promise<void> {
    if (this.#running.isClosed) return;
    this.#running.close();
    // What a load has kept goes before the store does.
    await this.#running.ended();
    for (const archive of this.#bases) await archive.close();
    await this.#catalog.shut();
  }

  /** @internal What tabs or processes left that are no more goes, where nobody else has the store open. */
  async tidy(): Promise<void> {
    await this.#collect(true);
  }

  async #withArchive<T>(input: Input | A, options: CallOptions, use: (archive: A) => Promise<T>): Promise<T> {
    if (input instanceof BaseArchive) return use(input as A);
    const archive = await this.#edge.open(input as Input, options);
    try {
      return await use(archive);
    } finally {
      await archive.close();
    }
  }

  /** What containers do with the store. */
  readonly #host: Host<A, Source> = {
    asked: (verb, args) => this.#catalog.asked(verb, args),
    change: (verb, args) => this.#catalog.change(verb, args),
    measure: (jobs, calls) => measureAll(this.#edge.pool, jobs, {}, calls),
    keep: async (plan, calls) => (await this.#keep(plan, {}, calls)).change,
    base: async (container) => {
      const archive = await this.#assembled(await this.#catalog.ask('view', [container, undefined, undefined]));
      this.#bases.add(archive);
      return archive;
    },
    assemble: async (container, layer) => this.#assembled(await this.#catalog.ask('view', [container, layer.blob.digest, layer.blob.size]), layer),
    gather: (pieces) => this.#edge.gather(pieces, (blob) => this.#source(blob)),
    partOf: (content) => this.#edge.partOf(content),
    whileOpen: (options, work) => this.#running.run(options, work),
  };

  /** The archive that an export is; `layer` is a blob of it that the store does not have. */
  async #assembled({ documents, blobs }: Export, layer?: { blob: KeptBlob; source: Source }): Promise<A> {
    const own = blobs.filter(({ digest }) => digest !== layer?.blob.digest);
    const sources: [string, Source][] = [];
    try {
      for (const { path, ...blob } of own) sources.push([path, await this.#source(blob)]);
    } catch (thrown) {
      for (const [, source] of sources) this.#edge.keeping.release(source);
      throw thrown;
    }
    if (layer) sources.push([`blobs/${layer.blob.digest.replace(':', '/')}`, layer.source]);
    const encoder = new TextEncoder();
    const assemble = () => this.#edge.assemble(documents.map(([path, content]) => [path, encoder.encode(content)]), sources);
    const archive = await this.#reading(own, assemble);
    this.#blobs.set(archive, own);
    this.#packings ??= this.#edge.keeping.noted().then((value) => new KnownPackings(value), () => new KnownPackings());
    archive.share(await this.#packings);
    return archive;
  }

  /** Runs a push. What layers came to then is remembered, where it can be: without it they are packed again. */
  async #remembering<T>(push: () => Promise<T>): Promise<T> {
    try {
      return await push();
    } finally {
      const news = (await this.#packings)?.news();
      if (news) await this.#edge.keeping.note(news).catch(() => {});
    }
  }

  /** Asks for a blob's bytes. */
  async #source(blob: KeptBlob): Promise<Source> {
    return this.#marking(() => this.#edge.keeping.source(blob));
  }

  /** Does what a blob may fail that is lost: what needs it is marked then. */
  async #marking<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof LongshoreError && thrown.code === 'damaged-blob') await this.#mark([String(thrown.detail.digest)]);
      throw thrown;
    }
  }

  /** Reads blobs; gives the digests of those that are lost or wrong. */
  async #check(blobs: readonly KeptBlob[], calls: CallOptions): Promise<string[]> {
    const { keeping, pool } = this.#edge;
    const damaged: string[] = [];
    const report = progress(calls, 'verify', sum(blobs));
    const of = keeping.shelf(keeping.attempt(), 0);
    await inLanes(pool.size, grouped(blobs), calls.signal, async (group, signal) => {
      const run = () => pool.run('check', { blobs: group, of }, { signal, onDone: (done) => report(group, done) });
      damaged.push(...(await patiently(signal, run)));
      report(group, sum(group));
    });
    return damaged;
  }

  /** Fails with `damaged-blob`, and marks what needs it, where an archive's blob is lost or wrong. */
  async #assertWhole(of: A | readonly KeptBlob[], calls: CallOptions, cause?: unknown): Promise<void> {
    const [damaged] = await this.#mark(await this.#check(of instanceof BaseArchive ? (this.#blobs.get(of) ?? []) : of, calls));
    if (damaged !== undefined) throw damagedBlob(damaged, cause);
  }

  /** Does what reads an archive's blobs. Where it comes upon something that may be wrong with them, they are all read. */
  async #reading<T>(of: A | readonly KeptBlob[], work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (thrown) {
      if (thrown instanceof LongshoreError && isDoubtful(thrown)) await this.#assertWhole(of, {}, thrown);
      throw thrown;
    }
  }

  /**
   * Removes blobs that are lost or wrong and marks what needs them, where that can be written: that they are lost is so anyway. Of
   * the others that were read with them the marks go. Gives the digests of those that are still lost.
   */
  async #mark(digests: readonly string[], read: readonly KeptBlob[] = []): Promise<string[]> {
    // Some may have come again since they were read. What goes is what was lost a moment ago.
    const lost = new Set(await this.#check(digests.map((digest) => ({ digest, size: 0 })), {}));
    const right = read.flatMap(({ digest }) => (lost.has(digest) ? [] : digest));
    if (lost.size === 0 && right.length === 0) return [];
    try {
      await this.#edge.keeping.forget([...lost]);
      const { put } = await this.#catalog.change('damage', [[...lost], right]);
      // Where not all that is needed was read, what undoing would bring back may need what is lost, though nothing does now.
      if (put.length === 0 && read.length > 0) return [...lost];
    } catch (thrown) {
      if (!(thrown instanceof LongshoreError && thrown.code === 'store-failed')) throw thrown;
    }
    this.#catalog.forget();
    return [...lost];
  }

  /** Keeps blobs and makes the change that needs them. Where there is no room, what was removed goes for good, and it begins again. */
  async #keep<T extends EngineChange>(plan: () => Promise<Plan<T>>, limits: Limits, calls: CallOptions): Promise<{ change: T; bytes: number }> {
    const { keeping } = this.#edge;
    const { signal = new AbortController().signal } = calls;
    const keep = () => this.#marking(() => keeping.whileLoading(signal, () => this.#keeper.keep(plan, limits, calls)));
    try {
      return await keep();
    } catch (thrown) {
      if (!(thrown instanceof LongshoreError) || thrown.code !== 'quota-exceeded') throw thrown;
      const usage = await keeping.usage();
      const { bytes = 0, pieces = 0 } = (await this.#collect(false, signal)) ?? {};
      if (bytes + pieces === 0) throw thrown;
      // Nobody knows how much space pieces took.
      for (const late = performance.now() + (pieces > 0 ? GIVEN_BACK_MS : PATIENCE_MS); performance.now() < late && !signal.aborted; ) {
        if (usage === undefined || (pieces === 0 && ((await keeping.usage()) ?? 0) <= usage - bytes)) break;
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      if (signal.aborted) throw aborted(signal);
      return keep();
    }
  }

  async #collect(idle: boolean, signal?: AbortSignal): Promise<Freed | undefined> {
    return this.#edge.keeping.whileNobodyLoads(idle, () => this.#keeper.sweep(), signal);
  }

  #tell(revision: number, elsewhere: boolean): void {
    this.dispatchEvent(new CustomEvent<StoreChange>('change', { detail: { revision, elsewhere } }));
  }
}

/** Whether a failure may come of a blob that is wrong. */
function isDoubtful({ code, detail }: { code: string; detail?: ErrorDetail }): boolean {
  return DOUBTFUL.includes(code) || detail?.['registryCode'] === 'DIGEST_INVALID';
}

const DOUBTFUL = ['digest-mismatch', 'invalid-compression', 'invalid-config', 'invalid-json', 'invalid-manifest', 'read-failed', 'source-changed', 'truncated'];

function checkedLoad({ limits, rename = [] }: LoadOptions): { limits: Limits; rules: RenameRule[] } {
  if (!Array.isArray(rename)) throw invalid('rename must be an array of { from, to }');
  return { limits: limitsOf(limits), rules: rename.map((rule) => ({ from: text(rule?.from, 'from'), to: text(rule?.to, 'to') })) };
}

function filtersOf(filters: NonNullable<ListOptions['filters']>): string[] {
  if (typeof filters !== 'object' || filters === null) throw invalid('filters must be an object');
  return Object.entries(filters).flatMap(([name, values]) => texts(values, 'filters').flatMap((value) => [name, value]));
}
