/** The wasm modules that are loaded when they are first needed. */
import type * as Codec from './codec.js';
import type * as Engine from './engine.js';

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
