/** An open archive, as both entries of the package give it. */
import { invalid, limitsOf, newHandle, text, texts } from './checks.js';
import { aborted } from './errors.js';
import type {
  CompareOptions,
  Comparison,
  Efficiency,
  FileDifference,
  FileEntry,
  FileListOptions,
  FileMatch,
  FileOptions,
  FilePage,
  FileQuery,
  FolderOptions,
  LayerChange,
  RewritePlan,
  SquashOptions,
} from './file-types.js';
import { contents, count, described, layerOf, listed, results, searching, type NumberedBytes, type Run } from './files.js';
import { together, type Beside } from './lanes.js';
import { PackedLayers, Places, assertListed, findOut, gzipped, type Known, type KnownPackings, type Place } from './making.js';
import { measureAll } from './measuring.js';
import type { Outer } from './packed.js';
import type { Pool } from './pool.js';
import type { ContainerOperations, FileTask, Numbered } from './protocol-files.js';
import type { Backend, Edited, Incoming, LayersMade, Operation, Operations, Part } from './protocol.js';
import type { Shell } from './registry-exchange.js';
import type { PackedBlob, Port, Shipping } from './registry-push.js';
import type { MirrorOptions, MirrorReport, PushOptions, PushReport } from './registry-types.js';
import type * as Rewriting from './rewriting.js';
import type { HowFor } from './rewriting.js';
import { loaded } from './modules.js';
import { Running, attended } from './running.js';
import type {
  ArchiveView,
  CallOptions,
  Compatibility,
  ConfigChanges,
  Finding,
  Format,
  Image,
  ImageInspect,
  LayerPacking,
  Limits,
  NameChange,
  Other,
  Packing,
  RenameRule,
  RepairKind,
  RepairProposal,
  SaveOptions,
  UnpackOptions,
  VerifyReport,
  WriteFormat,
} from './types.js';

/** What is to be done to layers, by what knows how. */
type Which = (rewriting: typeof Rewriting) => HowFor;

/** What a file is written from. */
export interface Made {
  parts: Part[];
  /** Names that the format has no place for. */
  leftOut: string[];
  /** Lets go of what had to be made for it. */
  release(): Promise<void>;
}

/**
 * An open archive. Its properties are what it is now, after all edits; nothing is written before it is saved, and the
 * file that it was opened from never changes.
 *
 * Images are named as on Docker's command line: by name (`nginx`, `nginx:1.25`, `registry.local/team/app:2`; `latest`
 * where there is no tag), by ID, or by the beginning of an ID.
 */
export abstract class BaseArchive {
  /** The file's name, without the extension of what it was compressed with; `image.tar` where it has none. */
  readonly name: string;
  readonly #backend: Backend;
  readonly #pool: Pool;
  readonly #handle: number;
  readonly #outer: Outer;
  /** Long work that closing stops, each with its end. */
  readonly #running = new Running('The archive');
  /** Lets go of what was made for files that may still be written. */
  readonly #releases = new Set<() => Promise<void>>();
  /** What was packed for a registry: the next one, or the next push, wants the same. */
  #packed = new PackedLayers();
  #isKept = false;
  #view: ArchiveView;

  /** @internal */
  constructor(backend: Backend, pool: Pool, handle: number, view: ArchiveView, name: string, outer: Outer) {
    this.#backend = backend;
    this.#outer = outer;
    this.#pool = pool;
    this.#handle = handle;
    this.#view = view;
    this.name = name;
  }

  /** What kind of archive it is. */
  get format(): Format {
    return this.#view.format;
  }

  /** How the file was compressed, from outside in. What is saved is not compressed, unless that is asked for. */
  get packing(): readonly Packing[] {
    return this.#outer.packing;
  }

  /** The images, in the order of `manifest.json`; then those that only `index.json` lists. */
  get images(): readonly Image[] {
    return this.#view.images;
  }

  /** What its index lists beside the images: attestations, signatures, artefacts, images of which it has nothing. */
  get others(): readonly Other[] {
    return this.#view.others;
  }

  /** What is odd about it. */
  get findings(): readonly Finding[] {
    const outer = this.#outer.findings;
    return outer.length === 0 ? this.#view.findings : [...outer, ...this.#view.findings];
  }

  /** Bytes that it takes when it is saved. */
  get size(): number {
    return this.#view.size;
  }

