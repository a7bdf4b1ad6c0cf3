/** Unpacking a compressed file in Node. */
import { randomUUID } from 'node:crypto';
import { closeSync, openSync, unlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LongshoreError } from './errors.js';
import { FileSource } from './node-source.js';
import type { Inner } from './packed.js';
import type { Pool } from './pool.js';
import type { Limits, UnpackOptions } from './types.js';

/** Unpacks a file or an array, in a thread, into a temporary file. */
export async function unpackToFile(
  pool: Pool,
  source: FileSource | Uint8Array,
  limits: Limits,
  { signal, onProgress }: UnpackOptions,
): Promise<Inner<FileSource>> {
  const file = source instanceof FileSource ? source : undefined;
  const total = file ? file.size : (source as Uint8Array).length;
  const parts = [{ source: file ? file.fd : (source as Uint8Array), offset: 0, length: total }];
  const release = file?.hold();
  const { path, fd } = temporaryFile();
  try {
    const onDone = (done: number) => onProgress?.({ phase: 'unpack', done, total });
    onDone(0);
    const { trailing } = await pool.run('unpack', { parts, limits, into: { fd } }, { signal, onDone });
    file?.assertUnchanged();
    onDone(total);
    const inner = new FileSource(path, fd);
    return { source: inner, trailing, release: async () => inner.close() };
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  } finally {
    release?.();
  }
}

/** A file without a name: it is gone when it is closed, however the process ends. */
export function temporaryFile(): { path: string; fd: number } {
  const path = join(tmpdir(), `longshore-${randomUUID()}.tar`);
  try {
    const fd = openSync(path, 'wx+', 0o600);
    unlinkSync(path);
    return { path, fd };
  } catch (thrown) {
    const reason = (thrown as Error).message;
    throw new LongshoreError('write-failed', `There is no place to unpack the file to: ${reason}.`, { entry: path, reason }, { cause: thrown });
  }
}
