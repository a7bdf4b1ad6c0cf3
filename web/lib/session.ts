/** The operations over the wasm, wherever it runs. */
import type * as Codec from './codec.js';
import type * as Core from './core.js';
import type * as Engine from './engine.js';
import { LongshoreError, aborted, lost, type ErrorCode } from './errors.js';
import { loaded, once, type Modules } from './modules.js';
import type { Found, LayerNeed, Operation, Operations, Part, ReadSync, SessionFolder, SessionSource } from './protocol.js';
import type { SessionFiles } from './session-files.js';
import type { ArchiveView, Progress } from './types.js';

/** What a running operation can ask of whoever started it. */
export interface Context {
  readonly cancelled: boolean;
  onProgress(progress: Progress): void;
}

/** What is known of an archive as it is until the next edit: what was found when it was verified. */
interface State {
  found: readonly Found[];
}

/** How long a stretch of synchronous work may last before cancellations and timers get their turn. */
const SLICE_MS = 50;

type Handlers = {
  [Op in Operation]: (
    args: Operations[Op]['args'],
    context: Context,
  ) => Operations[Op]['result'] | Promise<Operations[Op]['result']>;
};

/** Holds the open archives of one wasm instance. */
export class Session {
  readonly #core: typeof Core;
  readonly #modules: Modules;
  readonly #readSync: ReadSync | undefined;
  readonly #archives = new Map<number, Core.Archive>();
  readonly #examinations = new Map<number, { begun: Codec.Examination; state: State }>();
  readonly #writings = new Map<number, Codec.Writing>();
  readonly #catalogs = new Map<number, { revision: number; catalog: Engine.Catalog }>();
  /** The states in which archives are now. */
  readonly #states = new Map<number, State>();
  /** Numbers for what archives are read from: a copy that went to another thread is not known again there. */
  readonly #sources = new WeakMap<object, number>();
  #lastSource = 0;
  /** Edits so far, of all archives: who keeps something of one sees that it may be of another state. */
  #edits = 0;
  /** What is about files inside layers: loaded when they are first asked for. */
  readonly #files: () => Promise<SessionFiles>;
  #filesThere: SessionFiles | undefined;

