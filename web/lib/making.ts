/** Finding out what has to be known before an archive can be made, on all processors: digests, and layers packed anew. */
import { LongshoreError } from './errors.js';
import { inLanes, tally } from './lanes.js';
import { measureAll } from './measuring.js';
import type { Pool } from './pool.js';
import type { Found, LayerRepacked, OpenNeed, Part, SessionSource, Target, Tasks } from './protocol.js';
import type { PackedBlob } from './registry-push.js';
import type { Image, LayerPacking, Limits, UnpackOptions } from './types.js';

/** Somewhere to put bytes that an archive is made of, until it is written. */
export interface Place {
  target: Target;
  /** The bytes, when they are there; `blob` is what the thread gave. */
  source(blob: Blob | undefined): SessionSource;
  release(): Promise<void>;
}

/** Places that are released together. */
export class Places {
  readonly #make: () => Promise<Place>;
  readonly #held: Place[] = [];

  constructor(make: () => Promise<Place>) {
    this.#make = make;
  }

  /** One more. */
  readonly next = async (): Promise<Place> => {
    const place = await this.#make();
    this.#held.push(place);
    return place;
  };

  async release(): Promise<void> {
    for (const place of this.#held.splice(0)) await place.release();
  }
}

/** The task of a thread that fills a place. */
type Packs = 'repack' | 'rewrite';

/** What was found out. */
export interface Known {
  found: (Found & { archive: number })[];
  repacked: LayerRepacked[];
}

/** What packing a layer comes to: the same each time. */
export interface Packed {
  size: number;
  digest: string;
  /** Digest of what it holds. */
  content: string;
}

/** A layer as it is packed. */
interface PackedLayer extends Packed {
  /** Its bytes; nothing, as long as they are not made. */
  source: SessionSource | undefined;
  /** Them, made if they are not. */
  parts(signal: AbortSignal): Promise<Part[]>;
}

/** Packs a layer into a place. */
type Pack = (into: Place, signal: AbortSignal) => Promise<MadeLayer>;

/** Counts up whenever the codec comes to pack the same bytes otherwise: what was known before is no longer so. A test tells. */
export const PACKER = 2;

/** As many packings are remembered, the last ones. */
const REMEMBERED = 4096;

/** What is known of layers from when they were packed, by the paths of blobs, which say what they hold. */
export class KnownPackings {
  readonly #known = new Map<string, Packed>();
  #isNew = false;

  /** What {@link news} gave, if the packer is still the same. */
  constructor(value?: unknown) {
    const { packer, layers } = (value ?? {}) as Partial<NonNullable<ReturnType<KnownPackings['news']>>>;
    if (packer === PACKER && Array.isArray(layers)) this.#known = new Map(layers);
  }

