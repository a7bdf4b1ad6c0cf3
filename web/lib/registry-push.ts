/** Pushing images of an archive: `docker push`, without Docker. */
import { invalid, text } from './archive.js';
import { LongshoreError } from './errors.js';
import { inLanes } from './lanes.js';
import type { Shipment } from './protocol.js';
import { RegistryClient } from './registry-client.js';
import type { Shell } from './registry-exchange.js';
import type { Named } from './registry-protocol.js';
import type { MirrorOptions, MirrorReport, Planned, PushOptions, PushReport, PushedBlob, TransferOptions } from './registry-types.js';
import type { Image } from './types.js';

/** How many layers are sent at once. */
const LANES = 3;

/** What pushing needs of an archive, or of whatever else has images. */
export interface Port {
  readonly images: readonly Image[];
  readonly shell: Shell;
  /** Has some images made what a registry keeps, and keeps what that takes until `use` is through with it. */
  ship<T>(
    images: readonly string[],
    platforms: readonly string[],
    options: TransferOptions,
    use: (shipment: Shipment, signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
}

/** What was pushed where, so that nothing is asked twice. */
type Known = Map<string, PushedBlob>;

export async function push(port: Port, image: string, options: PushOptions): Promise<PushReport> {
  const wasm = await port.shell.wasm();
  const to = targetOf(wasm.named, options.to ?? image);
  const client = await RegistryClient.of(port.shell, to.domain, options);
  return port.ship([text(image, 'image')], options.platforms ?? [], options, async (shipment, signal) => {
    const name = nameOf(wasm.named, image);
    const root = shipment.roots.find(({ names }) => name !== undefined && names.includes(name)) ?? shipment.roots[0];
    if (!root) throw new LongshoreError('no-such-image', `There is no image ${image}.`);
    const from = root.names.includes(name ?? '') ? (name as string) : image;
    await client.run((registry) => registry.ping(), { signal });
    return pushRoot(client, shipment, root.digest, from, to, { ...options, signal }, new Map());
  });
}

export async function mirror(port: Port, options: MirrorOptions): Promise<MirrorReport> {
  const wasm = await port.shell.wasm();
  const { to, images = [], platforms = [] } = options;
  if (typeof to !== 'string' && typeof to !== 'function') throw invalid('to must be a string or a function');
  const rename = typeof to === 'string' ? (name: string) => wasm.mirrored(name, to) : to;
  const targets = new Map<string, Named>();
  const report: MirrorReport = { planned: [], pushed: [], failed: [], skipped: [] };
  const chosen = port.images.filter((image) => isChosen(image, images, platforms));
  if (chosen.length === 0) throw new LongshoreError('no-such-image', 'No image of the archive is meant.');
  const planned = new Map<string, Planned>();
  for (const image of chosen) {
    if (image.references.length === 0) report.skipped.push(image.id);
    for (const from of image.references.filter((name) => isMeant(name, image, images))) {
      const target = targets.get(from) ?? plan(wasm.named, rename, from);
      if (!target) continue;
      targets.set(from, target);
      const one = planned.get(from) ?? { from, to: target.familiar, images: [], size: 0 };
      one.images.push(image.id);
      one.size += image.size;
      planned.set(from, one);
    }
  }
  report.planned = [...planned.values()];
  if (options.dryRun || report.planned.length === 0) return report;
  const wanted = images.length === 0 && platforms.length === 0 ? [] : [...new Set(report.planned.flatMap((one) => one.images))];
  return port.ship(wanted, platforms, options, async (shipment, signal) => {
    const clients = new Map<string, RegistryClient>();
    const known: Known = new Map();
    for (const { from, to } of report.planned) {
      const target = targets.get(from) as Named;
      const root = shipment.roots.find(({ names }) => names.includes(from));
      if (!root) continue;
      try {
        let client = clients.get(target.domain);
        if (!client) {
          client = await RegistryClient.of(port.shell, target.domain, options);
          await client.run((registry) => registry.ping(), { signal });
          clients.set(target.domain, client);
        }
        report.pushed.push(await pushRoot(client, shipment, root.digest, from, target, { ...options, signal }, known));
      } catch (thrown) {
        // What goes wrong with one need not with the next; but who is gone, or wants others, is so for all.
        const { code, message } = thrown as LongshoreError;
        if (signal.aborted || ['aborted', 'closed', 'unreachable', 'unauthorized'].includes(code)) throw thrown;
        report.failed.push({ from, to, code, message });
      }
    }
    return report;
  });
}

/** Pushes what a root leads to: layers and configs several at a time, then manifests, each after what it refers to. */
async function pushRoot(
  client: RegistryClient,
  shipment: Shipment,
  root: string,
  from: string,
  to: Named,
  options: TransferOptions,
  known: Known,
): Promise<PushReport> {
  const { signal, onLine, onBlob, onProgress } = options;
  const wanted = closure(shipment, root);
  const blobs = shipment.blobs.filter(({ digest }) => wanted.has(digest));
  const total = blobs.reduce((bytes, { size }) => bytes + size, 0);
  const sent = new Map<string, number>();
  const report = (digest: string, done: number) => {
    sent.set(digest, done);
    onProgress?.({ phase: 'push', done: [...sent.values()].reduce((all, one) => all + one, 0), total });
  };
  onLine?.(`The push refers to repository [${to.name}]`);
  const pushed = new Map<string, PushedBlob>();
  const queue = [...blobs].sort((a, b) => b.size - a.size);
  await inLanes(lanesOf(options), queue, signal, async ({ digest, size, isLayer, parts }, signal) => {
    const key = `${client.base} ${to.repository} ${digest}`;
    const onSent = (done: number) => {
      report(digest, done);
      onBlob?.({ digest, status: 'transfers', done, total: size });
    };
    const before = known.get(key);
    const outcome = before
      ? { status: 'exists' as const }
      : await client.run<{ status: PushedBlob['status']; from?: string }>(
          (registry) => registry.pushBlob(to.repository, digest, size),
          { signal, cargo: { parts, onSent } },
        );
    const done: PushedBlob = { digest, size, ...outcome };
    known.set(key, done);
    pushed.set(digest, done);
    report(digest, size);
    onBlob?.({ digest, status: done.status, done: size, total: size });
    if (isLayer) onLine?.(`${short(digest)}: ${lineOf(done)}`);
  });
  for (const { digest, mediaType, bytes } of shipment.manifests) {
    if (!wanted.has(digest) || digest === root) continue;
    await client.run((registry) => registry.pushManifest(to.repository, digest, mediaType, bytes), { signal });
  }
  const top = shipment.manifests.find(({ digest }) => digest === root);
  if (!top) throw new LongshoreError('no-such-image', `There is no image ${from}.`);
  const tag = to.tag as string;
  await client.run((registry) => registry.pushManifest(to.repository, tag, top.mediaType, top.bytes), { signal });
  onLine?.(`${tag}: digest: ${root} size: ${top.bytes.length}`);
  const list = blobs.map(({ digest }) => pushed.get(digest) as PushedBlob);
  return { from, to: to.familiar, digest: root, size: top.bytes.length, blobs: list };
}

/** All that a root leads to. */
function closure(shipment: Shipment, root: string): Set<string> {
  const wanted = new Set([root]);
  // Each manifest is after what it refers to: from the last to the first, nothing is missed.
  for (const { digest, refers } of [...shipment.manifests].reverse()) {
    if (wanted.has(digest)) for (const one of refers) wanted.add(one);
  }
  return wanted;
}

/** @internal How many at once, if that is a number. */
export function lanesOf({ concurrency = LANES }: TransferOptions): number {
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) throw invalid('concurrency must be a whole number');
  return concurrency;
}

/** @internal The beginning of a digest, as Docker prints it. */
export function short(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1).slice(0, 12);
}

