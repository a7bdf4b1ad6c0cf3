/** A Worker that hashes and unpacks. Started by the pool of index.ts; of no use by itself. */
import init, * as codec from './codec.js';
import { serve, type Platform } from './codec-tasks.js';
import type { Range } from './parts.js';
import type { FromThread, ToThread } from './protocol.js';
import { browserSink } from './temporary.js';

/** The Worker's own scope, as far as it is needed here: TypeScript's libraries for pages and Workers do not mix. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<ToThread>) => void) | null;
  postMessage(message: FromThread): void;
};

const answer = serve(start, (reply) => scope.postMessage(reply));
scope.onmessage = ({ data }) => void answer(data);

/** The bytes of a range. */
async function read({ source, offset, length }: Range): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source.subarray(offset, offset + length);
  const bytes = await (source as Blob).slice(offset, offset + length).arrayBuffer().catch((thrown: unknown) => {
    throw codec.readFailure(thrown, offset);
  });
  // A file that became shorter: Firefox does not mind.
  if (bytes.byteLength !== length) throw codec.readFailure(new DOMException('', 'NotReadableError'), offset);
  return new Uint8Array(bytes);
}

async function start(wasmUrl: string | undefined): Promise<Platform> {
  await init({ module_or_path: wasmUrl ?? new URL('./codec_bg.wasm', import.meta.url) });
  return {
    codec,
    readSync: undefined,
    read,
    hash: (algorithm) => new codec.Hash(algorithm),
    sink: browserSink,
    shelf: async (place) => (await import('./database-shelf.js')).databaseShelf(place, read),
  };
}
