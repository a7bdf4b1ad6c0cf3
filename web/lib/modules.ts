/** Modules that are loaded when they are first needed. */
import type * as Codec from './codec.js';
import type * as Engine from './engine.js';
import { LongshoreError } from './errors.js';

export interface Modules {
  codec(): Promise<typeof Codec>;
  engine(): Promise<typeof Engine>;
}

/** Loads something once. What could not be loaded may be the next time. */
export function once<T>(load: () => Promise<T>): () => Promise<T> {
  let loading: Promise<T> | undefined;
  return () => {
    loading ??= load().catch((thrown: unknown) => {
      loading = undefined;
      throw thrown;
    });
    return loading;
  };
}

/** Loads what most pages never need. Fails with `worker-failed` where it is not there any more, as after a new version was put in its place. */
export async function loaded<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message : String(thrown);
    throw new LongshoreError('worker-failed', `A script could not be loaded: ${reason}.`, { reason }, { cause: thrown });
  }
}
