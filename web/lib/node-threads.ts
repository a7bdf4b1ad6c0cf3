/** The codec's threads in Node. A file descriptor is good in all threads of a process. */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { Pool, type Listener, type Thread } from './pool.js';
import type { FromThread, ToThread } from './protocol.js';

/** The pool of a process. */
export function nodePool(): Pool {
  return new Pool(start, availableParallelism());
}

function start(listener: Listener): Thread {
  // Options of the program's own, as --input-type, are not for it.
  const worker = new Worker(new URL('./node-codec-worker.js', import.meta.url), { execArgv: [] });
  worker.on('message', (message: FromThread) => listener.reply(message));
  worker.on('error', (error) => listener.failed(error.message));
  worker.on('exit', () => listener.failed('it ended'));
  worker.postMessage({ op: 'start', wasmUrl: undefined } satisfies ToThread);
  return {
    send: (message, transfer) => worker.postMessage(message, transfer),
    keepAlive: (isNeeded) => (isNeeded ? worker.ref() : worker.unref()),
    end: async () => void (await worker.terminate()),
  };
}
