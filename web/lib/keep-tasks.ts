/** What the codec's threads do for a store: they put blobs where it keeps them, and read them again. */
import { isPlain, type Platform } from './codec-tasks.js';
import { LongshoreError, isBreakdown } from './errors.js';
import { cut, within } from './parts.js';
import type { BlobToKeep, Hashing, Job, KeptBlob, Measured, Part, Tasks } from './protocol.js';
import type { Limits } from './types.js';

/** Where a store keeps blobs, as a thread of the codec sees it. */
export interface Shelf {
  /**
   * Puts the bytes there, and shows each piece as it is stored: the next is written while that is read. Nobody takes them for the
   * blob before they are settled.
   */
  put(blob: BlobToKeep, number: number, shown: (piece: Part) => Promise<void>): Promise<Stored>;
  /** States that these blobs are there, whole and right. */
  settle(stored: readonly { blob: KeptBlob; stored: Stored }[]): Promise<void>;
  /** A blob that is said to be there. */
  find(blob: KeptBlob): Promise<Stored | undefined>;
  close(): void;
}

/** Bytes as they are stored, to be read again. */
export interface Stored {
  /** Where they can be read at any offset. */
  part?: Part;
  /** All of them in order, otherwise. */
  read(): AsyncIterable<Uint8Array>;
  /** Nobody reads them any more: a task has more blobs than a process may have open files. */
  close?(): Promise<void>;
}

/** How the platform measures the bytes of a job; see codec-tasks.ts. */
export type Measure = (platform: Platform, job: Job, limits: Limits, tell: (done: number) => void) => Promise<Measured>;

/** Keeps blobs: each is written, read again, and only then stated to be there. Half of the bytes told are those read. */
export async function keep(
  platform: Platform,
  { blobs, limits, into }: Tasks['keep']['args'],
  measure: Measure,
  tell: (done: number) => void,
): Promise<undefined> {
  const shelf = await platform.shelf(into);
  try {
    const kept = [];
    let before = 0;
    for (const [number, blob] of blobs.entries()) {
      const reading = new Reading(platform, blob, (done) => tell(before + done));
      // Where writing fails, nothing may be read any more from what is given back then.
      const stored = await shelf.put(blob, number, (piece) => reading.see(piece)).finally(() => reading.rest());
      const read = (await reading.finish()) ?? (await again(platform, blob, stored, limits, measure, (done) => tell(before + (blob.size + done) / 2)));
      assertRight(blob, read);
      await stored.close?.();
      kept.push({ blob, stored });
      before += blob.size;
      tell(before);
    }
    await shelf.settle(kept);
    return undefined;
  } finally {
    shelf.close();
  }
}

/** Reads a blob's pieces as they are stored, as long as that says all that is to be known: of what is not compressed. */
class Reading {
  readonly #platform: Platform;
  readonly #blob: BlobToKeep;
  readonly #tell: (done: number) => void;
  #hash: Hashing | undefined;
  #last: Promise<void> | undefined;
  #written = 0;
  #read = 0;

  constructor(platform: Platform, blob: BlobToKeep, tell: (done: number) => void) {
    this.#platform = platform;
    this.#blob = blob;
    this.#tell = tell;
  }

