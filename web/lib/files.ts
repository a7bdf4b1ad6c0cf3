/** Files inside layers, from the caller's side: tasks of the session as lists and bytes. */
import { invalid, newHandle, text } from './checks.js';
import { LongshoreError } from './errors.js';
import type { Comparison, FileDifference, FileEntry, FileQuery } from './file-types.js';
import { within, type Bytes } from './parts.js';
import type { Part } from './protocol.js';
import type { FileOperations, FileResults, FileTask, Numbered } from './protocol-files.js';
import type { CallOptions, Image, Limits } from './types.js';

/** How many bytes of one file are held in memory. */
const HELD = 32 << 20;

/** Runs an operation on an archive, as long as that is open. */
export type Run = <Op extends keyof FileOperations>(
  op: Op,
  args: FileOperations[Op]['args'],
  options: CallOptions,
) => Promise<FileOperations[Op]['result']>;

/** A layer's number, if it is one. */
export function layerOf(layer: unknown): number | undefined {
  if (layer === undefined) return undefined;
  return count(layer, 'layer');
}

/** A whole number. */
export function count(value: unknown, name: string): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > 0xffff_ffff) throw invalid(`${name} must be a whole number`);
  return value as number;
}

/** Does a task; gives its results as they come, and ends it whatever happens. */
export async function* results(
  run: Run,
  handle: number,
  work: FileTask,
  limits: Limits,
  options: CallOptions,
): AsyncGenerator<FileResults, void, undefined> {
  const task = newHandle();
  try {
    await run('fileBegin', { handle, task, work, limits }, options);
    for (;;) {
      const found = await run('fileNext', { task }, options);
      if (!found) return;
      yield found;
    }
  } finally {
    run('fileEnd', { task }, {}).catch(() => {});
  }
}

/** All files below a directory, parents first. */
export async function* listed(
  run: Run,
  handle: number,
  root: { image: string; layer: number | undefined },
  path: string,
  limits: Limits,
  options: CallOptions,
): AsyncGenerator<FileEntry, void, undefined> {
  let from: number | undefined;
  do {
    const work: FileTask = { ...root, kind: 'list', path, recursive: true, from, limit: undefined };
    from = undefined;
    for await (const { items, next } of results(run, handle, work, limits, options)) {
      yield* items as FileEntry[];
      from = next;
    }
  } while (from !== undefined);
}

/** What a file with a number holds. */
export interface NumberedBytes extends Bytes {
  number: number;
}

/** What regular files hold, in some order. Bytes in memory are joined now and then, so that they need not stay there. */
export async function* contents(
  run: Run,
  handle: number,
  place: Numbered,
  numbers: readonly number[],
  join: (parts: readonly Part[]) => Promise<Part>,
  options: CallOptions,
): AsyncGenerator<NumberedBytes, void, undefined> {
  const [image, tar] = 'tar' in place ? ['', place.tar] : [place.image, undefined];
  const batches = results(run, handle, { image, layer: undefined, kind: 'contents', numbers, tar }, {}, options);
  let queue: Part[] = [];
  const take = async (most: number): Promise<Part> => {
    while (queue.length === 0) {
      const { value } = await batches.next();
      if (!value) throw new LongshoreError('truncated', 'The file ends before its content does.');
      queue = value.parts;
    }
    const part = queue.shift() as Part;
    if (part.length <= most) return part;
    queue.unshift(within(part, most, part.length - most));
    return within(part, 0, most);
  };
  try {
    const { value: first } = await batches.next();
    for (const [number, size] of (first?.items ?? []) as [number: number, size: number][]) {
      const parts: Part[] = [];
      let fresh: Part[] = [];
      let held = 0;
      for (let left = size; left > 0; ) {
        const part = await take(left);
        left -= part.length;
        held += part instanceof Uint8Array ? part.length : 0;
        fresh.push(part);
        if (held < HELD) continue;
        parts.push(await join(fresh));
        [fresh, held] = [[], 0];
      }
      yield { number, size, parts: [...parts, ...fresh] };
    }
  } finally {
    await batches.return();
  }
}

/** What is looked for, if it makes sense. */
export function searching(image: string, query: FileQuery): FileTask {
  if (typeof query !== 'object' || query === null) throw invalid('the query must be an object');
  const { glob, regex, content, path = '' } = query;
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : content;
  if (bytes !== undefined && !(bytes instanceof Uint8Array)) throw invalid('content must be a string or a Uint8Array');
  return {
    image,
    layer: layerOf(query.layer),
    kind: 'search',
    path: text(path, 'path'),
    glob: glob === undefined ? undefined : text(glob, 'glob'),
    regex: regex === undefined ? undefined : text(regex, 'regex'),
    content: bytes,
  };
}

/** What two images' descriptions say, beside their files. */
export function described(before: Image, after: Image, files: FileDifference[]): Comparison {
  const fields = (image: Image): Record<string, unknown> => ({ platform: image.platform, ...image.config });
  const [was, is] = [fields(before), fields(after)];
  const config: Comparison['config'] = [];
  for (const field of new Set([...Object.keys(was), ...Object.keys(is)])) {
    if (canonical(was[field]) === canonical(is[field])) continue;
    config.push({ field, ...(was[field] !== undefined && { before: was[field] }), ...(is[field] !== undefined && { after: is[field] }) });
  }
  const theirs = new Set(after.layers.map(({ diffId }) => diffId));
  const sharedLayers = before.layers.map(({ diffId }) => diffId).filter((diffId): diffId is string => diffId !== undefined && theirs.has(diffId));
  return { files, config, sharedLayers };
}

/** One text for values that are the same: the order of keys is none. */
function canonical(value: unknown): string | undefined {
  return JSON.stringify(value, (_, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner;
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}

