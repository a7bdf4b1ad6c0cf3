/** Writing an archive's parts to a file at the speed of a copy. */
import { constants } from 'node:fs';
import { copyFile, open, realpath, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { LongshoreError, aborted } from './errors.js';
import type { FileSource } from './node-source.js';
import type { Part } from './protocol.js';
import type { CallOptions } from './types.js';

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
  if (signal?.aborted) throw aborted(signal);
  source?.assertUnchanged();
  // What a symbolic link points to is written, not the link.
  const target = await realpath(path).catch(() => path);
  const partial = `${target}.partial-${process.pid}-${++partials}`;
  const report = (done: number) => onProgress?.({ phase: 'write', done, total });
  try {
    const file = await open(partial, 'wx');
    try {
      const mode = ((await stat(target).catch(() => undefined)) ?? (await file.stat())).mode & 0o7777;
      const copied = await copyHead(parts, total, source, partial, report, signal);
      // The kernel's copy brought the source's mode along.
      await file.chmod(mode);
      await append(file, copied ? parts.slice(1) : parts, copied, source, report, signal);
    } finally {
      await file.close();
    }
    // Last, so that it holds for all that was copied.
    source?.assertUnchanged();
    await rename(partial, target);
  } catch (thrown) {
    await unlink(partial).catch(() => {});
    if (thrown instanceof LongshoreError) throw thrown;
    const reason = (thrown as Error).message;
    throw new LongshoreError('write-failed', `The archive cannot be written: ${reason}.`, { entry: path, reason }, { cause: thrown });
  }
  report(total);
}

/**
 * Lets the kernel copy the whole file where the archive begins as its file does, for most of it; what follows will be
 * written over. On file systems that can, the two then share their blocks. Says how many bytes are good.
 */
async function copyHead(
  parts: readonly Part[],
  total: number,
  source: FileSource | undefined,
  to: string,
  report: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<number> {
  const head = parts[0];
  if (!source || !head || head instanceof Uint8Array || head.offset !== 0 || head.length < total / 2) return 0;
  // The path may have come to mean another file, also while it is copied.
  if (!(await source.isAtPath())) return 0;
  const timer = setInterval(() => {
    stat(to).then(({ size }) => report(Math.min(size, head.length)), () => {});
  }, REPORT_MS);
  try {
    await copyFile(source.path, to, constants.COPYFILE_FICLONE);
  } finally {
    clearInterval(timer);
  }
  if (signal?.aborted) throw aborted(signal);
  return (await source.isAtPath()) ? head.length : 0;
}

/** Cuts the file off at `done` and appends the parts. */
async function append(
  file: FileHandle,
  parts: readonly Part[],
  done: number,
  source: FileSource | undefined,
  report: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  await file.truncate(done);
  for await (const piece of pieces(parts, BUFFER, source)) {
    if (signal?.aborted) throw aborted(signal);
    await writeAll(file, piece, done);
    done += piece.length;
    report(done);
  }
}

async function writeAll(file: FileHandle, piece: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < piece.length) {
    written += (await file.write(piece, written, piece.length - written, position + written)).bytesWritten;
  }
}

/** The parts' bytes, in order and at most `size` at a time. A piece is only good until the next one is asked for. */
export async function* pieces(
  parts: readonly Part[],
  size: number,
  file: FileSource | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  let buffer: Uint8Array | undefined;
  for (const part of parts) {
    const range = part instanceof Uint8Array ? { source: part, offset: 0, length: part.length } : part;
    const { source, offset, length } = range;
    for (let done = 0; done < length; ) {
      const wanted = Math.min(size, length - done);
      if (source instanceof Uint8Array) {
        yield source.subarray(offset + done, offset + done + wanted);
        done += wanted;
      } else if (file) {
        buffer ??= new Uint8Array(size);
        const got = await file.read(buffer, wanted, offset + done);
        yield buffer.subarray(0, got);
        done += got;
      }
    }
  }
}
