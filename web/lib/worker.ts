/** The package's Worker: a session behind messages. Started by client.ts; of no use by itself. */
import init, * as core from './core.js';
import { isBreakdown, toData } from './errors.js';
import { once } from './modules.js';
import type { Reply, Request, WasmUrls } from './protocol.js';
import { Session, type Context } from './session.js';

/** The Worker's own scope, as far as it is needed here: TypeScript's libraries for pages and Workers do not mix. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(message: Reply): void;
};

let starting: Promise<Session> | undefined;
const running = new Map<number, { cancelled: boolean }>();

scope.onmessage = ({ data }) => {
  if (data.op === 'start') {
    starting = start(data.args);
    // Every request waits for it and reports its failure.
    starting.catch(() => {});
  } else if (data.op === 'cancel') {
    const context = running.get(data.id);
    if (context) context.cancelled = true;
  } else {
    void answer(data);
  }
};

async function start({ wasmUrl, codecWasmUrl, engineWasmUrl }: WasmUrls): Promise<Session> {
  await init({ module_or_path: wasmUrl ?? new URL('./core_bg.wasm', import.meta.url) });
  return new Session(core, {
    codec: once(async () => {
      const codec = await import('./codec.js');
      await codec.default({ module_or_path: codecWasmUrl ?? new URL('./codec_bg.wasm', import.meta.url) });
      return codec;
    }),
    engine: once(async () => {
      const engine = await import('./engine.js');
      await engine.default({ module_or_path: engineWasmUrl ?? new URL('./engine_bg.wasm', import.meta.url) });
      return engine;
    }),
  });
}

async function answer({ id, op, args }: Exclude<Request, { op: 'start' | 'cancel' }>): Promise<void> {
  const context: Context & { cancelled: boolean } = {
    cancelled: false,
    onProgress: (progress) => scope.postMessage({ id, progress }),
  };
  running.set(id, context);
  let session: Session | undefined;
  try {
    session = await starting;
    if (!session) throw new Error('the Worker was not started');
    scope.postMessage({ id, result: await session.run(op, args, context) });
  } catch (thrown) {
    // Without a session there never will be one here: perhaps the wasm could not be fetched just then.
    scope.postMessage({ id, error: toData(thrown), broken: !session || isBreakdown(thrown) });
  } finally {
    running.delete(id);
  }
}
