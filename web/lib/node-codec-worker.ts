/** A thread of Node that hashes and unpacks. Started by node-threads.ts; of no use by itself. */
import { createHash } from 'node:crypto';
import { read, readFileSync, readSync, writeSync } from 'node:fs';
import { promisify } from 'node:util';
import { parentPort } from 'node:worker_threads';
import * as codec from './codec.js';
import { PIECE, serve, type Platform } from './codec-tasks.js';
import { LongshoreError } from './errors.js';
import { pageBuffer } from './node-buffers.js';
import { cut, readAhead, type Range } from './parts.js';
import type { ReadSync, ToThread } from './protocol.js';

const readAsync = promisify(read);

const answer = serve(start, (reply) => parentPort?.postMessage(reply));
parentPort?.on('message', (message: ToThread) => void answer(message));

async function start(): Promise<Platform> {
  codec.initSync({ module: readFileSync(new URL('./codec_bg.wasm', import.meta.url)) });
  const read = reader();
  return {
    codec,
    readSync: readSync as ReadSync,
    read,
    stream: (parts) => readAhead(cut(parts, PIECE), read),
    hash: (algorithm) => {
      // OpenSSL knows what the processor can; the wasm does not.
      const hash = createHash(algorithm);
      return { update: (bytes) => void hash.update(bytes), finish: () => `${algorithm}:${hash.digest('hex')}` };
    },
    hashesOutside: true,
    shelf: async (place) => (await import('./node-shelf.js')).folderShelf(place, reader()),
    sink: async (target) => {
      if (!('fd' in target)) throw new Error('Node writes to files');
      return {
        write(bytes) {
          for (let done = 0; done < bytes.length; ) done += writing(() => writeSync(target.fd, bytes, done));
        },
        finish: () => undefined,
        abandon: () => {},
      };
    },
  };
}

/** Reads into two buffers by turns: one is read into while the other is used. */
function reader() {
  const buffers = [pageBuffer(PIECE), pageBuffer(PIECE)] as const;
  let turn: 0 | 1 = 0;
  return async ({ source, offset, length }: Range): Promise<Uint8Array> => {
    if (source instanceof Uint8Array) return source.subarray(offset, offset + length);
    turn = turn === 0 ? 1 : 0;
    const buffer = buffers[turn];
    for (let done = 0; done < length; ) {
      const { bytesRead } = await readAsync(source as number, buffer, done, length - done, offset + done).catch((thrown: Error) => {
        const reason = thrown.message;
        throw new LongshoreError('read-failed', `The file cannot be read: ${reason}.`, { offset, reason });
      });
      // The file ends where it did not.
      if (bytesRead === 0) throw new LongshoreError('truncated', 'The file ends early: some of its bytes are missing.', { offset });
      done += bytesRead;
    }
    return buffer.subarray(0, length);
  };
}

function writing<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const reason = (thrown as Error).message;
    throw new LongshoreError('write-failed', `What the file unpacks to cannot be written: ${reason}.`, { reason });
  }
}
