/** What a thread of the codec does, in a browser and in Node: it hashes and unpacks bytes, one task at a time. */
import type * as Codec from './codec.js';
import { LongshoreError, isBreakdown, toData } from './errors.js';
import { check, keep, type Shelf } from './keep-tasks.js';
import { cut, readAhead, type Range } from './parts.js';
import type { Found, FromThread, Job, Measured, ReadSync, Repacked, ShelfPlace, Target, Tasks, ToThread, Unpacked } from './protocol.js';
import type { Limits } from './types.js';

/** What is read, unpacked and written at a time. */
export const PIECE = 4 << 20;

/** How often a thread tells how far it is. */
const REPORT_MS = 50;

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
  /** Hashes bytes by the fastest that there is. */
  hash(algorithm: string): { update(bytes: Uint8Array): void; finish(): string };
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
    if (await isHashedAsItIs(platform, job)) return await hash(platform, job, tell);
    const measuring = new platform.codec.Measure(job.parts, platform.readSync, job.stored, job.content, job.unpack ? limits : undefined);
    while (!measuring.step(PIECE)) tell(measuring.consumed());
    return measuring.finish();
  } catch (thrown) {
    // The archive had these bytes when it was opened.
    if ((thrown as Partial<LongshoreError>).code !== 'truncated') throw thrown;
    throw new LongshoreError('source-changed', 'The file has changed since it was opened. Open it again.');
  }
}

/** Whether one hash of the bytes says all: most layers of archives are not compressed. */
async function isHashedAsItIs({ codec, read }: Platform, { parts, stored, content, unpack }: Job): Promise<boolean> {
  if (!unpack) return true;
  const first = parts.length === 1 && stored === content && cut(parts, 8).next().value;
  return first ? codec.compressionOf(await read(first)) === undefined : false;
}

/** Reads and hashes at the same time. */
async function hash(platform: Platform, { parts, size, stored }: Job, tell: Tell): Promise<Measured> {
  const hasher = platform.hash(stored);
  let done = 0;
  for await (const piece of readAhead(cut(parts, PIECE), platform.read)) {
    hasher.update(piece);
    done += piece.length;
    tell(done);
  }
  return { digest: hasher.finish(), size };
}

async function unpack(platform: Platform, { parts, limits, into }: Tasks['unpack']['args'], tell: Tell): Promise<Unpacked> {
  const unpacking = new platform.codec.Unpack(parts, platform.readSync, limits);
  let size = 0;
  const blob = await fill(await platform.sink(into), () => {
    const bytes = unpacking.read(PIECE);
    size += bytes?.length ?? 0;
    tell(unpacking.consumed());
    return bytes;
  });
  return { ...(blob && { blob }), size, trailing: unpacking.trailing() };
}

async function repack(platform: Platform, { parts, packing, limits, into }: Tasks['repack']['args'], tell: Tell): Promise<Repacked> {
  const repacking = new platform.codec.Repack(parts, platform.readSync, packing, limits);
  const hasher = platform.hash('sha256');
  let size = 0;
  const blob = await fill(await platform.sink(into), () => {
    const bytes = repacking.read();
    // Before the sink takes them.
    if (bytes) hasher.update(bytes);
    size += bytes?.length ?? 0;
    tell(repacking.consumed());
    return bytes;
  });
  return { ...(blob && { blob }), size, digest: hasher.finish(), content: repacking.finish() };
}

/** Fills a sink with what `next` gives, until it gives nothing. */
async function fill(sink: Sink, next: () => Uint8Array | undefined): Promise<Blob | undefined> {
  try {
    for (let bytes = next(); bytes; bytes = next()) {
      if (bytes.length > 0) await sink.write(bytes as Uint8Array<ArrayBuffer>);
    }
    return await sink.finish();
  } catch (thrown) {
    sink.abandon();
    throw thrown;
  }
}
