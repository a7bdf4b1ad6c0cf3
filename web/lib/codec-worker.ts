/** A Worker that hashes and unpacks. Started by the pool of index.ts; of no use by itself. */
import init, * as codec from './codec.js';
import { PIECE, serve, type Platform } from './codec-tasks.js';
import { cut, readAhead, type Range } from './parts.js';
import type { FromThread, Part, ToThread } from './protocol.js';
import { browserSink } from './temporary.js';

/** What a stream is read into, twice. */
const BUFFER = 1 << 20;

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

/**
 * The bytes of the parts. Of a `Blob` they are read into the same two buffers again and again, where the browser can do that: new
 * ones for each piece would be in memory until somebody clears up.
 */
async function* stream(parts: readonly Part[]): AsyncGenerator<Uint8Array, void, undefined> {
  for (const part of parts) {
    const reader = part instanceof Uint8Array ? undefined : readerOf(part);
    if (reader) yield* filled(reader, part.length);
    else yield* readAhead(cut([part], PIECE), read);
  }
}

function readerOf({ source, offset, length }: Exclude<Part, Uint8Array>): ReadableStreamBYOBReader | undefined {
  try {
    return source instanceof Blob ? source.slice(offset, offset + length).stream().getReader({ mode: 'byob' }) : undefined;
  } catch {
    return undefined;
  }
}

/** Those that are read: Chromium forgets a stream in the middle of a read, if nothing but that read leads to it. */
const readers = new Set<ReadableStreamBYOBReader>();

/** What a reader gives, which has to be so many bytes. */
async function* filled(reader: ReadableStreamBYOBReader, length: number): AsyncGenerator<Uint8Array, void, undefined> {
  readers.add(reader);
  let left = length;
  let free = new ArrayBuffer(BUFFER);
  let next = reader.read(new Uint8Array(new ArrayBuffer(BUFFER)));
  try {
    for (;;) {
      const { value, done } = await next.catch((thrown: unknown) => {
        throw codec.readFailure(thrown, length - left);
      });
      if (done || !value) break;
      left -= value.length;
      next = reader.read(new Uint8Array(free));
      // A failure is met when its turn comes.
      next.catch(() => {});
      yield value;
      free = value.buffer;
    }
  } finally {
    readers.delete(reader);
    reader.cancel().catch(() => {});
  }
  if (left !== 0) throw codec.readFailure(new DOMException('', 'NotReadableError'), length - left);
}

async function start(wasmUrl: string | undefined): Promise<Platform> {
  await init({ module_or_path: wasmUrl ?? new URL('./codec_bg.wasm', import.meta.url) });
  return {
    codec,
    readSync: undefined,
    read,
    stream,
    // The browser's own takes all bytes at once.
    hash: (algorithm) => new codec.Hash(algorithm),
    hashesOutside: false,
    sink: browserSink,
    shelf: async (place) => (await import('./database-shelf.js')).databaseShelf(place, read),
  };
}
