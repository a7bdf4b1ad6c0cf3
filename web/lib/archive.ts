/** An open archive, as both entries of the package give it. */
import { LongshoreError, aborted } from './errors.js';
import { measureAll } from './measuring.js';
import type { Outer } from './packed.js';
import type { Pool } from './pool.js';
import type { Backend, Edited, Operation, Operations } from './protocol.js';
import type {
  ArchiveView,
  Finding,
  Format,
  Image,
  ImageInspect,
  Limits,
  NameChange,
  Packing,
  RenameRule,
  UnpackOptions,
  VerifyReport,
} from './types.js';

let lastHandle = 0;

/** A handle that no other archive of this program has had. */
export function newHandle(): number {
  return ++lastHandle;
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
  #view: ArchiveView;
  #closed = false;

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

  /** How the file was compressed, from outside in. What is saved is not compressed. */
  get packing(): readonly Packing[] {
    return this.#outer.packing;
  }

  /** The images, in the order of `manifest.json`. */
  get images(): readonly Image[] {
    return this.#view.images;
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
   * Takes a name away. The image stays, without a name if it was the last: an archive is not an image store.
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
   * Fails with `source-changed` or `read-failed` where the file cannot be read, and `aborted`.
   */
  async verify(options: UnpackOptions = {}): Promise<VerifyReport> {
    const limits = limitsOf(options.limits);
    const { signal } = options;
    if (signal?.aborted) throw aborted(signal);
    const verification = newHandle();
    try {
      const jobs = await this.run('jobs', { verification });
      const found = await measureAll(this.#pool, jobs, limits, options);
      const report = await this.#backend.call('report', { verification, found }, signal ? { signal } : {});
      return { ...report, findings: [...this.#outer.findings, ...report.findings] };
    } finally {
      this.#backend.call('forget', { verification }).catch(() => {});
    }
  }

  /** Lets go of the file and of what was read. Calls that follow fail with `closed`. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    try {
      await this.#backend.call('close', { handle: this.#handle });
    } finally {
      await this.#outer.release();
    }
  }

  /** @internal Runs an operation on this archive. Operations run in the order of the calls. */
  protected async run<Op extends Operation>(
    op: Op,
    args: Omit<Operations[Op]['args'], 'handle'>,
  ): Promise<Operations[Op]['result']> {
    if (this.#closed) throw new LongshoreError('closed', 'The archive is closed.');
    return this.#backend.call(op, { handle: this.#handle, ...args } as Operations[Op]['args']);
  }

  #edited({ changes, view }: Edited): NameChange[] {
    this.#view = view;
    return changes;
  }
}

/** The argument, if it is a string. */
export function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`${name} must be a string`);
  return value;
}

/** The error for an argument of the wrong type. */
export function invalid(sentence: string): LongshoreError {
  return new LongshoreError('invalid-argument', `${sentence}.`);
}

/** The limits, if they are some. */
export function limitsOf(limits: unknown = {}): Limits {
  const { bytes, ratio } = (limits ?? {}) as Limits;
  const isLimit = (value: unknown) => value === undefined || (Number.isSafeInteger(value) && (value as number) > 0);
  if (!isLimit(bytes) || !isLimit(ratio)) throw invalid('limits must be whole numbers');
  return { ...(bytes && { bytes }), ...(ratio && { ratio }) };
}
