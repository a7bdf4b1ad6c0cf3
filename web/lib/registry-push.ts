/** Pushing images of an archive: `docker push`, without Docker. */
import { invalid, text, texts } from './checks.js';
import { LongshoreError } from './errors.js';
import { gate, inLanes } from './lanes.js';
import { assertListed } from './making.js';
import type { Part, Shipment, ShippedBlob } from './protocol.js';
import { RegistryClient, asked } from './registry-client.js';
import type { Shell } from './registry-exchange.js';
import type { Named, RegistryWasm } from './registry-protocol.js';
import type { MirrorOptions, MirrorReport, Planned, PushOptions, PushReport, PushedBlob, TransferOptions } from './registry-types.js';
import type { Image } from './types.js';

/** How many layers are sent at once. */
const LANES = 3;

/** What pushing needs of an archive, or of whatever else has images. */
export interface Port {
  readonly images: readonly Image[];
  readonly shell: Shell;
  /** Has some images made what a registry keeps; what that takes stays until `shipping` is through with it. */
  ship<T>(images: readonly string[], platforms: readonly string[], options: TransferOptions, shipping: Shipping<T>): Promise<T>;
}

/** What is done with images that are made what a registry keeps. */
export interface Shipping<T> {
  /** Each layer that was packed, as soon as it is: the next ones are packed meanwhile. */
  packed(blob: PackedBlob, signal: AbortSignal): Promise<void>;
  use(freight: Freight, signal: AbortSignal): Promise<T>;
}

/** Images as a registry keeps them, with the bytes of their blobs. */
export type Freight = Omit<Shipment, 'blobs'> & { blobs: SentBlob[] };

/** A layer or a config as a registry keeps it. */
export interface SentBlob extends Omit<ShippedBlob, 'parts'> {
  /** Its bytes; a layer may have to be packed for that. */
  bytes(signal: AbortSignal): Promise<Part[]>;
}

/** A layer that is packed for a registry. */
export interface PackedBlob extends SentBlob {
  /** Digest of what it holds. */
  content: string;
}

/** What was pushed where, so that nothing is asked twice. */
type Known = Map<string, PushedBlob>;

/** Images that are to get a name in a registry. */
interface Order {
  images: readonly string[];
  /** The name that they are meant by here, as the archive has it, if it is one. */
  name: string | undefined;
  /** What they are called otherwise. */
  from: string;
  to: Named;
  platforms: readonly string[];
}

export async function push(port: Port, image: string, options: PushOptions): Promise<PushReport> {
  const wasm = await port.shell.wasm();
  const platforms = texts(options.platforms ?? [], 'platforms');
  const name = nameOf(wasm.named, image);
  // What could be a name may be the beginning of an ID.
  const isNamed = name !== undefined && port.images.some(({ references }) => references.includes(name));
  const isId = !isNamed && port.images.some(({ id }) => id.startsWith(`sha256:${image.replace(/^sha256:/, '')}`));
  if (options.to === undefined && isId) throw nameless();
  const to = targetOf(wasm.named, options.to ?? image);
  const client = await RegistryClient.of(port.shell, to.domain, options);
  const order = { images: [image], name, from: image, to, platforms };
  return deliver(port, client, order, options, new Map());
}

