/** Long work on something that can be closed meanwhile. */
import { LongshoreError, aborted } from './errors.js';

/** The work that runs: closing stops it, and it fails with `closed` then. */
export class Running {
  readonly #what: string;
  readonly #work = new Map<AbortController, Promise<void>>();
  #isClosed = false;

  /** `what` is closed: `The archive`. */
  constructor(what: string) {
    this.#what = what;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** What fails that comes too late. */
  closed(): LongshoreError {
    return new LongshoreError('closed', `${this.#what} is closed.`);
  }

  /** Runs work; it is to end when its signal says so, or when this is closed. */
  async run<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw this.closed();
    if (signal?.aborted) throw aborted(signal);
    const control = new AbortController();
    const stop = () => control.abort(signal?.reason);
    signal?.addEventListener('abort', stop, { once: true });
    const result = work(control.signal);
    this.#work.set(control, result.then(() => {}, () => {}));
    try {
      return await result;
    } catch (thrown) {
      throw this.#isClosed && !signal?.aborted ? this.closed() : thrown;
    } finally {
      this.#work.delete(control);
      signal?.removeEventListener('abort', stop);
    }
  }

  /** Stops all work, and lets no more begin. */
  close(): void {
    this.#isClosed = true;
    for (const control of this.#work.keys()) control.abort();
  }

  /** Waits until all work has ended. */
  async ended(): Promise<void> {
    await Promise.all(this.#work.values());
  }
}
