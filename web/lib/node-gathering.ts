/** Bytes that are put together in a file without a name. */
import { closeSync, writeSync } from 'node:fs';
import type { Gathered } from './container.js';
import { LongshoreError } from './errors.js';
import { FileSource } from './node-source.js';
import { temporaryFile } from './node-unpacking.js';
import { pieces as piecesOf } from './node-write.js';
import type { KeptBlob, LayerPart } from './protocol.js';

/** How much of a blob is copied at a time. */
const BUFFER = 1 << 20;

/** Writes bytes and blobs one after the other: no two blobs are open at once, of which there may be thousands. */
export async function gatherToFile(
  pieces: readonly LayerPart[],
  sourceOf: (blob: KeptBlob) => Promise<FileSource>,
): Promise<Gathered<FileSource>> {
  const { path, fd } = temporaryFile();
  try {
    for (const piece of pieces) {
      if (piece instanceof Uint8Array) {
        append(fd, path, piece);
        continue;
      }
      const source = await sourceOf(piece);
      try {
        const all = { source: source.fd, offset: 0, length: source.size };
        for await (const bytes of piecesOf([all], BUFFER, new Map([[source.fd, source]]))) append(fd, path, bytes);
      } finally {
        source.close();
      }
    }
    const source = new FileSource(path, fd);
    return { source, part: { source: fd, offset: 0, length: source.size }, release: () => source.close() };
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

function append(fd: number, entry: string, bytes: Uint8Array): void {
  try {
    for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
  } catch (thrown) {
    const reason = (thrown as Error).message;
    throw new LongshoreError('write-failed', `There is no place to put the layer to: ${reason}.`, { entry, reason }, { cause: thrown });
  }
}