export async function mirror(port: Port, options: MirrorOptions): Promise<MirrorReport> {
  const wasm = await port.shell.wasm();
  const { to } = options;
  const [images, platforms] = [texts(options.images ?? [], 'images'), texts(options.platforms ?? [], 'platforms')];
  if (typeof to !== 'string' && typeof to !== 'function') throw invalid('to must be a string or a function');
  const targets = new Map<string, Named>();
  const failed = new Map<string, MirrorReport['failed'][number]>();
  // A place that can hold no name is no failure of the names.
  if (typeof to === 'string') asked(() => wasm.mirrored('image', to));
  const targetFor = (from: string) => {
    if (typeof to === 'function') return plan(wasm.named, to, from);
    try {
      return plan(wasm.named, (name) => asked(() => wasm.mirrored(name, to)), from);
    } catch (thrown) {
      const { code, message } = thrown as LongshoreError;
      failed.set(from, { from, to: `${to.replace(/\/+$/, '')}/${from}`, code, message });
      return undefined;
    }
  };
  const report: MirrorReport = { planned: [], pushed: [], failed: [], skipped: [] };
  const chosen = port.images.filter((image) => isChosen(wasm, image, images, platforms));
  if (chosen.length === 0) throw new LongshoreError('no-such-image', 'No image of the archive is meant.');
  const planned = new Map<string, Planned>();
  for (const image of chosen) {
    if (image.references.length === 0) report.skipped.push(image.id);
    for (const from of image.references.filter((name) => isMeant(name, image, images))) {
      const target = targets.get(from) ?? targetFor(from);
      if (!target) continue;
      targets.set(from, target);
      const one = planned.get(from) ?? { from, to: target.familiar, images: [], size: 0 };
      one.images.push(image.id);
      one.size += image.size;
      planned.set(from, one);
    }
  }
  report.planned = [...planned.values()];
  report.failed = [...failed.values()];
  if (options.dryRun) return report;
  const clients = new Map<string, RegistryClient>();
  const known: Known = new Map();
  for (const { from, to: familiar, images } of report.planned) {
    const to = targets.get(from) as Named;
    try {
      const client = clients.get(to.domain) ?? (await RegistryClient.of(port.shell, to.domain, options));
      clients.set(to.domain, client);
      report.pushed.push(await deliver(port, client, { images, name: from, from, to, platforms: [] }, options, known));
    } catch (thrown) {
      // What goes wrong with one need not with the next; but who is gone, or wants others, is so for all.
      const { code, message } = thrown as LongshoreError;
      if (options.signal?.aborted || ['aborted', 'closed', 'unreachable', 'unauthorized'].includes(code)) throw thrown;
      report.failed.push({ from, to: familiar, code, message });
    }
  }
  return report;
}

/** Sends images: what has to be packed as soon as it is, while the next ones are. */
async function deliver(port: Port, client: RegistryClient, order: Order, options: TransferOptions, known: Known): Promise<PushReport> {
  const { images, name, to, platforms } = order;
  let begun: Promise<Delivery> | undefined;
  const begin = (signal: AbortSignal) => {
    const ping = () => client.run((registry) => registry.ping(), { signal });
    begun ??= ping().then(() => new Delivery(client, to, options, known));
    return begun;
  };
  return port.ship(images, platforms, options, {
    packed: async (blob, signal) => {
      assertListed(port.images, blob.content);
      const delivery = await begin(signal);
      await delivery.send(blob, signal);
    },
    use: async (freight, signal) => {
      const root = freight.roots.find(({ names }) => name !== undefined && names.includes(name)) ?? freight.roots[0];
      if (!root) throw new LongshoreError('no-such-image', `There is no image ${order.from}.`);
      const from = name !== undefined && root.names.includes(name) ? name : order.from;
      const delivery = await begin(signal);
      return delivery.finish(freight, root.digest, from, signal);
    },
  });
}

/** Layers, configs and manifests on their way into one repository. */
class Delivery {
  readonly #client: RegistryClient;
  readonly #to: Named;
  readonly #options: TransferOptions;
  readonly #known: Known;
  readonly #atOnce: ReturnType<typeof gate>;
  readonly #sent = new Map<string, Promise<PushedBlob>>();
  readonly #done = new Map<string, number>();
  /** What all comes to, as soon as that is known. */
  #all: readonly SentBlob[] | undefined;

  constructor(client: RegistryClient, to: Named, options: TransferOptions, known: Known) {
    this.#client = client;
    this.#to = to;
    this.#options = options;
    this.#known = known;
    this.#atOnce = gate(lanesOf(options));
    options.onLine?.(`The push refers to repository [${to.name}]`);
  }

  /** Sends a layer or a config, if it is not there: once, however often it is asked for. */
  send(blob: SentBlob, signal: AbortSignal): Promise<PushedBlob> {
    const sent = this.#sent.get(blob.digest) ?? this.#atOnce(() => this.#send(blob, signal));
    this.#sent.set(blob.digest, sent);
    return sent;
  }

