/** Writing an archive's parts to a file at the speed of a copy. */
import { constants, read } from 'node:fs';
import { copyFile, open, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { LongshoreError, aborted } from './errors.js';
import type { Part } from './protocol.js';
import type { CallOptions } from './types.js';

/** An open file, and what it was like when it was opened. */
export interface FileSource {
  path: string;
  fd: number;
  size: number;
  mtimeMs: number;
  ino: number;
  dev: number;
}

const readAsync = promisify(read);
/** How much is copied at a time where the kernel does not do the copying. */
const BUFFER = 8 << 20;
/** How often progress is reported while the kernel copies. */
const REPORT_MS = 100;

let partials = 0;

/** Writes the parts beside `path`, then renames: readers of `path` see the old file or the whole new one. */
export async function writeTo(
  parts: readonly Part[],
  total: number,
  source: FileSource | undefined,
  path: string,
  { signal, onProgress }: CallOptions,
): Promise<void> {
  const partial = `${path}.partial-${process.pid}-${++partials}`;
  const report = (done: number) => onProgress?.({ phase: 'write', done, total });
  try {
    if (signal?.aborted) throw aborted(signal);
    const head = parts[0];
    if (head && source && (await isWorthCopying(head, total, source))) {
      await copyHead(source.path, partial, report, signal);
      const file = await open(partial, 'r+');
      await finish(file, parts.slice(1), head.length, report, signal);
    } else {
      await finish(await open(partial, 'wx'), parts, 0, report, signal);
    }
    await rename(partial, path);
    report(total);
  } catch (thrown) {
    await unlink(partial).catch(() => {});
    if (thrown instanceof LongshoreError) throw thrown;
    const reason = (thrown as Error).message;
    throw new LongshoreError('write-failed', `The archive cannot be written: ${reason}.`, { entry: path, reason }, { cause: thrown });
  }
}

/** Whether the archive begins as its file does, for most of it: then the kernel copies the file faster than we could. */
async function isWorthCopying(head: Part, total: number, source: FileSource): Promise<boolean> {
  if (head instanceof Uint8Array || head.source !== source.fd || head.offset !== 0 || head.length < total / 2) return false;
  // The path may have come to mean another file.
  const now = await stat(source.path).catch(() => undefined);
  return now?.ino === source.ino && now.dev === source.dev && now.mtimeMs === source.mtimeMs && now.size === source.size;
}

/** Copies the whole file; the tail will be written over. On file systems that can, the two then share their blocks. */
async function copyHead(
  from: string,
  to: string,
  report: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const timer = setInterval(() => {
    stat(to).then(({ size }) => report(size), () => {});
  }, REPORT_MS);
  try {
    await copyFile(from, to, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  } finally {
    clearInterval(timer);
  }
  if (signal?.aborted) throw aborted(signal);
}

/** Cuts the file off at `done` and appends the parts. Closes it. */
async function finish(
  file: FileHandle,
  parts: readonly Part[],
  done: number,
  report: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await file.truncate(done);
    for await (const piece of pieces(parts, BUFFER)) {
      if (signal?.aborted) throw aborted(signal);
      await writeAll(file, piece, done);
      done += piece.length;
      report(done);
    }
  } finally {
    await file.close();
  }
}

async function writeAll(file: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < piece.length) {
    written += (await file.write(piece, written, piece.length - written, position + written)).bytesWritten;
  }
}

/** The parts' bytes, in order. A piece is only good until the next one is asked for. */
export async function* pieces(parts: readonly Part[], size: number): AsyncGenerator<Uint8Array, void, undefined> {
  let buffer: Uint8Array | undefined;
  for (const part of parts) {
    if (part instanceof Uint8Array) {
      yield part;
      continue;
    }
    const { source, offset, length } = part;
    if (source instanceof Uint8Array) {
      yield source.subarray(offset, offset + length);
      continue;
    }
    buffer ??= new Uint8Array(size);
    for (let done = 0; done < length; ) {
      const { bytesRead } = await readAsync(source as number, buffer, 0, Math.min(size, length - done), offset + done);
      if (bytesRead === 0) {
        throw new LongshoreError('source-changed', 'The file became shorter while it was copied.', { offset: offset + done });
      }
      yield buffer.subarray(0, bytesRead);
      done += bytesRead;
    }
  }
}