  /** Begins to read a piece when the one before has been read. */
  async see(piece: Part): Promise<void> {
    const isFirst = this.#last === undefined;
    await this.#last;
    if (isFirst && (await this.#saysAll(piece))) this.#hash = this.#platform.hash(algorithmOf(this.#blob.digest));
    this.#written += piece.length;
    this.#last = this.#take(piece);
    // It is met when the next piece comes, or at the end.
    this.#last.catch(() => {});
  }

  /** Waits until nothing is read. */
  async rest(): Promise<void> {
    await this.#last?.catch(() => {});
  }

  /** What was read; nothing where that does not say all. */
  async finish(): Promise<Measured | undefined> {
    await this.#last;
    return this.#hash && { digest: this.#hash.finish(), size: this.#read };
  }

  async #take(piece: Part): Promise<void> {
    if (this.#hash) {
      for await (const bytes of this.#platform.stream([piece])) {
        this.#hash.update(bytes);
        this.#read += bytes.length;
        this.#tell((this.#written + this.#read) / 2);
      }
    } else {
      this.#tell(this.#written / 2);
    }
  }

  async #saysAll(first: Part): Promise<boolean> {
    const { digest, layers } = this.#blob;
    if (layers.length === 0) return true;
    return algorithmOf(layers[0]?.diffId ?? digest) === algorithmOf(digest) && isPlain(this.#platform, [first]);
  }
}

/**
 * Reads kept blobs; gives the digests of those that are gone or are not what they should be. Fails with `store-failed` where one
 * cannot be read: that says nothing of the blob, and may not last.
 */
export async function check(
  platform: Platform,
  { blobs, of }: Tasks['check']['args'],
  measure: Measure,
  tell: (done: number) => void,
): Promise<string[]> {
  const shelf = await platform.shelf(of);
  const wrong: string[] = [];
  try {
    let before = 0;
    for (const blob of blobs) {
      const asKept = { ...blob, parts: [], layers: [] };
      const isRight = async () => {
        const stored = await shelf.find(blob);
        if (!stored) return false;
        const { digest } = await again(platform, asKept, stored, {}, measure, (done) => tell(before + done)).finally(() => stored.close?.());
        return digest === blob.digest;
      };
      if (!(await isRight().catch((thrown: unknown) => ifLost(thrown, blob.digest)))) wrong.push(blob.digest);
      before += blob.size;
      tell(before);
    }
    return wrong;
  } finally {
    shelf.close();
  }
}

/** What reading a blob fails with whose bytes are gone, or no longer those that were stored. */
const LOST = ['damaged-blob', 'source-changed', 'truncated'];

function ifLost(thrown: unknown, digest: string): false {
  const { code, message: reason = String(thrown) } = (thrown ?? {}) as Partial<LongshoreError>;
  if (LOST.includes(String(code))) return false;
  if (isBreakdown(thrown)) throw thrown;
  throw new LongshoreError('store-failed', `The blob ${digest} cannot be read: ${reason}`, { digest, reason }, { cause: thrown });
}

/** Measures what was stored. */
async function again(
  platform: Platform,
  { digest, size, parts, layers }: BlobToKeep,
  { part, read }: Stored,
  limits: Limits,
  measure: Measure,
  tell: (done: number) => void,
): Promise<Measured> {
  const stored = algorithmOf(digest);
  const content = algorithmOf(layers[0]?.diffId ?? digest);
  const job = { entry: 0, size, stored, content, unpack: layers.length > 0 };
  if (part) return measure(platform, { ...job, parts: [part] }, limits, tell);
  // What cannot be read at any offset is only hashed. It holds what the source holds, if their digests are the same.
  const hash = platform.hash(stored);
  let done = 0;
  for await (const bytes of read()) {
    hash.update(bytes);
    done += bytes.length;
    tell(job.unpack ? done / 2 : done);
  }
  const measured = { digest: hash.finish(), size: done };
  if (!job.unpack) return measured;
  const source = await measure(platform, { ...job, parts }, limits, (done) => tell((size + done) / 2));
  return source.digest === measured.digest ? source : measured;
}

/** Fails with `digest-mismatch`, in Docker's words for layers, or as what cannot be unpacked fails. */
function assertRight({ digest, size, layers }: BlobToKeep, measured: Measured): void {
  const isStored = measured.digest === digest && measured.size === size;
  if (measured.error && isStored) {
    throw new LongshoreError(measured.error.code as LongshoreError['code'], measured.error.message, { digest });
  }
  const actual = measured.content?.digest ?? measured.digest;
  const wrong = measured.error ? undefined : layers.find(({ diffId }) => diffId !== actual);
  if (wrong) {
    const sentence = `invalid diffID for layer ${wrong.layer}: expected "${wrong.diffId}", got "${actual}"`;
    throw new LongshoreError('digest-mismatch', sentence, { layer: wrong.layer, expected: wrong.diffId, actual });
  }
  if (!isStored) {
    const sentence = `invalid digest for blob: expected "${digest}", got "${measured.digest}"`;
    throw new LongshoreError('digest-mismatch', sentence, { digest, expected: digest, actual: measured.digest });
  }
}

function algorithmOf(digest: string): string {
  return digest.startsWith('sha512:') ? 'sha512' : 'sha256';
}

/** The bytes of the parts in pieces of `size` bytes at most, as `Blob`s that nobody reads here. */
export function* blobsOf(parts: readonly Part[], size: number): Generator<Blob, void, undefined> {
  let piece: BlobPart[] = [];
  let room = size;
  for (const part of parts) {
    const length = part.length;
    for (let done = 0; done < length; ) {
      const take = Math.min(room, length - done);
      for (const { source, offset, length } of cut([within(part, done, take)], take)) {
        piece.push(source instanceof Blob ? source.slice(offset, offset + length) : bytesOf(source as Uint8Array, offset, length));
      }
      done += take;
      room -= take;
      if (room > 0) continue;
      yield new Blob(piece);
      piece = [];
      room = size;
    }
  }
  if (piece.length > 0) yield new Blob(piece);
}

function bytesOf(source: Uint8Array, offset: number, length: number): Uint8Array<ArrayBuffer> {
  return source.subarray(offset, offset + length) as Uint8Array<ArrayBuffer>;
}
