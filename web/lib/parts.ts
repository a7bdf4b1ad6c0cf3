/** The bytes that an archive or a member of it is made of. */
import type { Part } from './protocol.js';

/** Bytes, and how many. */
export interface Bytes {
  size: number;
  parts: Part[];
}

/** A range of one source. */
export interface Range {
  source: Blob | Uint8Array | number;
  offset: number;
  length: number;
}

/** A range of a part. */
export function within(part: Part, from: number, length: number): Part {
  return part instanceof Uint8Array ? part.subarray(from, from + length) : { source: part.source, offset: part.offset + from, length };
}

/** The parts, cut into ranges of at most `size` bytes. */
export function* cut(parts: readonly Part[], size: number): Generator<Range, undefined, undefined> {
  for (const part of parts) {
    const { source, offset, length } = part instanceof Uint8Array ? { source: part, offset: 0, length: part.length } : part;
    for (let done = 0; done < length; done += size) {
      yield { source, offset: offset + done, length: Math.min(size, length - done) };
    }
  }
  return undefined;
}

/**
 * The ranges' bytes, in order. While one piece is used the next is read already, so a piece of a buffer is only good
 * until the next one is asked for.
 */
export async function* readAhead(
  ranges: Iterator<Range, undefined>,
  read: (range: Range) => Uint8Array | Promise<Uint8Array>,
): AsyncGenerator<Uint8Array, void, undefined> {
  const load = async () => {
    const { value } = ranges.next();
    return value && read(value);
  };
  let next = load();
  try {
    for (let piece = await next; piece; piece = await next) {
      next = load();
      // A failure is met when its turn comes.
      next.catch(() => {});
      yield piece;
    }
  } finally {
    // Nobody may wait for it any more; it still has to end before a file can be closed.
    await next.catch(() => {});
  }
}