  /** All that is known, in JSON's terms; nothing, if it is what it was when this was last asked. */
  news(): { packer: number; layers: [string, Packed][] } | undefined {
    if (!this.#isNew) return undefined;
    this.#isNew = false;
    return { packer: PACKER, layers: [...this.#known].slice(-REMEMBERED) };
  }

  of({ packing, path }: OpenNeed): Packed | undefined {
    return this.#known.get(`${packing} ${path}`);
  }

  note({ packing, path }: OpenNeed, { size, digest, content }: Packed): void {
    // A damaged one is not the blob of that path.
    if (path !== `blobs/${content.replace(':', '/')}`) return;
    this.#known.set(`${packing} ${path}`, { size, digest, content });
    this.#isNew = true;
  }
}

/** Layers of an open archive that were packed. They stay until they are released, so that each is packed once. */
export class PackedLayers {
  readonly #layers = new Map<string, MadeLayer>();
  readonly #places: Place[] = [];
  readonly #known: KnownPackings | undefined;

  constructor(known?: KnownPackings) {
    this.#known = known;
  }

  /** The layer as it was packed before, or as `pack` packs it into a new place: when its bytes are asked for, if the rest is known. */
  async of(need: OpenNeed, place: () => Promise<Place>, pack: Pack, signal: AbortSignal): Promise<PackedLayer> {
    const known = this.#layers.has(originOf(need)) ? undefined : this.#known?.of(need);
    if (!known) return made(await this.#made(need, place, pack, signal));
    const parts = async (signal: AbortSignal) => {
      const layer = await this.#made(need, place, pack, signal);
      const [expected, actual] = [known.content, layer.content];
      if (layer.digest === known.digest) return [wholeOf(layer)];
      throw new LongshoreError('digest-mismatch', `A layer is damaged: it holds ${actual}, not ${expected}.`, { expected, actual });
    };
    return { ...known, source: undefined, parts };
  }

  async #made(need: OpenNeed, place: () => Promise<Place>, pack: Pack, signal: AbortSignal): Promise<MadeLayer> {
    const before = this.#layers.get(originOf(need));
    if (before) return before;
    const into = await place();
    try {
      const layer = await pack(into, signal);
      this.#places.push(into);
      this.#layers.set(originOf(need), layer);
      this.#known?.note(need, layer);
      return layer;
    } catch (thrown) {
      await into.release();
      throw thrown;
    }
  }

  async release(): Promise<void> {
    this.#layers.clear();
    for (const place of this.#places.splice(0)) await place.release();
  }
}

/** Bytes packed anew, in their place. */
export interface MadeLayer extends Packed {
  source: SessionSource;
}

function made(layer: MadeLayer): PackedLayer {
  return { ...layer, parts: async () => [wholeOf(layer)] };
}

/** Where the bytes are that are packed, and how they are packed. */
function originOf({ packing, origin }: OpenNeed): string {
  return `${packing} ${origin}`;
}

/** What finding out takes beside signal and progress. */
export interface FindOptions extends UnpackOptions {
  /** Where packed layers are kept: without it, the caller releases their places. */
  packed?: PackedLayers;
  /** Each layer that was packed, while the next ones are. */
  onPacked?: ((blob: PackedBlob) => void) | undefined;
}

/** Finds out all that is needed. New bytes go to places. */
export async function findOut(
  pool: Pool,
  needs: readonly OpenNeed[],
  limits: Limits,
  place: () => Promise<Place>,
  { signal, onProgress, packed, onPacked }: FindOptions,
): Promise<Known> {
  const known: Known = { found: [], repacked: [] };
  const total = needs.reduce((bytes, { size }) => bytes + size, 0);
  let before = 0;
  const report = (done: number) => onProgress?.({ phase: 'pack', done: Math.min(before + done, total), total });
  const measured = needs.filter(({ packing }) => packing === undefined);
  for (const archive of new Set(measured.map(({ archive }) => archive))) {
    const own = measured.filter((need) => need.archive === archive);
    const jobs = own.map(({ entry, size, parts }) => ({ entry, size, parts, stored: 'sha256', content: 'sha256', unpack: true }));
    const options = { ...(signal && { signal }), onProgress: ({ done }: { done: number }) => report(done) };
    for (const found of await measureAll(pool, jobs, limits, options)) known.found.push({ ...found, archive });
    before += jobs.reduce((bytes, { size }) => bytes + size, 0);
  }
  const all = tally<OpenNeed>();
  const repacked = needs.filter(({ packing }) => packing !== undefined).sort((a, b) => b.size - a.size);
  await inLanes(pool.size, repacked, signal, async (need, signal) => {
    const { archive, entry, size, parts } = need;
    const packing = need.packing as LayerPacking;
    const onDone = (done: number) => report(all(need, done));
    const pack: Pack = (into, signal) => packInto(pool, parts, packing, limits, into, { signal, onDone });
    const layer = packed ? await packed.of(need, place, pack, signal) : made(await pack(await place(), signal));
    const { source = { size: layer.size }, digest, content } = layer;
    known.repacked.push({ archive, entry, source, digest, content, packing });
    onDone(size);
    onPacked?.({ digest, size: layer.size, isLayer: true, content, bytes: layer.parts });
  });
  return known;
}

/** Fails for a layer that was packed and that no image lists: nobody could use it. Configs that do not list all say nothing. */
export function assertListed(images: readonly Image[], content: string): void {
  const listed = images.flatMap(({ layers }) => layers.map(({ diffId }) => diffId));
  if (listed.includes(content) || !listed.every((diffId) => diffId?.startsWith('sha256:'))) return;
  throw new LongshoreError('digest-mismatch', `A layer is damaged: it holds ${content}, which no image lists.`, { actual: content });
}

/** Packs a whole file with gzip, into a place. */
export async function gzipped(pool: Pool, parts: Part[], place: Place, { signal, onProgress }: UnpackOptions): Promise<Part[]> {
  const total = parts.reduce((bytes, part) => bytes + part.length, 0);
  const onDone = (done: number) => onProgress?.({ phase: 'pack', done, total });
  // What is written does not become more.
  const layer = await packInto(pool, parts, 'gzip', {}, place, { signal, onDone });
  onDone(total);
  return [wholeOf(layer)];
}

/** All bytes that were packed. */
export function wholeOf({ source, size }: MadeLayer): Part {
  return { source: 'fd' in source ? source.fd : source, offset: 0, length: size };
}

/** Packs bytes anew, into a place. */
function packInto(
  pool: Pool,
  parts: Part[],
  packing: LayerPacking,
  limits: Limits,
  place: Place,
  options: PackOptions,
): Promise<MadeLayer> {
  return intoPlace(pool, 'repack', { parts, packing, limits }, place, options);
}

interface PackOptions {
  signal?: AbortSignal | undefined;
  onDone?: (done: number) => void;
}

/** Has a thread fill a place. */
export async function intoPlace<Op extends Packs>(
  pool: Pool,
  op: Op,
  args: Omit<Tasks[Op]['args'], 'into'>,
  place: Place,
  options: PackOptions,
): Promise<MadeLayer> {
  const { blob, size, digest, content } = await pool.run(op, { ...args, into: place.target } as Tasks[Op]['args'], options);
  return { source: place.source(blob), size, digest, content };
}
