/** What files of containers hold, as blobs of a store. */
import type { NumberedBytes } from './files.js';
import type { Bytes } from './parts.js';
import type { BlobToKeep, Content, Part } from './protocol.js';

/** A content of up to so many bytes shares its blob with others: a blob of its own costs more than to write it. */
const SMALL = 256 << 10;
/** A blob that is shared has up to so many. */
const SHARED = 8 << 20;

/** Puts contents into blobs; says by the contents' numbers where each is. */
export async function inBlobs(
  files: AsyncIterable<NumberedBytes> | Iterable<NumberedBytes>,
  join: (parts: readonly Part[]) => Promise<Part>,
  measure: (blobs: readonly Bytes[]) => Promise<BlobToKeep[]>,
): Promise<{ contents: Map<number, Content>; blobs: BlobToKeep[] }> {
  const blobs: Bytes[] = [];
  const places: { number: number; blob: number; offset: number; length: number }[] = [];
  let shared: Bytes | undefined;
  for await (const { number, size, parts } of files) {
    if (size > SMALL) {
      places.push({ number, blob: blobs.push({ size, parts }) - 1, offset: 0, length: size });
      continue;
    }
    if (!shared || shared.size + size > SHARED) {
      if (shared) shared.parts = [await join(shared.parts)];
      blobs.push((shared = { size: 0, parts: [] }));
    }
    places.push({ number, blob: blobs.indexOf(shared), offset: shared.size, length: size });
    shared.size += size;
    shared.parts.push(...parts);
  }
  if (shared) shared.parts = [await join(shared.parts)];
  const kept = await measure(blobs);
  const contents = places.map(({ number, blob, offset, length }): [number, Content] => {
    const { digest, size } = kept[blob] as BlobToKeep;
    return [number, { digest, size, offset, length }];
  });
  return { contents: new Map(contents), blobs: kept };
}
