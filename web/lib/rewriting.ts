/** Rewriting an image's layers: what would change, and the new layers made. */
import { invalid, text } from './checks.js';
import type { LongshoreError } from './errors.js';
import type { SquashOptions } from './file-types.js';
import { count, results, type Run } from './files.js';
import { inLanes, tally } from './lanes.js';
import { intoPlace, wholeOf, type Place } from './making.js';
import { measureAll } from './measuring.js';
import type { Pool } from './pool.js';
import type { FileTask } from './protocol-files.js';
import type { LayerMade, LayersMade, NewLayers, Part } from './protocol.js';
import type { Image, Limits, RewritePlan, UnpackOptions } from './types.js';

/** What is to be done to the layers of one image. */
type How = { kind: 'squash'; first: number } | { kind: 'drop'; paths: string[] };

/** The same for whichever image is meant. */
export type HowFor = (image: Image) => How;

/** Merging layers, if that is what is asked for. */
export function squashing({ from, layers }: SquashOptions): HowFor {
  if (from !== undefined && layers !== undefined) throw invalid('from and layers are two ways to say the same');
  const [first, most] = [from === undefined ? 0 : count(from, 'from'), layers === undefined ? undefined : count(layers, 'layers')];
  return (image) => ({ kind: 'squash', first: most === undefined ? first : Math.max(0, image.layers.length - most) });
}

/** Taking files out of all layers, if that is what is asked for. */
export function dropping(paths: readonly string[]): HowFor {
  if (!Array.isArray(paths) || paths.length === 0) throw invalid('paths must be an array that is not empty');
  const checked = paths.map((path) => text(path, 'path'));
  return () => ({ kind: 'drop', paths: checked });
}

/** What becomes of the layers of images; fails with `no-such-file` where none of them has the files. */
export async function planned(
  run: Run,
  handle: number,
  images: readonly Image[],
  how: HowFor,
  limits: Limits,
  options: UnpackOptions,
): Promise<[Image, LayersMade][]> {
  const plans: [Image, LayersMade][] = [];
  let missing: unknown;
  for (const image of images) {
    const work: FileTask = { image: image.id, layer: undefined, ...how(image) };
    try {
      for await (const { items } of results(run, handle, work, limits, options)) {
        for (const plan of items as LayersMade[]) plans.push([image, plan]);
      }
    } catch (thrown) {
      // One of several platforms may not have the file.
      if ((thrown as Partial<LongshoreError>).code !== 'no-such-file') throw thrown;
      missing ??= thrown;
    }
  }
  if (plans.length === 0) throw missing;
  return plans;
}

/** The same for people: without what it takes to do it. */
export function described(image: Image, { layers, ...plan }: LayersMade, others: readonly Image[]): RewritePlan {
  const rewritten = new Set(
    layers.flatMap(({ first, count }) => image.layers.slice(first, first + count).map(({ diffId }) => diffId)),
  );
  const keptBy = others.filter((other) => other.layers.some(({ diffId }) => diffId !== undefined && rewritten.has(diffId)));
  const brief = layers.map(({ first, count, before, after, entriesBefore, entriesAfter }) => ({ first, count, before, after, entriesBefore, entriesAfter }));
  return { image: image.id, layers: brief, ...plan, keptBy: [...new Set(keptBy.map(({ id }) => id))] };
}

/** Makes the new layers. Those that have to be unpacked or packed go to places. */
export async function made(
  pool: Pool,
  plans: readonly (readonly [image: string, plan: LayersMade])[],
  limits: Limits,
  place: () => Promise<Place>,
  { signal, onProgress }: UnpackOptions,
): Promise<NewLayers[]> {
  const images = plans.map(([image]): NewLayers => ({ image, layers: [] }));
  const layers = plans.flatMap(([, plan], index) => plan.layers.map((layer) => ({ layer, into: images[index] as NewLayers })));
  const total = layers.reduce((bytes, { layer }) => bytes + layer.after, 0);
  const all = tally<LayerMade>();
  await inLanes(pool.size, layers, signal, async ({ layer, into }, signal) => {
    const onDone = (done: number) => onProgress?.({ phase: 'pack', done: all(layer, done), total });
    const { first, count, packing } = layer;
    into.layers.push({ first, count, packing, ...(await bytesOf(pool, layer, limits, place, { signal, onDone })) });
    onDone(layer.after);
  });
  for (const { layers } of images) layers.sort((a, b) => a.first - b.first);
  return images;
}

async function bytesOf(
  pool: Pool,
  layer: LayerMade,
  limits: Limits,
  place: () => Promise<Place>,
  { signal, onDone }: { signal: AbortSignal; onDone(done: number): void },
): Promise<{ parts: Part[]; digest: string; diffId: string }> {
  const { packing, parts } = layer;
  if (!parts) {
    const { sources, pieces, fresh } = layer;
    const packed = await intoPlace(pool, 'rewrite', { sources, pieces, fresh, packing, limits }, await place(), { signal, onDone });
    return { parts: [wholeOf(packed)], digest: packed.digest, diffId: packed.content };
  }
  const job = { entry: 0, size: layer.after, stored: 'sha256', content: 'sha256', unpack: false, parts };
  const [found] = await measureAll(pool, [job], limits, { signal, onProgress: ({ done }) => onDone(done) });
  const digest = found?.digest ?? '';
  return { parts, digest, diffId: digest };
}