function lineOf({ status, from }: PushedBlob): string {
  if (status === 'exists') return 'Layer already exists';
  return status === 'mounted' ? `Mounted from ${from}` : 'Pushed';
}

function plan(named: (text: string) => Named, rename: (name: string) => string | undefined, from: string): Named | undefined {
  const to = rename(from);
  return to === undefined ? undefined : targetOf(named, to);
}

/** A name that an image can be pushed to. */
function targetOf(named: (text: string) => Named, name: string): Named {
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(text(name, 'to'))) throw invalid('an image that is meant by its ID needs a name to be pushed to');
  const target = reading(() => named(name));
  if (target.tag === undefined || target.reference !== target.tag) throw invalid(`${name} is no name with a tag`);
  return target;
}

/** The name as the archive has it; nothing where it is an ID. */
function nameOf(named: (text: string) => Named, image: string): string | undefined {
  try {
    return named(image).familiar;
  } catch {
    return undefined;
  }
}

/** Whether one of the images that are meant is this one. */
function isChosen(image: Image, images: readonly string[], platforms: readonly string[]): boolean {
  const { os, architecture, variant } = image.platform;
  const isFor = (platform: string) => platform === `${os}/${architecture}` || platform === `${os}/${architecture}/${variant}`;
  const isNamed = images.length === 0 || isById(image, images) || image.references.some((name) => images.includes(name));
  return isNamed && (platforms.length === 0 || platforms.some(isFor));
}

/** Whether that name of an image is meant: all of them, where the image is meant by its ID or all images are. */
function isMeant(name: string, image: Image, images: readonly string[]): boolean {
  return images.length === 0 || images.includes(name) || isById(image, images);
}

function isById({ id }: Image, images: readonly string[]): boolean {
  return images.some((one) => one.length >= 4 && (id.startsWith(one) || id.startsWith(`sha256:${one}`)));
}

/** What the wasm throws, as the package's own error. */
function reading<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const { code, message, detail } = thrown as LongshoreError;
    throw new LongshoreError(code, message, detail, { cause: thrown });
  }
}
