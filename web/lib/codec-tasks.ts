/** What a thread of the codec does, in a browser and in Node: it hashes and unpacks bytes, one task at a time. */
import type * as Codec from './codec.js';
import { LongshoreError, isBreakdown, toData } from './errors.js';
import { check, keep, type Shelf } from './keep-tasks.js';
import { cut, type Range } from './parts.js';
import type { Found, FromThread, Hashing, Job, Measured, Part, ReadSync, Repacked, ShelfPlace, Target, Tasks, ToThread, Unpacked } from './protocol.js';
import type { LayerPacking, Limits } from './types.js';

/** What is read, unpacked and written at a time. */
export const PIECE = 4 << 20;

/** How often a thread tells how far it is. */
const REPORT_MS = 50;

/** How often a thread that fills a sink waits for a moment. */
const PAUSE_MS = 100;

/** Somewhere to put unpacked bytes. */
export interface Sink {
  /** Takes bytes, which are the sink's from now on. */
  write(bytes: Uint8Array<ArrayBuffer>): void | Promise<void>;
  /** All are there: the `Blob` that they are now, if it is none that the caller has already. */
  finish(): Blob | undefined | Promise<Blob | undefined>;
  /** No more will come. */
  abandon(): void;
}

/** What differs between a browser's Worker and Node's. */
export interface Platform {
  codec: typeof Codec;
  /** For files, which only Node has. */
  readSync: ReadSync | undefined;
  read(range: Range): Uint8Array | Promise<Uint8Array>;
  /** The bytes of the parts, in order: while a piece is used the next is read, and a piece is only good until that is asked for. */
  stream(parts: readonly Part[]): AsyncIterable<Uint8Array>;
  /** Hashes bytes by the fastest that there is. */
  hash(algorithm: string): Hashing;
  /** Whether that is outside of the codec. */
  hashesOutside: boolean;
  sink(target: Target): Promise<Sink>;
  shelf(place: ShelfPlace): Promise<Shelf>;
}

/** Tells how many bytes are done, not too often. */
type Tell = (done: number) => void;

/** Answers the messages of the pool. */
export function serve(start: (wasmUrl: string | undefined) => Promise<Platform>, post: (reply: FromThread) => void) {
  let starting: Promise<Platform> | undefined;
  return async (message: ToThread): Promise<void> => {
    if (message.op === 'start') {
      starting = start(message.wasmUrl);
      // The task that follows reports its failure.
      starting.catch(() => {});
      return;
    }
    let platform: Platform | undefined;
    try {
      platform = await starting;
      if (!platform) throw new Error('the thread was not started');
      let next = 0;
      const tell = (done: number) => {
        if (performance.now() < next) return;
        next = performance.now() + REPORT_MS;
        post({ done });
      };
      post({ result: await run(platform, message, tell) });
    } catch (thrown) {
      post({ error: toData(thrown), broken: !platform || isBreakdown(thrown) });
    }
  };
}

function run(platform: Platform, message: Exclude<ToThread, { op: 'start' }>, tell: Tell): Promise<unknown> {
  switch (message.op) {
    case 'measure':
      return measureAll(platform, message.args, tell);
    case 'unpack':
      return unpack(platform, message.args, tell);
    case 'repack':
      return repack(platform, message.args, tell);
    case 'rewrite':
      return rewrite(platform, message.args, tell);
    case 'keep':
      return keep(platform, message.args, measure, tell);
    case 'check':
      return check(platform, message.args, measure, tell);
  }
}

async function measureAll(platform: Platform, { jobs, limits }: Tasks['measure']['args'], tell: Tell): Promise<Found[]> {
  const found: Found[] = [];
  let before = 0;
  for (const job of jobs) {
    const measured = await measure(platform, job, limits, (done) => tell(before + done));
    found.push({ entry: job.entry, ...measured });
    before += job.size;
    tell(before);
  }
  return found;
}

async function measure(platform: Platform, job: Job, limits: Limits, tell: Tell): Promise<Measured> {
  try {
    if (await isHashedAsItIs(platform, job)) return await hashPlain(platform, job, tell);
    const { codec, readSync, hashesOutside, hash } = platform;
    const outside = hashesOutside ? hash : undefined;
    const measuring = new codec.Measure(job.parts, readSync, job.stored, job.content, job.unpack ? limits : undefined, outside);
    while (!measuring.step(PIECE)) tell(measuring.consumed());
    return measuring.finish();
  } catch (thrown) {
    // The archive had these bytes when it was opened.
    if ((thrown as Partial<LongshoreError>).code !== 'truncated') throw thrown;
    throw new LongshoreError('source-changed', 'The file has changed since it was opened. Open it again.');
  }
}

/** Whether one hash of the bytes says all: most layers of archives are not compressed. */
async function isHashedAsItIs(platform: Platform, { parts, stored, content, unpack }: Job): Promise<boolean> {
  return !unpack || (stored === content && (await isPlain(platform, parts)));
}