  /** `modules` are for what takes more than headers, `readSync` for files, which only Node has. */
  constructor(core: typeof Core, modules: Modules, readSync?: ReadSync) {
    this.#core = core;
    this.#modules = modules;
    this.#readSync = readSync;
    const opened = (handle: number) => {
      this.#archive(handle);
      return { parts: () => this.#archive(handle).parts(), version: () => this.#edits };
    };
    this.#files = once(async () => {
      const { SessionFiles } = await loaded(() => import('./session-files.js'));
      this.#filesThere = new SessionFiles(modules.codec, opened, (context, progress) => this.#breathe(context, progress), readSync);
      return this.#filesThere;
    });
  }

  /** Runs one operation. */
  async run<Op extends Operation>(
    op: Op,
    args: Operations[Op]['args'],
    context: Context,
  ): Promise<Operations[Op]['result']> {
    return this.#handlers[op](args, context);
  }

  readonly #handlers: Handlers = {
    open: async ({ handle, source }, context) => {
      const archive = await this.#open(source, context);
      this.#archives.set(handle, archive);
      return archive.view();
    },
    close: ({ handle }) => {
      this.#filesThere?.close(handle);
      this.#archives.get(handle)?.free();
      this.#archives.delete(handle);
      this.#states.delete(handle);
      return undefined;
    },
    tag: ({ handle, source, target }) => this.#edit(handle, (archive) => archive.tag(source, target)),
    untag: ({ handle, reference }) => this.#edit(handle, (archive) => archive.untag(reference)),
    rename: ({ handle, rules }) => this.#edit(handle, (archive) => archive.rename(rules)),
    undo: ({ handle }) => {
      this.#changed(handle);
      this.#archive(handle).undo();
      return this.#archive(handle).view();
    },
    redo: ({ handle }) => {
      this.#changed(handle);
      this.#archive(handle).redo();
      return this.#archive(handle).view();
    },
    inspect: ({ handle, image }) => this.#archive(handle).inspect(image),
    parts: ({ handle }) => this.#archive(handle).parts(),
    jobs: async ({ handle, examination }) => {
      const state = this.#state(handle);
      const begun = await this.#examine(handle);
      this.#examinations.set(examination, { begun, state });
      return begun.jobs();
    },
    report: ({ examination, found }) => {
      const known = this.#examinations.get(examination);
      if (!known) throw lost();
      known.state.found = found;
      return informed(known.begun, found).report();
    },
    forget: ({ examination }) => {
      this.#examinations.get(examination)?.begun.free();
      this.#examinations.delete(examination);
      return undefined;
    },
    compatibility: ({ handle, packing, trailing }) => {
      const { found } = this.#state(handle);
      return this.#examined(handle, (archive) => informed(archive, found).compatibility(packing, trailing));
    },
    repairs: ({ handle }) => this.#examined(handle, (archive) => archive.repairs()),
    repair: ({ handle, repairs }) => this.#replace(handle, (archive) => archive.repair(repairs)),
    remove: ({ handle, image }) => this.#replace(handle, (archive) => archive.without(image)),
    choose: ({ handle, image }) => this.#archive(handle).choose(image),
    relayer: ({ handle, images }) => this.#reconfigured(handle, (archive) => archive.relayer(images, this.#readSync)),
    reconfigure: ({ handle, image, changes }) => this.#reconfigured(handle, (archive) => archive.reconfigure(image, changes)),
    write: async ({ writing, chosen, platforms, format, packing }) => {
      const parts = chosen.map(({ handle }) => this.#archive(handle).parts());
      const { Examination, Writing } = await this.#modules.codec();
      const archives: Codec.Examination[] = [];
      try {
        for (const one of parts) archives.push(new Examination(one, this.#readSync));
        const [first, ...others] = chosen;
        const [one, ...rest] = archives;
        if (!first || !one) throw lost();
        const begun = new Writing(one, first.images, platforms, format);
        this.#writings.set(writing, begun);
        rest.forEach((archive, index) => begun.add(archive, others[index]?.images ?? [], platforms));
        return begun.needs(packing).map((need) => ({ ...need, origin: this.#originOf(need) }));
      } finally {
        for (const archive of archives) archive.free();
      }
    },
    made: (args) => {
      const begun = this.#known(args);
      return { parts: begun.parts(), leftOut: begun.leftOut() };
    },
    shipment: (args) => this.#known(args).shipment(),
    incoming: async ({ archive: handle, rules, ...known }) => {
      const { Examination } = await this.#modules.codec();
      const { carried, carriedAt } = await this.#modules.engine();
      const archive = this.#archive(handle);
      const containers = archive.text(...carriedAt());
      const contents = containers === undefined ? [] : carried(containers).map(({ path, ...blob }) => ({ ...blob, layers: [], parts: archive.member(path) }));
      const begun = this.#known(known);
      const made = new Examination(begun.parts(), this.#readSync);
      try {
        const { incoming, blobs } = made.incoming(rules);
        return { incoming, containers, blobs: [...blobs, ...contents], refused: begun.leftOut() };
      } finally {
        made.free();
      }
    },
    engine: async ({ catalog: handle, revision, rows, question }) => {
      let held = this.#catalogs.get(handle);
      if (held?.revision !== revision) {
        if (!rows) return { stale: true };
        const { Catalog } = await this.#modules.engine();
        const catalog = new Catalog(rows.map(([key]) => key), rows.map(([, value]) => value));
        this.#shut(handle);
        held = { revision, catalog };
        this.#catalogs.set(handle, held);
      }
      const { catalog } = held;
      if (question.verb === 'apply') {
        const [{ put, delete: gone }, after] = question.args;
        catalog.apply(put.map(([key]) => key), put.map(([, value]) => value), gone);
        held.revision = after;
        return { stale: false, result: undefined };
      }
      const ask = catalog[question.verb] as (...args: unknown[]) => unknown;
      return { stale: false, result: ask.apply(catalog, question.args) };
    },
    shut: ({ catalog }) => this.#shut(catalog),
    drop: ({ writing }) => {
      this.#writings.get(writing)?.free();
      this.#writings.delete(writing);
      return undefined;
    },
    fileBegin: async (args, context) => (await this.#files()).begin(args, context),
    fileNext: async (args, context) => (await this.#files()).next(args, context),
    fileEnd: (args) => this.#filesThere?.end(args),
    shareIndexes: async (args) => (await this.#files()).share(args),
    upperApply: async (args, context) => (await this.#files()).upperApply(args, context),
    upperDiff: async (args, context) => (await this.#files()).upperDiff(args, context),
    upperLayer: async (args, context) => (await this.#files()).upperLayer(args, context),
    tarBegin: async (args, context) => (await this.#files()).tarBegin(args, context),
    tarUnpack: async (args, context) => (await this.#files()).tarUnpack(args, context),
    tarEnd: (args) => this.#filesThere?.tarEnd(args),
    parseReference: ({ text }) => this.#core.parseReference(text),
    suggestTags: ({ tag }) => this.#core.suggestTags(tag),
    memory: () => this.#core.memoryUsed(),
  };

  #shut(handle: number): undefined {
    this.#catalogs.get(handle)?.catalog.free();
    this.#catalogs.delete(handle);
  }

  async #open(source: SessionSource | SessionFolder, context: Context): Promise<Core.Archive> {
    if ('paths' in source) return this.#core.openFolder(source.paths, source.sources);
    const opening = this.#begin(source);
    let done = false;
    try {
      let sliceEnd = performance.now() + SLICE_MS;
      while (!(done = opening.step())) {
        if (performance.now() < sliceEnd) continue;
        context.onProgress({ phase: 'index', ...opening.progress() });
        await new Promise((resolve) => setTimeout(resolve));
        if (context.cancelled) throw aborted();
        sliceEnd = performance.now() + SLICE_MS;
      }
      context.onProgress({ phase: 'index', ...opening.progress() });
    } finally {
      if (!done) opening.free();
    }
    return opening.finish();
  }

  /** When the last stretch of synchronous work is to end. */
  #sliceEnd = 0;

  /** Lets others have their turn, when it is time; fails where the call was cancelled. */
  async #breathe(context: Context, progress: () => Progress): Promise<void> {
    if (performance.now() < this.#sliceEnd) return;
    context.onProgress(progress());
    await new Promise((resolve) => setTimeout(resolve));
    if (context.cancelled) throw aborted();
    this.#sliceEnd = performance.now() + SLICE_MS;
  }

  #begin(source: SessionSource): Core.Opening {
    if (source instanceof Blob) return this.#core.openBlob(source);
    if (source instanceof Uint8Array) return this.#core.openBytes(source);
    return this.#core.openFile(source.fd, source.size, source.readSync);
  }

  #state(handle: number): State {
    this.#archive(handle);
    const state = this.#states.get(handle) ?? { found: [] };
    this.#states.set(handle, state);
    return state;
  }

  #changed(handle: number): void {
    this.#edits += 1;
    this.#states.delete(handle);
  }

  /** The archive as it is now, opened once more where bytes are known: edits that follow are none of its business. */
  async #examine(handle: number): Promise<Codec.Examination> {
    const parts = this.#archive(handle).parts();
    const { Examination } = await this.#modules.codec();
    return new Examination(parts, this.#readSync);
  }

  async #examined<T>(handle: number, work: (archive: Codec.Examination) => T): Promise<T> {
    const archive = await this.#examine(handle);
    try {
      return work(archive);
    } finally {
      archive.free();
    }
  }

  /** An edit that the codec makes. */
  async #replace(handle: number, edit: (archive: Codec.Examination) => Part[]): Promise<ArchiveView> {
    const { Examination } = await this.#modules.codec();
    // From here on at once: an edit in between would be lost.
    const archive = this.#archive(handle);
    const examined = new Examination(archive.parts(), this.#readSync);
    try {
      archive.replace(edit(examined), this.#readSync);
      this.#changed(handle);
      return archive.view();
    } finally {
      examined.free();
    }
  }

  /** An edit that gives images other IDs. */
  async #reconfigured(
    handle: number,
    edit: (archive: Codec.Examination) => { ids: string[]; parts: Part[] },
  ): Promise<Operations['reconfigure']['result']> {
    let ids: string[] = [];
    const view = await this.#replace(handle, (archive) => {
      const made = edit(archive);
      ids = made.ids;
      return made.parts;
    });
    return { ids, view };
  }

  /** What is being written, with what was found out for it. */
  #known({ writing, found, repacked }: Operations['made']['args']): Codec.Writing {
    const begun = this.#writings.get(writing);
    if (!begun) throw lost();
    for (const { archive, entry, digest, size, compression, content, error } of found) {
      // Without what it holds there is no true diff ID.
      if (error) throw new LongshoreError(error.code as ErrorCode, error.message);
      begun.found(archive, entry, digest, size, compression);
      if (content) begun.holds(archive, entry, content.digest, content.size, content.trailing);
    }
    for (const { archive, entry, source, digest, content, packing } of repacked) {
      begun.repacked(archive, entry, source, digest, content, packing);
    }
    return begun;
  }

  /** Where a layer's bytes are, in words that other bytes of the same archive do not have. */
  #originOf({ parts }: LayerNeed): string {
    const numberOf = (source: object) => {
      const number = this.#sources.get(source) ?? ++this.#lastSource;
      this.#sources.set(source, number);
      return number;
    };
    return parts
      .map((part) => {
        const { source, offset, length } = part instanceof Uint8Array ? { source: part, offset: 0, length: part.length } : part;
        return `${typeof source === 'number' ? `file ${source}` : numberOf(source)}: ${offset} ${length}`;
      })
      .join(', ');
  }

  #archive(handle: number): Core.Archive {
    const archive = this.#archives.get(handle);
    if (!archive) throw lost();
    return archive;
  }

  #edit(handle: number, edit: (archive: Core.Archive) => Operations['tag']['result']['changes']) {
    const archive = this.#archive(handle);
    const changes = edit(archive);
    this.#changed(handle);
    return { changes, view: archive.view() };
  }
}

/** The archive, told what was found of it. */
function informed(archive: Codec.Examination, found: readonly Found[]): Codec.Examination {
  for (const { entry, digest, size, compression, content, error, odd } of found) {
    archive.found(entry, digest, size, compression);
    if (content) archive.holds(entry, content.digest, content.size, content.trailing);
    if (error) archive.failed(entry, error.code, error.message);
    for (const { what, path } of odd ?? []) archive.odd(entry, what, path);
  }
  return archive;
}
