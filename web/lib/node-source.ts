/** A file of the operating system that an archive was opened from. */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, fstatSync, openSync, read, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { LongshoreError } from './errors.js';

const readAsync = promisify(read);

/** What tells whether a file is still the same. */
interface Identity {
  dev: number;
  ino: number;
  size: number;
  mtimeMs: number;
}

const FACTS = ['dev', 'ino', 'size', 'mtimeMs'] as const;

/** What a file has to hold, where that is known. */
export interface Expected {
  digest: string;
  /** Notes that it does not; gives what to fail with. */
  wrong(): Promise<LongshoreError>;
}

/** What hashes as that digest does. */
export function hashOf(digest: string): Hash {
  return createHash(digest.slice(0, digest.indexOf(':')));
}

/** Whether what was hashed has that digest. */
export function isOf(digest: string, hash: Hash): boolean {
  return hash.digest('hex') === digest.slice(digest.indexOf(':') + 1);
}

/** An open file, and what it was like when it was opened. */
export class FileSource {
  readonly path: string;
  readonly fd: number;
  readonly size: number;
  /** Who reads all of it holds it against this. */
  readonly expected: Expected | undefined;
  readonly #identity: Identity;
  #reading = 0;
  #state: 'open' | 'closing' | 'closed' = 'open';
  #end = () => {};
  readonly #ended = new Promise<void>((resolve) => (this.#end = resolve));

  /** Opens the file at `path`, or takes over one that is open already. */
  constructor(path: string, fd?: number, expected?: Expected) {
    this.path = path;
    this.expected = expected;
    try {
      // To open a pipe is to wait for whoever writes to it.
      if (fd === undefined && !statSync(path).isFile()) throw new Error('it is a pipe, a device or a directory');
      this.fd = fd ?? openSync(path, 'r');
    } catch (thrown) {
      const reason = (thrown as Error).message;
      throw new LongshoreError('read-failed', `The file cannot be opened: ${reason}.`, { entry: path, reason }, { cause: thrown });
    }
    this.#identity = fstatSync(this.fd);
    this.size = this.#identity.size;
  }

  /** Fills the beginning of `buffer` from `offset` on; says with how many bytes, of which there is one at least. */
  async read(buffer: Uint8Array, length: number, offset: number): Promise<number> {
    const release = this.hold();
    try {
      const { bytesRead } = await readAsync(this.fd, buffer, 0, length, offset);
      if (bytesRead > 0) return bytesRead;
    } catch (thrown) {
      const reason = (thrown as Error).message;
      throw new LongshoreError('read-failed', `The file cannot be read: ${reason}.`, { entry: this.path, offset, reason }, { cause: thrown });
    } finally {
      release();
    }
    throw this.#changed();
  }

  /** Keeps the descriptor until the function that it gives is called; fails with `closed`. */
  hold(): () => void {
    this.#assertOpen();
    this.#reading += 1;
    return () => {
      this.#reading -= 1;
      this.#settle();
    };
  }

  /** Fails with `source-changed` where the file is no longer as it was, and `closed` where it was closed. */
  assertUnchanged(): void {
    this.#assertOpen();
    if (!this.#isSame(fstatSync(this.fd))) throw this.#changed();
  }

  /**
   * Closes the file. What begins to read fails with `closed`; the descriptor is only given back when nothing reads any more: then
   * it resolves.
   */
  close(): Promise<void> {
    if (this.#state === 'open') this.#state = 'closing';
    this.#settle();
    return this.#ended;
  }

  #settle(): void {
    // Given back too early, its number would soon be that of another file, and its bytes would get into the archive.
    if (this.#state !== 'closing' || this.#reading > 0) return;
    this.#state = 'closed';
    closeSync(this.fd);
    this.#end();
  }

  #assertOpen(): void {
    if (this.#state !== 'open') throw new LongshoreError('closed', 'The archive is closed.');
  }

  #isSame(now: Identity): boolean {
    return FACTS.every((fact) => now[fact] === this.#identity[fact]);
  }

  #changed(): LongshoreError {
    return new LongshoreError('source-changed', 'The file has changed since it was opened. Open it again.', { entry: this.path });
  }
}
