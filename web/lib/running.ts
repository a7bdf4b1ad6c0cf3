/** Long work that its caller hears of and can stop, on something that can be closed meanwhile. */
import { invalid } from './checks.js';
import { LongshoreError, aborted } from './errors.js';

/** The functions among options that hear of work. */
const LISTENERS = ['onProgress', 'onBlob', 'onLine'] as const;

/** Options of work that is attended. */
type Attended = { signal?: AbortSignal | undefined } & { [name in (typeof LISTENERS)[number]]?: ((told: never) => void) | undefined };

type Calls<Options> = Options & { signal: AbortSignal };

/**
 * Does work that its caller hears of and can stop. What a listener throws stops the work, which fails with just that: wherever
 * it is called, among messages and streams, nobody could tell it from their own failures.
 */
export async function attended<Options extends Attended, T>(
  options: Options,
  work: (options: Calls<Options>, control: AbortController) => Promise<T>,
  /** Lets go of what came of the work, where nobody gets it. */
  release?: (result: T) => Promise<void>,
): Promise<T> {
  const { signal } = options;
  if (signal !== undefined && typeof signal?.addEventListener !== 'function') throw invalid('signal must be an AbortSignal');
  if (signal?.aborted) throw aborted(signal);
  const control = new AbortController();
  let thrown: { error: unknown } | undefined;
  const calls = { ...options, signal: control.signal };
  for (const name of LISTENERS) {
    const listener = options[name];
    if (listener === undefined) continue;
    if (typeof listener !== 'function') throw invalid(`${name} must be a function`);
    calls[name] = ((told: never) => {
      if (thrown) return;
      try {
        listener(told);
      } catch (error) {
        thrown = { error };
        control.abort(error);
      }
    }) as Calls<Options>[typeof name];
  }
  const stop = () => control.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const result = await work(calls, control);
    if (thrown === undefined) return result;
    await release?.(result);
  } catch (failure) {
    if (thrown === undefined) throw failure;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
  throw thrown.error;
}

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
  async run<Options extends Attended, T>(options: Options, work: (options: Calls<Options>) => Promise<T>): Promise<T> {
    if (this.#isClosed) throw this.closed();
    return attended(options, async (calls, control) => {
      const result = work(calls);
      this.#work.set(control, result.then(() => {}, () => {}));
      try {
        return await result;
      } catch (thrown) {
        throw this.#isClosed && !options.signal?.aborted ? this.closed() : thrown;
      } finally {
        this.#work.delete(control);
      }
    });
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
