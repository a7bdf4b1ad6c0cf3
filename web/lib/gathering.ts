/** Bytes that are put together in a `Blob`. */
import { damagedBlob } from './errors.js';
import type { Content, KeptBlob, LayerPart } from './protocol.js';

/** A blob of up to so many bytes is read whole: small contents share those, and a range of a stored blob costs a read of its own. */
const WHOLE = 8 << 20;
/** How many of them are in memory. */
const BLOBS = 4;
/** So many bytes in memory become a `Blob`: the browser may put those to its disk. */
const HELD = 16 << 20;

/** Puts bytes and ranges of blobs one after the other. */
export async function gatherToBlob(pieces: readonly LayerPart[], sourceOf: (blob: KeptBlob) => Promise<Blob>): Promise<Blob> {
  const read = new Map<string, Uint8Array<ArrayBuffer>>();
  const whole = async (blob: KeptBlob) => {
    const source = await sourceOf(blob);
    const bytes = await source.arrayBuffer().catch((thrown: unknown) => Promise.reject(damagedBlob(blob.digest, thrown)));
    return new Uint8Array(bytes);
  };
  const bytesOf = async ({ digest, size, offset, length }: Content) => {
    const bytes = read.get(digest) ?? (await whole({ digest, size }));
    read.set(digest, bytes);
    const [oldest] = read.keys();
    if (read.size > BLOBS && oldest !== undefined) read.delete(oldest);
    return bytes.subarray(offset, offset + length);
  };
  const parts: Blob[] = [];
  let bytes: Uint8Array<ArrayBuffer>[] = [];
  let held = 0;
  const flush = () => {
    parts.push(new Blob(bytes));
    bytes = [];
    held = 0;
  };
  for (const piece of pieces) {
    if (!(piece instanceof Uint8Array) && piece.size > WHOLE) {
      const { digest, size, offset, length } = piece;
      flush();
      parts.push((await sourceOf({ digest, size })).slice(offset, offset + length));
      continue;
    }
    const own = piece instanceof Uint8Array ? (piece as Uint8Array<ArrayBuffer>) : await bytesOf(piece);
    bytes.push(own);
    held += own.length;
    if (held >= HELD) flush();
  }
  flush();
  return new Blob(parts);
}
