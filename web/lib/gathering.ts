/** Bytes that are put together in a `Blob`. */
import { damagedBlob } from './errors.js';
import type { Content, KeptBlob, LayerPart } from './protocol.js';

/** So many bytes in memory become a `Blob`: the browser may put those to its disk. */
const HELD = 32 << 20;
/** A blob of up to so many bytes is read whole: small contents share those, and a range of a stored blob costs a read of its own. */
const WHOLE = 8 << 20;
/** How many of them are in memory. */
const BLOBS = 4;

/** Bytes and `Blob`s, one after the other. */
export class Gathering {
  readonly #blobs: Blob[] = [];
  #fresh: (Blob | Uint8Array<ArrayBuffer>)[] = [];
  #held = 0;

  add(part: Blob | Uint8Array): void {
    this.#fresh.push(part as Blob | Uint8Array<ArrayBuffer>);
    this.#held += part instanceof Blob ? 0 : part.length;
    if (this.#held < HELD) return;
    this.#blobs.push(new Blob(this.#fresh));
    this.#fresh = [];
    this.#held = 0;
  }

  /** All of them. */
  blob(type = ''): Blob {
    return new Blob([...this.#blobs, ...this.#fresh], { type });
  }
}

/** Puts bytes and ranges of blobs one after the other. */
export async function gatherToBlob(pieces: readonly LayerPart[], sourceOf: (blob: KeptBlob) => Promise<Blob>): Promise<Blob> {
  const read = new Map<string, Uint8Array>();
  const whole = async (blob: KeptBlob) => {
    const source = await sourceOf(blob);
    const bytes = await source.arrayBuffer().catch((thrown: unknown) => Promise.reject(damagedBlob(blob.digest, thrown)));
    return new Uint8Array(bytes);
  };
  const rangeOf = async ({ digest, size, offset, length }: Content) => {
    if (size > WHOLE) return (await sourceOf({ digest, size })).slice(offset, offset + length);
    const bytes = read.get(digest) ?? (await whole({ digest, size }));
    read.set(digest, bytes);
    const [oldest] = read.keys();
    if (read.size > BLOBS && oldest !== undefined) read.delete(oldest);
    return bytes.subarray(offset, offset + length);
  };
  const gathering = new Gathering();
  for (const piece of pieces) gathering.add(piece instanceof Uint8Array ? piece : await rangeOf(piece));
  return gathering.blob();
}
