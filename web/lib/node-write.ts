/** Writing an archive's parts to a file at the speed of a copy. */
import type { Hash } from 'node:crypto';
import { open, readlink, realpath, rename, stat, unlink, type FileHandle } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LongshoreError, aborted } from './errors.js';
import { pageBuffer } from './node-buffers.js';
import { hashOf, isOf, type Expected, type FileSource } from './node-source.js';
import { cut, readAhead } from './parts.js';
import type { Part } from './protocol.js';
import type { CallOptions } from './types.js';

/** How much is copied at a time. With smaller buffers the calls cost more than the copying. */
const BUFFER = 8 << 20;
/** As many symbolic links are followed from one to the next, as Linux does. */
const MOST_LINKS = 40;

/** The files that parts are ranges of, by their descriptors. */
export type Files = ReadonlyMap<number, FileSource>;

/** The file with a descriptor. */
export type FileOf = { get(fd: number): FileSource | undefined };

/** Fails with `source-changed` where a file is no longer what it was. */
export function assertUnchanged(files: Files): void {
  for (const file of files.values()) file.assertUnchanged();
}

let partials = 0;

/**
 * Writes the parts beside `path`, then renames: readers of `path` see the old file or the whole new one. A pipe or a device is not
 * replaced: it takes the bytes as they come.
 */
export async function writeTo(
  parts: readonly Part[],
  total: number,
  files: Files,
  path: string,
  { signal, onProgress }: CallOptions,
): Promise<void> {
  if (signal?.aborted) throw aborted(signal);
  assertUnchanged(files);
  const target = await pointedTo(path);
  const partial = `${target}.partial-${process.pid}-${++partials}`;
  const report = (done: number) => onProgress?.({ phase: 'write', done, total });
  try {
    const found = await stat(target).catch(() => undefined);
    if (found?.isDirectory()) throw new Error('it is a directory');
    const isReplaced = !found || found.isFile();
    const file = await open(isReplaced ? partial : target, isReplaced ? 'wx' : 'w');
    try {
      if (isReplaced) await file.chmod((found ?? (await file.stat())).mode & 0o7777);
      await append(file, isReplaced, parts, files, report, signal);
    } finally {
      await file.close();
    }
    // Last, so that it holds for all that was copied.
    assertUnchanged(files);
    if (signal?.aborted) throw aborted(signal);
    if (isReplaced) await rename(partial, target);
  } catch (thrown) {
    await unlink(partial).catch(() => {});
    if (thrown instanceof LongshoreError) throw thrown;
    const cause = thrown as Error;
    throw failure(path, cause, cause.message.replaceAll(partial, target));
  }
  report(total);
}

function failure(path: string, cause: Error, reason = cause.message): LongshoreError {
  return new LongshoreError('write-failed', `The archive cannot be written: ${reason}.`, { entry: path, reason }, { cause });
}

/** What a symbolic link points to is written, not the link; also where there is nothing yet. */
async function pointedTo(path: string, links = 0): Promise<string> {
  const real = await realpath(path).catch(() => undefined);
  if (real !== undefined) return real;
  const link = await readlink(path).catch(() => undefined);
  // What there is without a path is a pipe.
  if (link === undefined || (await stat(path).catch(() => undefined))) return path;
  if (links === MOST_LINKS) throw failure(path, new Error('there are too many symbolic links'));
  return pointedTo(resolve(dirname(path), link), links + 1);
}

async function append(
  file: FileHandle,
  hasPositions: boolean,
  parts: readonly Part[],
  files: Files,
  report: (done: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  let done = 0;
  for await (const piece of pieces(parts, BUFFER, files)) {
    if (signal?.aborted) throw aborted(signal);
    await writeAll(file, piece, hasPositions ? done : undefined);
    done += piece.length;
    report(done);
  }
}

async function writeAll(file: FileHandle, piece: Uint8Array, position: number | undefined): Promise<void> {
  let written = 0;
  while (written < piece.length) {
    const at = position === undefined ? null : position + written;
    written += (await file.write(piece, written, piece.length - written, at)).bytesWritten;
  }
}

/**
 * The parts' bytes, in order and at most `size` at a time. A piece is only good until the next one is asked for. A file of which it is
 * known what it holds is held against that, where all of it is among the parts.
 */
export function pieces(
  parts: readonly Part[],
  size: number,
  files: FileOf,
): AsyncGenerator<Uint8Array, void, undefined> {
  const buffers: Uint8Array[] = [];
  const hashes = new Map<FileSource, { hash: Hash; done: number }>();
  let turn = 0;
  return readAhead(cut(parts, size), async ({ source, offset, length }) => {
    if (source instanceof Uint8Array) return source.subarray(offset, offset + length);
    turn = 1 - turn;
    const buffer = (buffers[turn] ??= pageBuffer(size));
    const file = files.get(source as number);
    if (!file) throw new LongshoreError('closed', 'The archive is closed.');
    for (let done = 0; done < length; ) {
      done += await file.read(buffer.subarray(done), length - done, offset + done);
    }
    const piece = buffer.subarray(0, length);
    if (file.expected) await holdAgainst(file, file.expected, offset, piece);
    return piece;
  });

  /** What is read is hashed while what was read before is written. */
  async function holdAgainst(file: FileSource, { digest, wrong }: Expected, offset: number, piece: Uint8Array): Promise<void> {
    if (offset === 0) hashes.set(file, { hash: hashOf(digest), done: 0 });
    const state = hashes.get(file);
    if (state?.done !== offset) return;
    state.hash.update(piece);
    state.done += piece.length;
    if (state.done === file.size && !isOf(digest, state.hash)) throw await wrong();
  }
}
