/** Carrying out what the registry's wasm says: `fetch`, the same in browsers and in Node. It decides nothing. */
import { LongshoreError, aborted, fromData, toData } from './errors.js';
import type { Part } from './protocol.js';
import type { Cargo, Hold, RegistryRequest, RegistryWasm, WasmExchange } from './registry-protocol.js';

/** Why there is no answer, as far as that can be told. */
export type Reason = 'network' | 'timeout' | 'certificate' | 'cors';

/** What differs between a browser and Node. */
export interface Shell {
  wasm(): Promise<RegistryWasm>;
  /** Node shows redirects; browsers follow them by themselves, or not at all. */
  readonly seesRedirects: boolean;
  /** The size of pieces, where it is not asked for. */
  readonly chunk: number | undefined;
  /** A range of a blob, as `fetch` takes it. */
  body(parts: Part[], from: number, to: number, onSent: (done: number) => void): RequestInit;
  reason(thrown: unknown, base: string): Promise<Reason>;
}

/** What an exchange may need beside its answers. */
export interface Luggage {
  signal?: AbortSignal | undefined;
  cargo?: Cargo;
  hold?: Hold;
}

/** The connection failed, or the other side said nothing for too long. */
class Cut extends Error {
  constructor(readonly isLate: boolean, cause: unknown) {
    super('no answer', { cause });
  }
}

/** Carries an exchange out; fails as the wasm says, and with `aborted`. */
export async function carryOut(shell: Shell, base: string, exchange: WasmExchange, luggage: Luggage): Promise<unknown> {
  const { signal } = luggage;
  try {
    for (;;) {
      if (signal?.aborted) throw aborted(signal);
      const step = exchange.step();
      if (step.kind === 'done') return step.outcome;
      if (step.kind === 'wait') await pause(step.pause, signal);
      else await send(shell, base, exchange, step, luggage);
    }
  } catch (thrown) {
    throw thrown instanceof LongshoreError ? thrown : fromData(toData(thrown), thrown);
  } finally {
    exchange.free();
  }
}

async function send(shell: Shell, base: string, exchange: WasmExchange, request: RegistryRequest, luggage: Luggage): Promise<void> {
  const { signal } = luggage;
  const control = new AbortController();
  let isLate = false;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const alive = () => {
    clearTimeout(timer);
    // What is read ahead to be sent may come when all is over.
    if (control.signal.aborted) return;
    timer = setTimeout(() => {
      isLate = true;
      control.abort();
    }, request.patience);
  };
  const stop = () => control.abort();
  signal?.addEventListener('abort', stop, { once: true });
  const line = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (thrown) {
      if (thrown instanceof LongshoreError) throw thrown;
      // What was to be sent could not be read.
      if ((thrown as Error).cause instanceof LongshoreError) throw (thrown as Error).cause;
      throw new Cut(isLate, thrown);
    }
  };
  try {
    const sent = await init(shell, request, luggage, alive);
    alive();
    const response = await line(fetch(request.url, { ...sent, signal: control.signal }));
    alive();
    const headers = [...response.headers].flat();
    const url = response.url || request.url;
    const reader = response.body?.getReader();
    const isContent = request.limit === undefined && response.ok;
    const hold = luggage.hold;
    if (isContent && hold) await hold.begin(exchange.began(response.status, url, headers));
    const limit = request.limit ?? 1 << 20;
    const pieces: Uint8Array<ArrayBuffer>[] = [];
    let size = 0;
    try {
      for (;;) {
        const { done, value } = reader ? await line(reader.read()) : { done: true, value: undefined };
        if (done || !value) break;
        alive();
        if (isContent && hold) {
          exchange.received(value);
          await hold.write(value);
          continue;
        }
        size += value.length;
        if (size > limit) throw new LongshoreError('invalid-answer', 'The registry sends more than belongs into its answer.', { expected: limit });
        pieces.push(value);
      }
    } finally {
      // What was not read to its end is not to come.
      reader?.cancel().catch(() => {});
    }
    exchange.answered(response.status, url, headers, joined(pieces, size));
  } catch (thrown) {
    if (signal?.aborted) throw aborted(signal);
    if (!(thrown instanceof Cut)) throw thrown;
    exchange.failed(thrown.isLate ? 'timeout' : await shell.reason(thrown.cause, base));
  } finally {
    signal?.removeEventListener('abort', stop);
    control.abort();
    clearTimeout(timer);
  }
}

async function init(shell: Shell, request: RegistryRequest, { cargo }: Luggage, alive: () => void): Promise<RequestInit> {
  const { method, headers, body, follow } = request;
  const redirect: RequestRedirect = shell.seesRedirects ? 'manual' : follow ? 'follow' : 'error';
  // Nothing that a browser has of its own goes along, and nothing stays.
  const own: RequestInit = { method, headers, redirect, credentials: 'omit', cache: 'no-store', referrerPolicy: 'no-referrer' };
  if (body === undefined) return own;
  if (typeof body === 'string' || body instanceof Uint8Array) return { ...own, body };
  if (!cargo) throw new LongshoreError('invalid-argument', 'There is nothing to send.');
  const { from, to } = body;
  const onSent = (done: number) => {
    alive();
    cargo.onSent(from + done);
  };
  const sent = shell.body(await cargo.parts(), from, to, onSent);
  return { ...own, ...sent, headers: [...headers, ...((sent.headers as [string, string][] | undefined) ?? [])] };
}

function joined(pieces: Uint8Array[], size: number): Uint8Array {
  const all = new Uint8Array(size);
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(aborted(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
