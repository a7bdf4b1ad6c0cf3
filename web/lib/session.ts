/** The operations over the wasm, wherever it runs. */
import type * as Core from './core.js';
import { LongshoreError, aborted } from './errors.js';
import type { Operation, Operations, Part, SessionSource } from './protocol.js';
import type { Progress } from './types.js';

/** What a running operation can ask of whoever started it. */
export interface Context {
  readonly cancelled: boolean;
  onProgress(progress: Progress): void;
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
  readonly #archives = new Map<number, Core.Archive>();
  readonly #verifications = new Map<number, Core.Verification>();

  constructor(core: typeof Core) {
    this.#core = core;
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
      this.#archives.get(handle)?.free();
      this.#archives.delete(handle);
      return undefined;
    },
    tag: ({ handle, source, target }) => this.#edit(handle, (archive) => archive.tag(source, target)),
    untag: ({ handle, reference }) => this.#edit(handle, (archive) => archive.untag(reference)),
    rename: ({ handle, rules }) => this.#edit(handle, (archive) => archive.rename(rules)),
    undo: ({ handle }) => {
      this.#archive(handle).undo();
      return this.#archive(handle).view();
    },
    redo: ({ handle }) => {
      this.#archive(handle).redo();
      return this.#archive(handle).view();
    },
    inspect: ({ handle, image }) => this.#archive(handle).inspect(image),
    parts: ({ handle }) => this.#archive(handle).parts() as Part[],
    jobs: ({ handle, verification }) => {
      const begun = this.#archive(handle).verification();
      this.#verifications.set(verification, begun);
      return begun.jobs();
    },
    report: ({ verification, found }) => {
      const begun = this.#verifications.get(verification);
      if (!begun) throw lost();
      for (const { entry, digest, size, compression, content, error } of found) {
        begun.found(entry, digest, size, compression);
        if (content) begun.holds(entry, content.digest, content.size, content.trailing);
        if (error) begun.failed(entry, error.code, error.message);
      }
      return begun.report();
    },
    forget: ({ verification }) => {
      this.#verifications.get(verification)?.free();
      this.#verifications.delete(verification);
      return undefined;
    },
    parseReference: ({ text }) => this.#core.parseReference(text),
    suggestTags: ({ tag }) => this.#core.suggestTags(tag),
    memory: () => this.#core.memoryUsed(),
  };

  async #open(source: SessionSource, context: Context): Promise<Core.Archive> {
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

  #begin(source: SessionSource): Core.Opening {
    if (source instanceof Blob) return this.#core.openBlob(source);
    if (source instanceof Uint8Array) return this.#core.openBytes(source);
    return this.#core.openFile(source.fd, source.size, source.readSync);
  }

  #archive(handle: number): Core.Archive {
    const archive = this.#archives.get(handle);
    if (!archive) throw lost();
    return archive;
  }

  #edit(handle: number, edit: (archive: Core.Archive) => Operations['tag']['result']['changes']) {
    const archive = this.#archive(handle);
    const changes = edit(archive);
    return { changes, view: archive.view() };
  }
}

function lost(): LongshoreError {
  return new LongshoreError('closed', 'The archive is no longer open. Open it again.');
}
