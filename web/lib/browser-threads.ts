/** The codec's threads in a browser: Workers. */
import type { Locations } from './client.js';
import { Pool, type Listener, type Thread } from './pool.js';
import type { FromThread, ToThread } from './protocol.js';

/** The pool of a page; a server may load it, where there is no navigator. What `locations` says is asked when a Worker starts. */
export function browserPool(locations: () => Locations): Pool {
  return new Pool((listener) => start(locations(), listener), globalThis.navigator?.hardwareConcurrency || 1);
}

function start({ codecWorkerUrl, codecWasmUrl }: Locations, listener: Listener): Thread {
  // Bundlers look for just this expression.
  const worker = codecWorkerUrl
    ? new Worker(codecWorkerUrl, { type: 'module' })
    : new Worker(new URL('./codec-worker.js', import.meta.url), { type: 'module' });
  worker.onmessage = ({ data }: MessageEvent<FromThread>) => listener.reply(data);
  worker.onerror = (event) => {
    event.preventDefault();
    listener.failed(event.message || 'its script could not be loaded');
  };
  worker.postMessage({ op: 'start', wasmUrl: codecWasmUrl && String(codecWasmUrl) } satisfies ToThread);
  return {
    send: (message, transfer) => worker.postMessage(message, transfer),
    keepAlive: () => {},
    end: async () => worker.terminate(),
  };
}