  /** How many edits {@link undo} can take back. */
  get undoable(): number {
    return this.#view.undoable;
  }

  /** How many edits {@link redo} can bring again. */
  get redoable(): number {
    return this.#view.redoable;
  }

  /** What was read from the file so far. */
  get reads(): { readonly count: number; readonly bytes: number } {
    return this.#view.reads;
  }

  /**
   * Gives an image one more name, as `docker tag SOURCE TARGET` does. A target that another image has moves, which the
   * changes say.
   *
   * Fails with `no-such-image` or `ambiguous-image` for the source, `invalid-reference` for a target that Docker
   * refuses, `duplicate-reference` where the image has that name already, and `index-mismatch`.
   */
  async tag(source: string, target: string): Promise<NameChange[]> {
    return this.#edited(await this.run('tag', { source: text(source, 'source'), target: text(target, 'target') }));
  }

  /**
   * Takes a name away. The image stays, without a name if it was the last: an archive is not an image store. But in Docker 1.9's
   * format one that another is built on is a layer of that only, then.
   *
   * Fails with `no-such-image` where no image has the name, and `invalid-reference` where it is none.
   */
  async untag(reference: string): Promise<NameChange[]> {
    return this.#edited(await this.run('untag', { reference: text(reference, 'reference') }));
  }

  /**
   * Renames all names that a rule fits; the first such rule counts for each name. `from` is a registry (`docker.io`),
   * the beginning of a repository (`docker.io/library`, `team`), a repository (`nginx`), a whole name (`nginx:1.25`), or
   * empty: then `to` comes before every repository in place of its registry. All or nothing.
   *
   * Fails with `invalid-reference` where a new name would be none, and `duplicate-reference` where two images would get
   * the same.
   */
  async rename(rules: readonly RenameRule[]): Promise<NameChange[]> {
    if (!Array.isArray(rules)) throw invalid('rules must be an array of { from, to }');
    const checked = rules.map((rule) => ({ from: text(rule?.from, 'from'), to: text(rule?.to, 'to') }));
    return this.#edited(await this.run('rename', { rules: checked }));
  }

  /**
   * Takes an image out, with all its names and whatever only it needs, as one edit. A name means the images for all its
   * platforms.
   *
   * Fails with `no-such-image` or `ambiguous-image`, and with `invalid-argument` where nothing would be left, or where an
   * index goes on listing the image beside those for other platforms: {@link save} can leave these out.
   */
  async remove(image: string): Promise<void> {
    this.#view = await this.run('remove', { image: text(image, 'image') });
  }

  /**
   * Changes an image's config, as `docker commit --change` does but without a container, as one edit; gives the ID that the
   * image has then (or the IDs: a name means the images for all its platforms, an ID one of them). Its names move to that,
   * layers stay where they are, and nothing of the old config stays in the archive. The history gets one step that says what
   * changed.
   *
   * Fails with `no-such-image` or `ambiguous-image`, and with `invalid-argument` for what Docker refuses, where nothing would
   * change, and for an archive in the format of Docker 1.9.
   */
  async edit(image: string, changes: ConfigChanges): Promise<string[]> {
    if (typeof changes !== 'object' || changes === null) throw invalid('the changes must be an object');
    const args = { image: text(image, 'image'), changes: JSON.stringify(changes) };
    const { ids, view } = await this.run('reconfigure', args);
    this.#view = view;
    return ids;
  }

  /**
   * Merges the top layers of an image into one, or all of them, as one edit; gives the ID that the image has then (or the IDs,
   * as {@link edit} does). What a container sees stays the same; what later layers replaced or deleted is gone. The history
   * keeps its steps. {@link planSquash} says before what would change.
   *
   * Fails with `no-such-image` or `ambiguous-image`, with `invalid-argument` where these are not two layers or more and for an
   * archive in the format of Docker 1.9, as {@link files} does, with `write-failed`, `closed`, and `aborted`.
   */
  async squash(image: string, options: SquashOptions = {}): Promise<string[]> {
    return this.#rewrite(image, ({ squashing }) => squashing(options), options);
  }

  /** What {@link squash} would do: for each image that is meant. Fails as that does. */
  async planSquash(image: string, options: SquashOptions = {}): Promise<RewritePlan[]> {
    return this.#plan(image, ({ squashing }) => squashing(options), options);
  }

