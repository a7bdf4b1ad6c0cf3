/** Work on many things at once, of which one that fails stops the others. */

/** Runs `work` on every item, `count` at a time, in their order. Fails as the first that fails does, when all have ended. */
export async function inLanes<T>(
  count: number,
  items: readonly T[],
  signal: AbortSignal | undefined,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const waiting = [...items];
  const control = new AbortController();
  const stop = () => control.abort(signal?.reason);
  signal?.addEventListener('abort', stop, { once: true });
  if (signal?.aborted) stop();
  let failure: { reason: unknown } | undefined;
  const lane = async () => {
    for (let item = waiting.shift(); item !== undefined && !failure; item = waiting.shift()) {
      await work(item, control.signal);
    }
  };
  const guarded = () =>
    lane().catch((reason: unknown) => {
      failure ??= { reason };
      control.abort();
    });
  await Promise.all(Array.from({ length: count }, guarded));
  signal?.removeEventListener('abort', stop);
  if (failure) throw failure.reason;
}
