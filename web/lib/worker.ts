/** The package's Worker: a session behind messages. Started by client.ts; of no use by itself. */
import init, * as core from './core.js';
import { isBreakdown, toData } from './errors.js';
import type { Reply, Request } from './protocol.js';
import { Session, type Context } from './session.js';

/** The Worker's own scope, as far as it is needed here: TypeScript's libraries for pages and Workers do not mix. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Request>) => void) | null;
  postMessage(message: Reply): void;
};

let session: Promise<Session> | undefined;
const running = new Map<number, { cancelled: boolean }>();

scope.onmessage = ({ data }) => {
  if (data.op === 'start') {
    session = start(data.args.wasmUrl);
    // Every request waits for it and reports its failure.
    session.catch(() => {});
  } else if (data.op === 'cancel') {
    const context = running.get(data.id);
    if (context) context.cancelled = true;
  } else {
    void answer(data);
  }
};

async function start(wasmUrl: string | undefined): Promise<Session> {
  await init({ module_or_path: wasmUrl ?? new URL('./core_bg.wasm', import.meta.url) });
  return new Session(core);
}

async function answer({ id, op, args }: Exclude<Request, { op: 'start' | 'cancel' }>): Promise<void> {
  const context: Context & { cancelled: boolean } = {
    cancelled: false,
    onProgress: (progress) => scope.postMessage({ id, progress }),
  };
  running.set(id, context);
  try {
    if (!session) throw new Error('the Worker was not started');
    scope.postMessage({ id, result: await (await session).run(op, args, context) });
  } catch (thrown) {
    scope.postMessage({ id, error: toData(thrown), broken: isBreakdown(thrown) });
  } finally {
    running.delete(id);
  }
}