  /**
   * Takes files out of every layer of an image, so that no byte of theirs is left there, as one edit; gives the ID that the image
   * has then (or the IDs, as {@link edit} does). A directory goes with all that is in it, a file with its other names. The
   * history stays, and so does a layer of which nothing is left. {@link planDrop} says before what would change, and which other
   * images of the archive go on having the layers.
   *
   * Fails as {@link squash} does, and with `no-such-file` where no layer of any image that is meant has anything at a path.
   */
  async drop(image: string, paths: readonly string[], options: UnpackOptions = {}): Promise<string[]> {
    return this.#rewrite(image, ({ dropping }) => dropping(paths), options);
  }

  /** What {@link drop} would do: for each image that is meant. Fails as that does. */
  async planDrop(image: string, paths: readonly string[], options: UnpackOptions = {}): Promise<RewritePlan[]> {
    return this.#plan(image, ({ dropping }) => dropping(paths), options);
  }

  async #plan(name: string, which: Which, options: UnpackOptions): Promise<RewritePlan[]> {
    const rewriting = await loaded(() => import('./rewriting.js'));
    const plans = await this.#planned(name, rewriting, which(rewriting), options);
    const meant = new Set(plans.map(([{ id }]) => id));
    const others = this.images.filter(({ id }) => !meant.has(id));
    return plans.map(([image, plan]) => rewriting.described(image, plan, others));
  }

  async #planned(name: string, { planned }: typeof Rewriting, how: HowFor, options: UnpackOptions): Promise<[Image, LayersMade][]> {
    const limits = limitsOf(options.limits);
    const ids = new Set(await this.run('choose', { image: text(name, 'image') }));
    // An archive may have one image twice.
    const images = this.images.filter(({ id }) => ids.delete(id));
    if (images.length === 0) throw this.#running.closed();
    return planned(this.#files, this.#handle, images, how, limits, options);
  }

  async #rewrite(name: string, which: Which, options: UnpackOptions): Promise<string[]> {
    const limits = limitsOf(options.limits);
    const rewriting = await loaded(() => import('./rewriting.js'));
    const how = which(rewriting);
    return this.#running.run(options, async (calls) => {
      const { signal } = calls;
      const places = new Places(() => this.place());
      const release = () => places.release();
      try {
        const plans = (await this.#planned(name, rewriting, how, calls)).map(([{ id }, plan]) => [id, plan] as const);
        const images = await rewriting.made(this.#pool, plans, limits, places.next, calls);
        if (signal.aborted) throw aborted(signal);
        const { ids, view } = await this.run('relayer', { images });
        this.#view = view;
        // Every later state may be made of them, and undone edits may be done again.
        this.#releases.add(release);
        return ids;
      } catch (thrown) {
        await release();
        throw thrown;
      }
    });
  }

  /** Takes back the last edit; does nothing where there is none. */
  async undo(): Promise<void> {
    this.#view = await this.run('undo', {});
  }

  /** Does the last undone edit again; does nothing where there is none. */
  async redo(): Promise<void> {
    this.#view = await this.run('redo', {});
  }

  /** What `docker image inspect` prints for an image. Fails with `no-such-image` or `ambiguous-image`. */
  async inspect(image: string): Promise<ImageInspect> {
    return this.run('inspect', { image: text(image, 'image') });
  }

  /**
   * Checks every digest of the archive as it is now: each image's config, manifest and layers, packed and unpacked. Reads
   * all of it, on all processors; edits meanwhile change nothing of what is checked. What is wrong with the archive is in
   * the report: it is no failure.
   *
   * Fails with `source-changed` or `read-failed` where the file cannot be read, `closed` where the archive is closed
   * meanwhile, and `aborted`.
   */
  async verify(options: UnpackOptions = {}): Promise<VerifyReport> {
    const limits = limitsOf(options.limits);
    return this.#running.run(options, async (calls) => {
      const examination = newHandle();
      try {
        const jobs = await this.run('jobs', { examination });
        const found = await measureAll(this.#pool, jobs, limits, calls);
        const report = await this.#backend.call('report', { examination, found }, { signal: calls.signal });
        return { ...report, findings: [...this.#outer.findings, ...report.findings] };
      } finally {
        this.#backend.call('forget', { examination }).catch(() => {});
      }
    });
  }

  /**
   * What each of the readers at the other end would do with the archive, if it were saved as it is now and packed as it
   * came. What layers hold is only known after {@link verify}, until the next edit: before, they are taken to be what their
   * digests say, and to hold nothing that a reader refuses.
   */
  async compatibility(): Promise<Compatibility[]> {
    const { packing, findings } = this.#outer;
    // There are no findings but of bytes that follow.
    return this.run('compatibility', { packing: [...packing], trailing: findings.length > 0 });
  }

  /** The repairs that the archive can have, and what each would change. */
  async repairs(): Promise<RepairProposal[]> {
    return this.run('repairs', {});
  }

  /**
   * Makes repairs, as one edit. Fails with `invalid-argument` for one that {@link repairs} does not list, and
   * `index-mismatch` where `index.json` cannot be made.
   */
  async repair(repairs: readonly RepairKind[]): Promise<void> {
    if (!Array.isArray(repairs)) throw invalid('repairs must be an array');
    const known: RepairKind[] = ['repositories', 'index', 'manifest', 'layout', 'orphans'];
    for (const one of repairs) if (!known.includes(one)) throw invalid(`${String(one)} is no repair`);
    this.#view = await this.run('repair', { repairs: [...repairs] });
  }

  /**
   * The files of an image, or below a directory of it, each directory before what is in it, names sorted by their bytes:
   * the file system that its layers come to. Layers are read once, when a call first needs them.
   *
   * Fails with `no-such-image`, `ambiguous-image`, `no-such-file`, `not-a-directory`, `invalid-argument` for a layer that the image does
   * not have or that is encrypted, `missing-entry` where the archive lacks a layer, `invalid-tar`, `truncated`,
   * `invalid-compression` or `limit-exceeded` where one is damaged, and `aborted`; so do all calls about files.
   */
  async *files(image: string, options: FileListOptions = {}): AsyncGenerator<FileEntry, void, undefined> {
    const { layer, path = '', limits } = options;
    const root = { image: text(image, 'image'), layer: layerOf(layer) };
    yield* listed(this.#files, this.#handle, root, text(path, 'path'), limitsOf(limits), options);
  }

  /** What is in one directory, sorted, a page at a time: for views that open one directory after the other. */
  async folder(image: string, path: string, options: FolderOptions = {}): Promise<FilePage> {
    const { layer, from, limit, limits } = options;
    const work: FileTask = {
      image: text(image, 'image'),
      layer: layerOf(layer),
      kind: 'list',
      path: text(path, 'path'),
      recursive: false,
      from: from === undefined ? undefined : count(from, 'from'),
      limit: limit === undefined ? undefined : count(limit, 'limit'),
    };
    for await (const { items, next } of results(this.#files, this.#handle, work, limitsOf(limits), options)) {
      return { entries: items as FileEntry[], ...(next !== undefined && { next }) };
    }
    return { entries: [] };
  }

  /** What one layer adds, changes and deletes, in its order; `layer` is an index into the image's layers. */
  async *layerChanges(image: string, layer: number, options: UnpackOptions = {}): AsyncGenerator<LayerChange, void, undefined> {
    const work: FileTask = { image: text(image, 'image'), layer: count(layer, 'layer'), kind: 'changes' };
    for await (const { items } of results(this.#files, this.#handle, work, limitsOf(options.limits), options)) yield* items as LayerChange[];
  }

  /** How much of what an image's layers hold later layers replace or delete. */
  async efficiency(image: string, options: UnpackOptions = {}): Promise<Efficiency> {
    const work: FileTask = { image: text(image, 'image'), layer: undefined, kind: 'efficiency' };
    for await (const { items } of results(this.#files, this.#handle, work, limitsOf(options.limits), options)) {
      return (items as Efficiency[])[0] as Efficiency;
    }
    throw this.#running.closed();
  }

  /**
   * Looks for files by name and by content; gives them as they are found: by the order of their paths, and where contents
   * are looked for by the order of the layers. Fails with `invalid-argument` for a pattern that makes no sense, or
   * where that or what is looked for has more than 4096 bytes.
   */
  async *search(image: string, query: FileQuery): AsyncGenerator<FileMatch, void, undefined> {
    const work = searching(text(image, 'image'), query);
    for await (const { items } of results(this.#files, this.#handle, work, limitsOf(query.limits), query)) yield* items as FileMatch[];
  }

  /**
   * Compares an image with one of another archive, or of this one: files, config and layers. Contents are compared byte by
   * byte, but for those that stand at the same place. With `layer` and `otherLayer`, the file systems are those that these
   * layers leave, which may be two of one image.
   */
  async compare(image: string, other: BaseArchive, otherImage: string, options: CompareOptions = {}): Promise<Comparison> {
    if (!(other instanceof BaseArchive)) throw invalid('other must be an archive');
    if (other.#running.isClosed) throw other.#running.closed();
    // Closing the other one, too, waits for what reads from it.
    return other.#running.run(options, async (calls) => {
      const images = [text(image, 'image'), text(otherImage, 'otherImage')] as const;
      const [layer, otherLayer] = [layerOf(options.layer), layerOf(options.otherLayer)];
      const work: FileTask = { image: images[0], layer, kind: 'compare', other: other.#handle, otherImage: images[1], otherLayer };
      const files: FileDifference[] = [];
      for await (const { items } of results(this.#files, this.#handle, work, limitsOf(options.limits), calls)) {
        files.push(...(items as FileDifference[]));
      }
      const [before, after] = await Promise.all([this.#image(images[0]), other.#image(images[1])]);
      return described(before, after, files);
    });
  }

  /** The image that is meant. */
  async #image(name: string): Promise<Image> {
    const { Id } = await this.inspect(name);
    const image = this.images.find(({ id }) => id === Id);
    if (!image) throw this.#running.closed();
    return image;
  }

  /** @internal The bytes of a file, or of a tar of files, part by part. */
  protected async *bytesOf(kind: 'read' | 'export', image: string, path: string, options: FileOptions): AsyncGenerator<Part[], void, undefined> {
    const work: FileTask = { image: text(image, 'image'), layer: layerOf(options.layer), kind, path: text(path, 'path') };
    for await (const { parts } of results(this.#files, this.#handle, work, limitsOf(options.limits), options)) yield parts;
  }

  /** Operations on files read from the archive's file: closing waits for them. */
  readonly #files: Run = (op, args, options) => {
    if (op === 'fileEnd') return this.#backend.call(op, args as Operations[typeof op]['args']);
    return this.#running.run(options, (calls) => this.#backend.call(op, args as Operations[typeof op]['args'], calls));
  };

  /** @internal Takes over what is known of layers that another archive out of the same store has too. */
  async shareIndexes(of: BaseArchive): Promise<void> {
    await this.onFiles('shareIndexes', { of: of.#handle }, {});
  }

  /** @internal What a container does with the archive of its image. */
  onFiles<Op extends keyof ContainerOperations>(
    op: Op,
    args: Omit<ContainerOperations[Op]['args'], 'handle' | 'limits'>,
    options: CallOptions,
  ): Promise<ContainerOperations[Op]['result']> {
    const whole = { handle: this.#handle, limits: {}, ...args } as unknown as Operations[Op]['args'];
    return this.#running.run(options, (calls) => this.#backend.call(op, whole, calls));
  }

  /** @internal What regular files hold, in some order; good as long as the archive is open. */
  contentsOf(place: Numbered, numbers: readonly number[], options: CallOptions): AsyncGenerator<NumberedBytes, void, undefined> {
    return contents(this.#files, this.#handle, place, numbers, (parts) => this.join(parts), options);
  }

  /** @internal Parts as one, which needs the archive no more. */
  abstract join(parts: readonly Part[]): Promise<Part>;

  /** @internal The parts of the archive that is asked for. */
  protected async make(options: SaveOptions<BaseArchive>): Promise<Made> {
    const limits = limitsOf(options.limits);
    const wanted = checked(options);
    return this.#running.run(options, async (calls) => {
      const { signal } = calls;
      const [layers, whole] = [new Places(() => this.place()), new Places(() => this.place())];
      const release = async () => {
        this.#releases.delete(release);
        await layers.release();
        await whole.release();
      };
      try {
        const same = async () => ({ parts: await this.run('parts', {}), leftOut: [] });
        let { parts, leftOut } = wanted.isSame ? await same() : await this.#write(wanted, limits, layers.next, calls);
        if (options.gzip) {
          parts = await gzipped(this.#pool, parts, await whole.next(), calls);
          await layers.release();
        }
        if (signal.aborted) throw aborted(signal);
        this.#releases.add(release);
        return { parts, leftOut, release };
      } catch (thrown) {
        await release();
        throw thrown;
      }
    });
  }

  /**
   * @internal Gives a store what it would take in, with names changed by the rules; its bytes stay until `use` is through.
   */
  async handOver<T>(
    rules: RenameRule[],
    { limits = {}, ...options }: UnpackOptions,
    use: (incoming: Incoming, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    return this.#running.run(options, async (calls) => {
      const places = new Places(() => this.place());
      const wanted = { ...checked({}), format: 'store' as const };
      try {
        return await use(
          await this.#written(wanted, limits, places.next, calls, (writing, known) =>
            this.#backend.call('incoming', { archive: this.#handle, writing, rules, ...known }),
          ),
          calls.signal,
        );
      } finally {
        await places.release();
      }
    });
  }

  /** @internal A place for new bytes. */
  protected abstract place(): Promise<Place>;

  #write(wanted: Wanted, limits: Limits, place: () => Promise<Place>, options: UnpackOptions): Promise<Operations['made']['result']> {
    return this.#written(wanted, limits, place, options, (writing, known) => this.#backend.call('made', { writing, ...known }));
  }

  /** Finds out what has to be known before the archive that is wanted can be made, and has it made. */
  async #written<T>(
    wanted: Wanted,
    limits: Limits,
    place: () => Promise<Place>,
    options: UnpackOptions,
    make: (writing: number, known: Known) => Promise<T>,
  ): Promise<T> {
    const { format, images, platforms, layers: packing, add } = wanted;
    const writing = newHandle();
    try {
      const chosen = [this, ...add].map((archive, index) => {
        if (archive.#running.isClosed) throw archive.#running.closed();
        return { handle: archive.#handle, images: index === 0 ? images : [] };
      });
      const needs = await this.run('write', { writing, chosen, platforms, format, packing });
      const known = await findOut(this.#pool, needs, limits, place, options);
      // What was once right: elsewhere, who packs a damaged layer gets what there is.
      if (this.#isKept) for (const { archive, content } of known.repacked) if (archive === 0) assertListed(this.images, content);
      return await make(writing, known);
    } finally {
      this.#backend.call('drop', { writing }).catch(() => {});
    }
  }

  /**
   * Pushes an image to a registry, as `docker push` does: what is there already is not sent, layers that are not compressed
   * go out as gzip, and a manifest that the archive has stays what it is as long as its layers do. With a name go the
   * images for all its platforms. What the registry says that it has is compared with what was meant.
   *
   * Fails with `no-such-image` or `ambiguous-image`, `no-such-platform`, `invalid-argument` for an ID without a new name, `invalid-reference` for the name, `unreachable`, `unauthorized`,
   * `denied`, `registry-refused`, `registry-failed`, `invalid-answer`, `digest-mismatch`, as {@link save} does, and with
   * `aborted`; `digest-mismatch` also where a layer that is packed is none that an image's config lists. What was sent by then
   * stays there, and is not sent again the next time. What was packed is kept until the archive is closed.
   */
  async push(image: string, options: PushOptions = {}): Promise<PushReport> {
    const { push } = await loaded(() => import('./registry-push.js'));
    return attended(options, async (options) => push(await this.#port(), text(image, 'image'), options));
  }

  /**
   * Pushes all images of the archive, or some, under names of another registry. The report says what was pushed, what
   * failed, and what has no name; after a dry run, what would be pushed. Fails as {@link push} does where nothing can go
   * well any more: `unreachable`, `unauthorized`, `aborted`; with `no-such-image` where nothing is meant, and `invalid-reference` or
   * `invalid-argument` for a `to` that is none, or that gives a name to which nothing can be pushed.
   */
  async mirror(options: MirrorOptions): Promise<MirrorReport> {
    if (typeof options !== 'object' || options === null) throw invalid('the options must be an object');
    const { mirror } = await loaded(() => import('./registry-push.js'));
    return attended(options, async (options) => mirror(await this.#port(), options));
  }

  /** @internal Says that it is a store's; it shares what is known of packed layers with other archives of the same blobs. */
  share(known: KnownPackings): void {
    this.#isKept = true;
    this.#packed = new PackedLayers(known);
  }

  async #port(): Promise<Port> {
    const shell = await this.shell();
    return { images: this.images, shell, ship: (...args) => this.ship(...args) };
  }

  /** @internal What a registry is asked by. */
  protected abstract shell(): Promise<Shell>;

  /** @internal Has some images made what a registry keeps; what that takes stays until `shipping` is through with it. */
  protected async ship<T>(
    images: readonly string[],
    platforms: readonly string[],
    options: UnpackOptions,
    shipping: Shipping<T>,
  ): Promise<T> {
    const limits = limitsOf(options.limits);
    const ship = async (options: UnpackOptions, signal: AbortSignal, beside: Beside) => {
      const writing = newHandle();
      try {
        const chosen = [{ handle: this.#handle, images: [...images] }];
        const args = { writing, chosen, platforms: [...platforms], format: 'registry' as const, packing: undefined };
        const needs = await this.run('write', args);
        const packed = new Map<string, PackedBlob>();
        const onPacked = (blob: PackedBlob) => {
          packed.set(blob.digest, blob);
          beside((signal) => shipping.packed(blob, signal));
        };
        const calls = { ...options, signal, packed: this.#packed, onPacked };
        const known = await findOut(this.#pool, needs, limits, () => this.place(), calls);
        const shipment = await this.#backend.call('shipment', { writing, ...known });
        const blobs = shipment.blobs.map(({ parts, ...blob }) => packed.get(blob.digest) ?? { ...blob, bytes: async () => parts });
        return await shipping.use({ ...shipment, blobs }, signal);
      } finally {
        this.#backend.call('drop', { writing }).catch(() => {});
      }
    };
    return this.#running.run(options, (calls) => together(calls.signal, (signal, beside) => ship(calls, signal, beside)));
  }

  /** Lets go of the file and of what was read. Calls that still run, and those that follow, fail with `closed`. */
  async close(): Promise<void> {
    if (this.#running.isClosed) return;
    this.#running.close();
    try {
      await this.#backend.call('close', { handle: this.#handle });
    } finally {
      // What threads still write to must not be given back: in Node, its number would soon be another file's.
      await this.#running.ended();
      for (const release of this.#releases) await release();
      await this.#packed.release();
      await this.#outer.release();
    }
  }

  /** @internal Runs an operation on this archive. Operations run in the order of the calls. */
  protected async run<Op extends Operation>(
    op: Op,
    args: Omit<Operations[Op]['args'], 'handle'>,
  ): Promise<Operations[Op]['result']> {
    if (this.#running.isClosed) throw this.#running.closed();
    return this.#backend.call(op, { handle: this.#handle, ...args } as Operations[Op]['args']);
  }

  #edited({ changes, view }: Edited): NameChange[] {
    this.#view = view;
    return changes;
  }
}

const FORMATS: (WriteFormat | 'same' | undefined)[] = [undefined, 'same', 'docker', 'docker-legacy', 'oci'];
const PACKINGS: (LayerPacking | undefined)[] = [undefined, 'none', 'gzip', 'zstd'];

type Wanted = Omit<ReturnType<typeof checked>, 'format'> & { format: WriteFormat | 'store' | undefined };

/** @internal What is to be written, if it is something. */
export function checked(options: SaveOptions<BaseArchive>) {
  if (typeof options !== 'object' || options === null) throw invalid('the options must be an object');
  const { format, layers, gzip, add = [] } = options;
  if (!FORMATS.includes(format)) throw invalid(`${String(format)} is no format`);
  if (!PACKINGS.includes(layers)) throw invalid(`${String(layers)} is no packing`);
  if (gzip !== undefined && typeof gzip !== 'boolean') throw invalid('gzip must be true or false');
  if (!Array.isArray(add) || !add.every((archive) => archive instanceof BaseArchive)) throw invalid('add must be an array of archives');
  const list = (value: readonly string[] | undefined, name: string) => {
    if (value === undefined) return [];
    const given = texts(value, name);
    if (given.length === 0) throw invalid(`${name} must not be empty`);
    return given;
  };
  const wanted = {
    format: format === 'same' ? undefined : format,
    images: list(options.images, 'images'),
    platforms: list(options.platforms, 'platforms'),
    layers,
    add: add as readonly BaseArchive[],
  };
  const lists = [wanted.images, wanted.platforms, wanted.add];
  const isSame = wanted.format === undefined && layers === undefined && lists.every(({ length }) => length === 0);
  return { ...wanted, isSame };
}
