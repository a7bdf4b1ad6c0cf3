/** What a registry takes in Node. */
import { closeSync, readFileSync, write } from 'node:fs';
import { promisify } from 'node:util';
import { LongshoreError } from './errors.js';
import { FileSource } from './node-source.js';
import { temporaryFile } from './node-unpacking.js';
import { pieces, type FileOf } from './node-write.js';
import type { Part } from './protocol.js';
import type { Shell } from './registry-exchange.js';
import type { Store } from './registry-pull.js';

const writeAsync = promisify(write);

/** What is read and sent at a time. */
const PIECE = 1 << 20;

/** What Node calls a certificate that it does not trust. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/;

let isReady = false;

/** Node's shell; `files` are those that parts are ranges of. */
export function nodeShell(files: FileOf): Shell {
  return {
    async wasm() {
      const wasm = await import('./registry.js');
      if (!isReady) wasm.initSync({ module: readFileSync(new URL('./registry_bg.wasm', import.meta.url)) });
      isReady = true;
      return wasm;
    },
    seesRedirects: true,
    chunk: undefined,
    body(parts, from, to, onSent) {
      const body = to > from ? stream(range(parts, from, to), files, onSent) : new Uint8Array();
      // Many a proxy wants to know how much is to come.
      const headers: [string, string][] = [['content-length', String(to - from)]];
      return { body, headers, duplex: 'half' } as RequestInit;
    },
    async reason(thrown) {
      for (let cause = thrown as { code?: unknown; cause?: unknown } | undefined; cause; cause = cause.cause as typeof cause) {
        if (CERTIFICATE.test(String(cause.code ?? ''))) return 'certificate';
      }
      return 'network';
    },
  };
}

/** The parts of a range of parts. */
function range(parts: readonly Part[], from: number, to: number): Part[] {
  const cut: Part[] = [];
  let at = 0;
  for (const part of parts) {
    const [start, end] = [Math.max(from - at, 0), Math.min(to - at, part.length)];
    at += part.length;
    if (start >= end) continue;
    if (part instanceof Uint8Array) cut.push(part.subarray(start, end));
    else cut.push({ source: part.source, offset: part.offset + start, length: end - start });
  }
  return cut;
}

function stream(parts: Part[], files: FileOf, onSent: (done: number) => void): ReadableStream<Uint8Array> {
  const iterator = pieces(parts, PIECE, files);
  let done = 0;
  return new ReadableStream({
    async pull(controller) {
      const next = await iterator.next();
      if (next.done) {
        controller.close();
        return;
      }
      // The piece may be in a buffer that the next one will be read into.
      controller.enqueue(new Uint8Array(next.value));
      done += next.value.length;
      onSent(done);
    },
    cancel: async () => void (await iterator.return(undefined)),
  });
}

/** A file that nobody else sees, for a blob; `files` gets it when it is finished. */
export async function fileStore(files: FileSource[]): Promise<Store<FileSource>> {
  const { path, fd } = temporaryFile();
  let at = 0;
  return {
    async begin(from) {
      at = from;
    },
    async write(bytes) {
      try {
        for (let done = 0; done < bytes.length; ) {
          const { bytesWritten } = await writeAsync(fd, bytes, done, bytes.length - done, at + done);
          done += bytesWritten;
        }
      } catch (thrown) {
        const reason = (thrown as Error).message;
        throw new LongshoreError('write-failed', `There is no room for what is pulled: ${reason}.`, { reason }, { cause: thrown });
      }
      at += bytes.length;
    },
    async finish() {
      const file = new FileSource(path, fd);
      files.push(file);
      return file;
    },
    abandon: async () => closeSync(fd),
  };
}
