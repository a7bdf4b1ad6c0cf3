/** The page's side of the Worker: starts it, asks it, and replaces it when it breaks down. */
import { LongshoreError, aborted, fromData } from './errors.js';
import type { Backend, Operation, Operations, Reply, Request } from './protocol.js';
import type { CallOptions, Progress } from './types.js';

/** Where the package's files are, for whoever serves them from elsewhere than they lie. */
export interface Locations {
  /** URL of `worker.js`. */
  workerUrl?: string | URL;
  /** URL of `core_bg.wasm`. */
  wasmUrl?: string | URL;
  /** URL of `codec-worker.js`, which hashes and unpacks. */
  codecWorkerUrl?: string | URL;
  /** URL of `codec_bg.wasm`. */
  codecWasmUrl?: string | URL;
  /** URL of `registry_bg.wasm`, which talks to registries. */
  registryWasmUrl?: string | URL;
  /** URL of `engine_bg.wasm`, which knows Docker's rules for a store. */
  engineWasmUrl?: string | URL;
}

interface Call {
  resolve(result: unknown): void;
  reject(error: LongshoreError): void;
  onProgress: ((progress: Progress) => void) | undefined;
}

/** Runs operations in a Worker, which it starts at the first one. */
export class WorkerClient implements Backend {
  locations: Locations = {};
  #worker: Worker | undefined;
  #lastId = 0;
  readonly #calls = new Map<number, Call>();

  call<Op extends Operation>(
    op: Op,
    args: Operations[Op]['args'],
    { signal, onProgress }: CallOptions = {},
  ): Promise<Operations[Op]['result']> {
    if (signal?.aborted) return Promise.reject(aborted(signal));
    const id = ++this.#lastId;
    const { promise, resolve, reject } = Promise.withResolvers<Operations[Op]['result']>();
    const stop = () => {
      this.#worker?.postMessage({ id, op: 'cancel' } satisfies Request);
      // An archive that is open by now is one that nobody will close.
      if (op === 'open') this.#worker?.postMessage({ id: ++this.#lastId, op: 'close', args } as Request);
      this.#calls.delete(id);
      reject(aborted(signal));
    };
    try {
      this.#worker ??= this.#start();
      this.#worker.postMessage({ id, op, args });
    } catch (thrown) {
      return Promise.reject(failed('The Worker cannot be started', thrown));
    }
    this.#calls.set(id, { resolve: resolve as Call['resolve'], reject, onProgress });
    signal?.addEventListener('abort', stop, { once: true });
    return promise.finally(() => signal?.removeEventListener('abort', stop));
  }

  #start(): Worker {
    const { workerUrl, wasmUrl, codecWasmUrl, engineWasmUrl } = this.locations;
    // Bundlers look for just this expression.
    const worker = workerUrl
      ? new Worker(workerUrl, { type: 'module' })
      : new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
    worker.onmessage = ({ data }: MessageEvent<Reply>) => this.#receive(data);
    worker.onerror = (event) => {
      event.preventDefault();
      this.#giveUp(failed('The Worker failed', event.message || 'its script could not be loaded; where it lies elsewhere, configure() says so'));
    };
    const url = (at: string | URL | undefined) => at && String(at);
    const args = { wasmUrl: url(wasmUrl), codecWasmUrl: url(codecWasmUrl), engineWasmUrl: url(engineWasmUrl) };
    worker.postMessage({ id: 0, op: 'start', args } satisfies Request);
    return worker;
  }

  #receive(reply: Reply): void {
    const call = this.#calls.get(reply.id);
    if ('progress' in reply) {
      call?.onProgress?.(reply.progress);
      return;
    }
    this.#calls.delete(reply.id);
    if ('result' in reply) {
      call?.resolve(reply.result);
      return;
    }
    call?.reject(fromData(reply.error));
    if (reply.broken) this.#giveUp(fromData(reply.error));
  }

  /** Throws the Worker away with all that it holds; the next call starts another one. */
  #giveUp(error: LongshoreError): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    const calls = [...this.#calls.values()];
    this.#calls.clear();
    for (const call of calls) call.reject(error);
  }
}

function failed(what: string, thrown: unknown): LongshoreError {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  return new LongshoreError('worker-failed', `${what}: ${reason}.`, { reason }, { cause: thrown });
}
