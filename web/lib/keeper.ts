/** Getting blobs into a store, and those that nothing needs out of it. */
import { TRIES, contended, type LiveCatalog } from './catalog.js';
import { LongshoreError, aborted, damagedBlob } from './errors.js';
import type { Freed, Keeping } from './keeping.js';
import { inLanes } from './lanes.js';
import { grouped, progress, sum } from './measuring.js';
import type { Pool } from './pool.js';
import type { BlobToKeep, EngineChange, KeptBlob } from './protocol.js';
import type { CallOptions, Limits } from './types.js';

/** A change of the catalog at one revision, with blobs that it needs. */
export interface Plan<T extends EngineChange> {
  revision: number;
  change: T;
  blobs: readonly BlobToKeep[];
}

/** Has threads keep blobs, and the catalog changed when they are here. */
export class Keeper {
  readonly #catalog: LiveCatalog;
  readonly #keeping: Keeping<unknown>;
  readonly #pool: Pool;

  constructor(catalog: LiveCatalog, keeping: Keeping<unknown>, pool: Pool) {
    this.#catalog = catalog;
    this.#keeping = keeping;
    this.#pool = pool;
  }

  /**
   * Keeps the blobs that a change needs and that are not here, then makes the change, which is planned again where others change
   * the catalog meanwhile; gives it, and the bytes that were kept. Where it fails, nothing of that stays. Fails with `damaged-blob`
   * where it needs one that is not here and that nobody gives.
   */
  async keep<T extends EngineChange>(plan: () => Promise<Plan<T>>, limits: Limits, options: CallOptions): Promise<{ change: T; bytes: number }> {
    const attempt = this.#keeping.attempt();
    const kept = new Map<string, BlobToKeep>();
    let tasks = 0;
    let before: number | undefined;
    try {
      for (let tries = 0; tries < TRIES; tries += 1) {
        if (options.signal?.aborted) throw aborted(options.signal);
        const { revision, change, blobs } = await plan();
        const byDigest = new Map(blobs.map((blob) => [blob.digest, blob]));
        const absent = new Set(await this.#keeping.missing(change.needs));
        // Nobody took it away meanwhile: it is lost.
        const lost = revision === before ? [...absent].find((digest) => !byDigest.has(digest)) : undefined;
        if (lost !== undefined) throw damagedBlob(lost);
        before = revision;
        const missing = [...absent].flatMap((digest) => byDigest.get(digest) ?? []);
        if (missing.length > 0) {
          await this.#assertRoom(sum(missing));
          for (const blob of missing) kept.set(blob.digest, blob);
          tasks = await this.#store(missing, attempt, tasks, limits, options);
        }
        if (await this.#catalog.make(revision, change)) return { change, bytes: sum([...kept.values()]) };
      }
      throw contended();
    } catch (thrown) {
      if (kept.size > 0) await this.sweep({ attempt, blobs: [...kept.values()] }).catch(() => {});
      const isFull = thrown instanceof LongshoreError && thrown.code === 'quota-exceeded' && !('needed' in thrown.detail);
      throw isFull ? await this.#noRoom(thrown, sum([...kept.values()])) : thrown;
    }
  }

  /** Removes the blobs that nothing needs; of an attempt alone, where it is given. */
  async sweep(own?: { attempt: string; blobs: readonly KeptBlob[] }): Promise<Freed> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const { revision, result: needed } = await this.#catalog.asked('blobs', []);
      const freed = await this.#keeping.sweep(revision, new Set(needed.map(({ digest }) => digest)), own);
      if (!freed) continue;
      await this.#catalog.swept(revision, freed.revision, own !== undefined);
      return freed;
    }
    throw contended();
  }

  /** Has the threads keep blobs; gives the number of tasks that this attempt has had. */
  async #store(blobs: BlobToKeep[], attempt: string, before: number, limits: Limits, options: CallOptions): Promise<number> {
    let tasks = before;
    const report = progress(options, 'store', sum(blobs));
    await inLanes(this.#pool.size, grouped(blobs), options.signal, async (group, signal) => {
      const run = () => {
        const into = this.#keeping.shelf(attempt, tasks++);
        return this.#pool.run('keep', { blobs: group, limits, into }, { signal, onDone: (done) => report(group, done) });
      };
      await patiently(signal, run);
      report(group, sum(group));
    });
    return tasks;
  }

  /** Fails at once where the browser says that there is no room. */
  async #assertRoom(needed: number): Promise<void> {
    const room = await this.#keeping.room();
    if (room === undefined || room >= needed) return;
    throw await this.#noRoom(undefined, needed);
  }

  async #noRoom(cause: LongshoreError | undefined, needed: number): Promise<LongshoreError> {
    const room = await this.#keeping.room();
    const missing = room === undefined ? 0 : needed - room;
    const detail = { ...cause?.detail, needed, ...(missing > 0 && { missing }) };
    const sentence = `The store has no room for ${needed} bytes more${missing > 0 ? `: ${missing} bytes are missing` : ''}.`;
    return new LongshoreError('quota-exceeded', sentence, detail, { cause });
  }
}

/** Runs a task with the store once more where it fails: browsers fail at odd moments, and then no more. */
export function patiently<T>(signal: AbortSignal, run: () => Promise<T>): Promise<T> {
  return run().catch((thrown: unknown) => {
    if (!(thrown instanceof LongshoreError) || thrown.code !== 'store-failed' || signal.aborted) throw thrown;
    return run();
  });
}
