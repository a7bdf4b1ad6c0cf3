/** The store's blobs in a browser's database, as a thread of the codec puts them there and reads them again. */
import { ask, openDatabase, piecesOf, then, transact, type BlobRow } from './database.js';
import { damagedBlob } from './errors.js';
import { blobsOf, type Shelf, type Stored } from './keep-tasks.js';
import { cut, readAhead, type Range } from './parts.js';
import type { KeptBlob, Part, ShelfPlace } from './protocol.js';

/** What is written in one transaction: a failed one costs no more than that. */
const BLOB_PIECE = 64 << 20;
/** Where a browser refuses Blobs, arrays, which are in memory. */
const ARRAY_PIECE = 4 << 20;

/** Where a piece is: the load, the blob's number in it, and its own. */
type Key = [attempt: string, at: number, piece: number];

interface Put extends Stored {
  row: BlobRow;
}

/** Opens the database for one task. */
export async function databaseShelf(place: ShelfPlace, read: (range: Range) => Uint8Array | Promise<Uint8Array>): Promise<Shelf> {
  if (!('database' in place)) throw new Error('a browser keeps blobs in its database');
  const database = await openDatabase(place.database);
  const { attempt, task } = place;
  const put = (piece: Blob | Uint8Array, key: Key) =>
    transact<undefined>(database, ['data'], 'readwrite', ({ data }) => void data.put(piece, key));
  const numbered = (number: number) => task * 0x1_0000 + number;

  return {
    async put({ digest, size, parts }, number, shown) {
      const at = numbered(number);
      let pieces = 0;
      const store = async (piece: Blob | Uint8Array) => {
        const key: Key = [attempt, at, pieces++];
        await put(piece, key);
        const stored = await pieceAt(database, key);
        if (!stored) throw damagedBlob(digest);
        await shown(stored instanceof Blob ? { source: stored, offset: 0, length: stored.size } : stored);
      };
      if (place.blobs) {
        for (const piece of blobsOf(parts, BLOB_PIECE)) await store(piece);
      } else {
        // A view of a larger buffer would be stored with all of that.
        for await (const bytes of readAhead(cut(parts, ARRAY_PIECE), read)) await store(bytes.slice());
      }
      const row: BlobRow = { size, place: [attempt, at], pieces };
      const stored = await found(database, digest, row);
      if (!stored) throw damagedBlob(digest);
      return { ...stored, row } satisfies Put;
    },
    settle: (kept) =>
      transact<undefined>(database, ['blobs', 'data'], 'readwrite', ({ blobs, data }, give) => {
        for (const { blob, stored } of kept) {
          const { row } = stored as Put;
          then(blobs.get(blob.digest), (other: BlobRow | undefined) => {
            // Another tab was faster.
            if (other) {
              data.delete(piecesOf(...row.place));
              return;
            }
            then(data.count(piecesOf(...row.place)), (count) => {
              if (count === row.pieces) blobs.put(row, blob.digest);
            });
          });
        }
        give(undefined);
      }),
    async find(blob: KeptBlob) {
      const row: BlobRow | undefined = await ask(database, 'blobs', (blobs) => blobs.get(blob.digest));
      return row && found(database, blob.digest, row);
    },
    close: () => database.close(),
  };
}

function pieceAt(database: IDBDatabase, key: Key): Promise<Blob | Uint8Array | undefined> {
  return ask(database, 'data', (data) => data.get(key));
}

/** What is stored in a place; nothing where pieces are missing. */
async function found(database: IDBDatabase, digest: string, row: BlobRow): Promise<Stored | undefined> {
  const [attempt, number] = row.place;
  const piece = (index: number) => pieceAt(database, [attempt, number, index]);
  const first = row.pieces > 0 ? await piece(0) : new Blob([]);
  if (!first) return undefined;
  let part: Part | undefined;
  if (first instanceof Blob) {
    const pieces: Blob[] = await ask(database, 'data', (data) => data.getAll(piecesOf(...row.place)));
    if (pieces.length !== row.pieces) return undefined;
    const source = pieces.length === 1 ? (pieces[0] as Blob) : new Blob(pieces);
    part = { source, offset: 0, length: source.size };
  }
  return {
    ...(part && { part }),
    async *read() {
      for (let index = 0; index < row.pieces; index += 1) {
        const bytes = await piece(index);
        if (!(bytes instanceof Uint8Array)) throw damagedBlob(digest);
        yield bytes;
      }
    },
  };
}

/**
 * The bytes of a kept blob as a `Blob`: lazy where the browser keeps `Blob`s, otherwise in its memory. Nothing where it is
 * not here.
 */
export async function keptBlob(database: IDBDatabase, digest: string): Promise<Blob | undefined> {
  const row: BlobRow | undefined = await ask(database, 'blobs', (blobs) => blobs.get(digest));
  const stored = row && (await found(database, digest, row));
  if (!stored) return undefined;
  if (stored.part && !(stored.part instanceof Uint8Array)) return stored.part.source as Blob;
  const pieces: Blob[] = [];
  for await (const bytes of stored.read()) pieces.push(new Blob([bytes as Uint8Array<ArrayBuffer>]));
  return new Blob(pieces);
}
