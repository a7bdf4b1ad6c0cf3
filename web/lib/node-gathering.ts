/** Bytes that are put together in a file without a name. */
import { closeSync, write } from 'node:fs';
import { promisify } from 'node:util';
import type { Gathered } from './container.js';
import { LongshoreError } from './errors.js';
import type { BlobSource } from './node-keeping.js';
import { FileSource } from './node-source.js';
import { temporaryFile } from './node-unpacking.js';
import type { KeptBlob, LayerPart } from './protocol.js';

const writeAsync = promisify(write);

/** How much is written at a time. */
const BUFFER = 1 << 20;

/** Writes bytes and ranges of blobs one after the other: no two blobs are open at once, of which there may be thousands. */
export async function gatherToFile(
  pieces: readonly LayerPart[],
  sourceOf: (blob: KeptBlob) => Promise<BlobSource>,
): Promise<Gathered<BlobSource>> {
  const { path, fd } = temporaryFile();
  const output = new Output(path, fd);
  let open: { digest: string; source: BlobSource } | undefined;
  const close = () => {
    if (open?.source instanceof FileSource) open.source.close();
    open = undefined;
  };
  const append = (bytes: Uint8Array) => output.append(bytes.length, async (room, done) => room.set(bytes.subarray(done, done + room.length)));
  try {
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) {
        await append(piece);
        continue;
      }
      const { digest, size, offset, length } = piece;
      if (open?.digest !== digest) {
        close();
        open = { digest, source: await sourceOf({ digest, size }) };
      }
      const { source } = open;
      if (source instanceof Uint8Array) await append(source.subarray(offset, offset + length));
      else await output.append(length, async (room, done) => {
        for (let read = 0; read < room.length; ) read += await source.read(room.subarray(read), room.length - read, offset + done + read);
      });
    }
    await output.flush();
    const source = new FileSource(path, fd);
    return { source, part: { source: fd, offset: 0, length: source.size }, release: () => source.close() };
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  } finally {
    close();
  }
}

/** A file that is written from its beginning on, a buffer at a time. */
class Output {
  readonly #path: string;
  readonly #fd: number;
  readonly #buffer = new Uint8Array(BUFFER);
  #filled = 0;

  constructor(path: string, fd: number) {
    this.#path = path;
    this.#fd = fd;
  }

  /** Appends so many bytes: `fill` fills the room that there is, from so many bytes on. */
  async append(length: number, fill: (room: Uint8Array, done: number) => Promise<void>): Promise<void> {
    for (let done = 0; done < length; ) {
      const room = this.#buffer.subarray(this.#filled, this.#filled + length - done);
      await fill(room, done);
      done += room.length;
      this.#filled += room.length;
      if (this.#filled === BUFFER) await this.flush();
    }
  }

  async flush(): Promise<void> {
    try {
      for (let done = 0; done < this.#filled; ) done += (await writeAsync(this.#fd, this.#buffer, done, this.#filled - done)).bytesWritten;
    } catch (thrown) {
      const reason = (thrown as Error).message;
      throw new LongshoreError('write-failed', `There is no place to put the layer to: ${reason}.`, { entry: this.#path, reason }, { cause: thrown });
    }
    this.#filled = 0;
  }
}
