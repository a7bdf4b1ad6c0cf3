/** What a registry takes in a browser. Loaded when one is first asked. */
import { loaded, once } from './modules.js';
import type { Part } from './protocol.js';
import type { Shell } from './registry-exchange.js';
import type { RegistryWasm } from './registry-protocol.js';
import type { Store } from './registry-pull.js';
import { databaseSink, memorySink } from './temporary.js';
import type { Sink } from './codec-tasks.js';
import { temporaryPlace } from './unpacking.js';

/** In pieces, because a browser does not say how much of one has been sent. */
const CHUNK = 16 << 20;
/** What comes is stored by so many bytes. */
const PIECE = 4 << 20;

/** Where the wasm is, if not beside this file. */
let at: string | URL | undefined;

/** The browser's shell. */
export function browserShell(wasmUrl: string | URL | undefined): Shell {
  at = wasmUrl;
  return {
    wasm: load,
    seesRedirects: false,
    chunk: CHUNK,
    body: (parts, from, to) => ({ body: blobOf(parts).slice(from, to) }),
    async reason(_thrown, base) {
      // The same without asking to see the answer: if there is one, it was only not to be seen.
      const options: RequestInit = { mode: 'no-cors', credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer' };
      return fetch(base, options).then(() => (isForeign(base) ? 'cors' : 'network'), () => 'network');
    },
  };
}

const load: () => Promise<RegistryWasm> = once(() =>
  loaded(async () => {
    const wasm = await import('./registry.js');
    await wasm.default({ module_or_path: at ?? new URL('./registry_bg.wasm', import.meta.url) });
    return wasm;
  }),
);

function isForeign(url: string): boolean {
  return new URL(url).origin !== globalThis.location?.origin;
}

function blobOf(parts: Part[]): Blob {
  const slice = (part: Part): BlobPart => {
    if (part instanceof Uint8Array) return part as Uint8Array<ArrayBuffer>;
    return (part.source as Blob).slice(part.offset, part.offset + part.length);
  };
  return new Blob(parts.map(slice));
}

/** A place in the browser's storage for a blob; `releases` gets what gives it back. */
export async function browserStore(releases: Set<() => Promise<void>>): Promise<Store<Blob>> {
  let place = await temporaryPlace();
  let sink = await sinkOf(place.target);
  let waiting: Uint8Array<ArrayBuffer>[] = [];
  let size = 0;
  const flush = async () => {
    const bytes = new Uint8Array(await new Blob(waiting).arrayBuffer());
    waiting = [];
    size = 0;
    if (bytes.length > 0) await sink.write(bytes);
  };
  const abandon = async () => {
    sink.abandon();
    await place.release();
  };
  return {
    async begin(at) {
      if (at > 0) return;
      await abandon();
      place = await temporaryPlace();
      sink = await sinkOf(place.target);
      waiting = [];
      size = 0;
    },
    async write(bytes) {
      waiting.push(bytes);
      size += bytes.length;
      if (size >= PIECE) await flush();
    },
    async finish() {
      await flush();
      releases.add(place.release);
      return (await sink.finish()) as Blob;
    },
    abandon,
  };
}

async function sinkOf(target: { fd: number } | { name: string | undefined }): Promise<Sink> {
  const name = 'name' in target ? target.name : undefined;
  return name === undefined ? memorySink() : databaseSink(name).catch(() => memorySink());
}
