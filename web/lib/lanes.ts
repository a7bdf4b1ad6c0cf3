/** Work on many things at once, of which one that fails stops the others. */
import { aborted } from './errors.js';

/** Starts more work beside the one that runs. */
export type Beside = (work: (signal: AbortSignal) => Promise<void>) => void;

/** Runs `work`, and beside it what it starts. Fails as the first that fails does, when all have ended. */
export async function together<T>(
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal, beside: Beside) => Promise<T>,
): Promise<T> {
  const control = new AbortController();
  const stop = () => control.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  let failure: { reason: unknown } | undefined;
  const guarded = (running: Promise<void>) =>
    running.catch((reason: unknown) => {
      failure ??= { reason };
      control.abort();
    });
  const others: Promise<void>[] = [];
  const beside: Beside = (other) => void others.push(guarded(other(control.signal)));
  let result: T | undefined;
  const own = async () => {
    result = await work(control.signal, beside);
  };
  await guarded(own());
  await Promise.all(others);
  signal?.removeEventListener('abort', stop);
  if (failure) throw failure.reason;
  return result as T;
}

/** Runs `work` on every item, `count` at a time, in their order. Fails as the first that fails does, when all have ended. */
export async function inLanes<T>(
  count: number,
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  await together(signal, async (signal, beside) => {
    const lane = async () => {
      for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
        if (signal.aborted) throw aborted(signal);
        await work(item, signal);
      }
    };
    for (let lanes = 0; lanes < count; lanes += 1) beside(lane);
  });
}

/** Adds up how much is done of things that are worked on side by side: takes how far one of them is, gives how far all are. */
export function tally<T>(): (item: T, done: number) => number {
  const each = new Map<T, number>();
  let all = 0;
  return (item, done) => {
    all += done - (each.get(item) ?? 0);
    each.set(item, done);
    return all;
  };
}

/** Lets `count` at a time do their work, in the order in which they come. */
export function gate(count: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = count;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