  async #send({ digest, size, isLayer, bytes }: SentBlob, signal: AbortSignal): Promise<PushedBlob> {
    const { onLine, onBlob } = this.#options;
    const { repository } = this.#to;
    const key = `${this.#client.base} ${repository} ${digest}`;
    const onSent = (done: number) => {
      this.#report(digest, done);
      onBlob?.({ digest, status: 'transfers', done, total: size });
    };
    const outcome = this.#known.has(key)
      ? { status: 'exists' as const }
      : await this.#client.run<{ status: PushedBlob['status']; from?: string }>(
          (registry) => registry.pushBlob(repository, digest, size),
          { signal, cargo: { parts: () => bytes(signal), onSent } },
        );
    const done: PushedBlob = { digest, size, ...outcome };
    this.#known.set(key, done);
    this.#report(digest, size);
    onBlob?.({ digest, status: done.status, done: size, total: size });
    if (isLayer) onLine?.(`${short(digest)}: ${lineOf(done)}`);
    return done;
  }

  /** Sends what a root leads to: layers and configs several at a time, then manifests, each after what it refers to. */
  async finish(freight: Freight, root: string, from: string, signal: AbortSignal): Promise<PushReport> {
    const top = freight.manifests.find(({ digest }) => digest === root);
    if (!top) throw new LongshoreError('no-such-image', `There is no image ${from}.`);
    const wanted = closure(freight, root);
    const blobs = freight.blobs.filter(({ digest }) => wanted.has(digest));
    this.#all = blobs;
    const queue = [...blobs].sort((a, b) => b.size - a.size);
    const pushed = new Map<string, PushedBlob>();
    await inLanes(lanesOf(this.#options), queue, signal, async (blob, signal) => {
      pushed.set(blob.digest, await this.send(blob, signal));
      this.#report(blob.digest, blob.size);
    });
    const put = (reference: string, { mediaType, bytes }: Shipment['manifests'][number]) =>
      this.#client.run((registry) => registry.pushManifest(this.#to.repository, reference, mediaType, bytes), { signal });
    for (const manifest of freight.manifests) {
      if (wanted.has(manifest.digest) && manifest !== top) await put(manifest.digest, manifest);
    }
    const tag = this.#to.tag as string;
    await put(tag, top);
    this.#options.onLine?.(`${tag}: digest: ${root} size: ${top.bytes.length}`);
    const list = blobs.map(({ digest }) => pushed.get(digest) as PushedBlob);
    return { from, to: this.#to.familiar, digest: root, size: top.bytes.length, blobs: list };
  }

  /** Tells how much has been sent, unless layers are still packed: then nobody knows of how much. */
  #report(digest: string, done: number): void {
    this.#done.set(digest, done);
    if (!this.#all) return;
    const sent = this.#all.reduce((bytes, { digest }) => bytes + (this.#done.get(digest) ?? 0), 0);
    this.#options.onProgress?.({ phase: 'push', done: sent, total: this.#all.reduce((bytes, { size }) => bytes + size, 0) });
  }
}

/** All that a root leads to. */
function closure({ manifests }: Freight, root: string): Set<string> {
  const wanted = new Set([root]);
  // Each manifest is after what it refers to: from the last to the first, nothing is missed.
  for (const { digest, refers } of [...manifests].reverse()) {
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
  if (/^(sha256:)?[0-9a-f]{12,64}$/.test(text(name, 'to'))) throw nameless();
  const target = asked(() => named(name));
  if (target.tag === undefined || target.reference !== target.tag) throw invalid(`${name} is no name with a tag`);
  return target;
}

function nameless(): LongshoreError {
  return invalid('an image that is meant by its ID needs a name to be pushed to');
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
function isChosen(wasm: RegistryWasm, image: Image, images: readonly string[], platforms: readonly string[]): boolean {
  const { os, architecture, variant } = image.platform;
  const isNamed = images.length === 0 || isById(image, images) || image.references.some((name) => images.includes(name));
  return isNamed && (platforms.length === 0 || wasm.isFor(os, architecture, variant, platforms));
}

/** Whether that name of an image is meant: all of them, where the image is meant by its ID or all images are. */
function isMeant(name: string, image: Image, images: readonly string[]): boolean {
  return images.length === 0 || images.includes(name) || isById(image, images);
}

function isById({ id }: Image, images: readonly string[]): boolean {
  return images.some((one) => one.length >= 4 && (id.startsWith(one) || id.startsWith(`sha256:${one}`)));
}
