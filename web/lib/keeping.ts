/** What keeps a store's rows and blobs: the store itself knows no database and no folder. */
import type { KeptBlob, Row, RowChange, ShelfPlace } from './protocol.js';

/** Blobs of up to so many bytes, as configs and manifests are, are held against their digests whenever they are asked for. */
export const SMALL = 64 << 10;
/** How long to wait for space that was freed, where nobody knows how much: Chromium takes some seconds to give it back. */
export const GIVEN_BACK_MS = 12_000;

/** What a clean-up took away. */
export interface Freed {
  blobs: number;
  /** With those of blobs that loads had not finished which are no more. */
  bytes: number;
  /** How many pieces of such blobs went where nobody knows their bytes. */
  pieces?: number;
  /** The catalog's revision afterwards. */
  revision: number;
}

/**
 * - a number: it is done, and this is the catalog's revision now.
 * - `moved`: someone else changed the catalog meanwhile; nothing was done.
 * - digests: these blobs are not here; nothing was done.
 */
export type Outcome = number | 'moved' | string[];

/** What keeps a store. `Source` is what a blob is read from. */
export interface Keeping<Source> {
  /** How many changes the catalog has seen. */
  revision(): Promise<number>;
  /** The catalog's rows, and its revision. */
  rows(): Promise<{ revision: number; rows: Row[] }>;
  /** Changes rows at once or not at all: only if the catalog is still of that revision, and the blobs are here. */
  commit(revision: number, change: RowChange, needed: readonly KeptBlob[]): Promise<Outcome>;
  /** Those of the blobs that are not here. */
  missing(blobs: readonly KeptBlob[]): Promise<string[]>;
  /** Where threads put blobs, for one task of a load. */
  shelf(attempt: string, task: number): ShelfPlace;
  /** A name for a load. */
  attempt(): string;
  /**
   * Removes the blobs that are not needed, and what is left of loads that are no more; of the load `own` alone, where it is
   * given. Does nothing, and gives nothing, where the catalog is of another revision by now.
   */
  sweep(revision: number, needed: ReadonlySet<string>, own?: { attempt: string; blobs: readonly KeptBlob[] }): Promise<Freed | undefined>;
  /** Takes back that these blobs are here. */
  forget(digests: readonly string[]): Promise<void>;
  /**
   * A blob's bytes; fails with `damaged-blob` where they are lost, or are wrong and up to {@link SMALL}, and with `store-failed` where they
   * cannot be read just now.
   */
  source(blob: KeptBlob): Promise<Source>;
  /** Lets go of a blob's bytes, which nobody reads. */
  release(source: Source): void;
  /** Runs a load: meanwhile nobody else sweeps, as far as that can be prevented. */
  whileLoading<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  /** Sweeps, while nobody loads. With `idle` only if nobody does just now, and nobody else has the store open; else `signal` ends waiting. */
  whileNobodyLoads<T>(idle: boolean, work: () => Promise<T>, signal?: AbortSignal): Promise<T | undefined>;
  /** Bytes that may still come, as far as anybody says so. */
  room(): Promise<number | undefined>;
  /** Bytes that are taken, by this and what else there is, where space that was freed is given back late. */
  usage(): Promise<number | undefined>;
  /** Asks that what is kept is not thrown away when space is short. */
  persist(): void;
  /** What {@link note} was given last, by anybody; nothing, where that is lost. */
  noted(): Promise<unknown>;
  /** Remembers something small, in JSON's terms, that nobody relies on. */
  note(value: unknown): Promise<void>;
  /** Tells others of a change. */
  announce(revision: number): void;
  /**
   * Whom to tell of others' changes, of the end (another tab needs the database for a newer version), and of a blob that turned out to
   * be wrong when somebody read it.
   */
  listener: { changed(revision: number): void; ended(): void; wrong(digest: string): Promise<unknown> } | undefined;
  close(): void;
}