/** Whether the bytes are not compressed, by their beginning. */
export async function isPlain({ codec, read }: Platform, parts: Part[]): Promise<boolean> {
  const first = parts.length === 1 && cut(parts, 8).next().value;
  return first ? codec.compressionOf(await read(first)) === undefined : false;
}

/** Reads and hashes at the same time. */
async function hashPlain(platform: Platform, { parts, size, stored, unpack }: Job, tell: Tell): Promise<Measured> {
  const hasher = platform.hash(stored);
  const look = unpack ? new platform.codec.Look() : undefined;
  let done = 0;
  for await (const piece of platform.stream(parts)) {
    hasher.update(piece);
    look?.update(piece);
    done += piece.length;
    tell(done);
  }
  return { digest: hasher.finish(), size, odd: look?.finish() ?? [] };
}

async function unpack(platform: Platform, { parts, limits, into }: Tasks['unpack']['args'], tell: Tell): Promise<Unpacked> {
  const unpacking = new platform.codec.Unpack(parts, platform.readSync, limits);
  const { blob, size } = await fill(await platform.sink(into), each(() => unpacking.read(PIECE), () => tell(unpacking.consumed())));
  return { ...(blob && { blob }), size, trailing: unpacking.trailing() };
}

async function repack(platform: Platform, { parts, packing, limits, into }: Tasks['repack']['args'], tell: Tell): Promise<Repacked> {
  if (await isPlain(platform, parts)) {
    const content = platform.hash('sha256');
    return { ...(await hashed(platform, into, packed(platform, parts, packing, content, tell))), content: content.finish() };
  }
  const repacking = new platform.codec.Repack(parts, platform.readSync, packing, limits);
  return worked(platform, repacking, () => repacking.consumed(), into, tell);
}

async function rewrite(
  platform: Platform,
  { sources, pieces, fresh, packing, limits, into }: Tasks['rewrite']['args'],
  tell: Tell,
): Promise<Repacked> {
  const writing = new platform.codec.LayerWriting(sources, platform.readSync, pieces, fresh, packing, limits);
  return worked(platform, writing, () => writing.done(), into, tell);
}

/** Fills a sink with what the codec packs. */
async function worked(
  platform: Platform,
  work: { read(): Uint8Array | undefined; finish(): string },
  done: () => number,
  into: Target,
  tell: Tell,
): Promise<Repacked> {
  const made = await hashed(platform, into, each(() => work.read(), () => tell(done())));
  return { ...made, content: work.finish() };
}

/** Fills a sink with packed bytes, which are hashed before it takes them. */
async function hashed(platform: Platform, into: Target, pieces: AsyncIterable<Bytes> | Iterable<Bytes>): Promise<Omit<Repacked, 'content'>> {
  const hasher = platform.hash('sha256');
  const { blob, size } = await fill(await platform.sink(into), pieces, (bytes) => hasher.update(bytes));
  return { ...(blob && { blob }), size, digest: hasher.finish() };
}

type Bytes = Uint8Array<ArrayBuffer>;

/** What `next` gives, until it gives nothing. */
function* each(next: () => Uint8Array | undefined, told: () => void): Generator<Bytes, void, undefined> {
  for (let bytes = next(); bytes; bytes = next()) {
    told();
    yield bytes as Bytes;
  }
}

/** Packs bytes that are not packed, which are hashed by the fastest that there is. */
async function* packed(
  { codec, stream }: Platform,
  parts: Part[],
  packing: LayerPacking,
  content: Hashing,
  tell: Tell,
): AsyncGenerator<Bytes, void, undefined> {
  const pack = new codec.Pack(packing);
  let done = 0;
  for await (const piece of stream(parts)) {
    content.update(piece);
    done += piece.length;
    yield pack.push(piece) as Bytes;
    tell(done);
  }
  yield pack.finish() as Bytes;
}

/** Fills a sink; `seen` sees the bytes before. */
async function fill(
  sink: Sink,
  pieces: AsyncIterable<Bytes> | Iterable<Bytes>,
  seen: (bytes: Bytes) => void = () => {},
): Promise<{ blob: Blob | undefined; size: number }> {
  let size = 0;
  let next = performance.now() + PAUSE_MS;
  try {
    for await (const bytes of pieces) {
      seen(bytes);
      size += bytes.length;
      if (bytes.length > 0) await sink.write(bytes);
      if (performance.now() < next) continue;
      // Chromium lets a thread that never waits go on for two seconds after it was ended.
      await new Promise((resolve) => setTimeout(resolve));
      next = performance.now() + PAUSE_MS;
    }
    return { blob: await sink.finish(), size };
  } catch (thrown) {
    sink.abandon();
    throw thrown;
  }
}
