/** Pulling an image: `docker pull`, into an archive. */
import { text } from './checks.js';
import { LongshoreError } from './errors.js';
import { inLanes, tally } from './lanes.js';
import { RegistryClient, asked } from './registry-client.js';
import type { Shell } from './registry-exchange.js';
import type { Hold, ManifestGot, Referred } from './registry-protocol.js';
import { lanesOf, short } from './registry-push.js';
import type { PullOptions } from './registry-types.js';

/** What is kept in memory instead of a file, up to so many bytes in all. */
const SMALL = 1 << 20;
const MEMORY = 32 << 20;
/** How many manifests and blobs one name may lead to. */
const MOST = 10_000;
/** How many bytes all manifests may have, which are in memory. */
const MANIFESTS = 64 << 20;

/** A place for a blob that comes. */
export interface Store<Source> extends Hold {
  finish(): Promise<Source>;
  abandon(): Promise<void>;
}

/** What was pulled: the files of an OCI image layout, by their paths. */
export interface Pulled<Source> {
  name: string;
  files: Map<string, Source | Uint8Array<ArrayBuffer>>;
}

/** Pulls what a name leads to. Every blob is what its digest says before the next thing is done with it. */
export async function pullFiles<Source>(
  shell: Shell,
  reference: string,
  options: PullOptions,
  store: () => Promise<Store<Source>>,
): Promise<Pulled<Source>> {
  const { signal, onLine, onBlob, onProgress } = options;
  const platform = options.platform === undefined ? undefined : text(options.platform, 'platform');
  const wasm = await shell.wasm();
  const named = asked(() => wasm.named(reference));
  const client = await RegistryClient.of(shell, named.domain, options);
  const { repository } = named;
  let manifestBytes = 0;
  const manifest = async (reference: string) => {
    const got = await client.run<ManifestGot>((registry) => registry.manifest(repository, reference), { signal });
    manifestBytes += got.bytes.length;
    if (manifestBytes > MANIFESTS) throw tooMuch('manifests', MANIFESTS);
    return got;
  };

  let top = await manifest(named.reference);
  onLine?.(`${named.tag ?? named.reference}: Pulling from ${repository}`);
  const chosen = asked(() => wasm.choose(top.mediaType, top.digest, top.bytes, platform));
  if (chosen !== undefined) top = await manifest(chosen);

  const files: Pulled<Source>['files'] = new Map();
  // Of one image only its config says what it is for.
  const config = top.refers.find(({ isManifest, size }) => !isManifest && size <= SMALL);
  if (chosen === undefined && config && platform !== undefined && platform !== 'all') {
    const kept = new Memory();
    await client.run((registry) => registry.blob(repository, config.digest, config.size), { signal, hold: kept });
    const bytes = await kept.finish();
    asked(() => wasm.assertFor(bytes, platform));
    files.set(pathOf(config.digest), bytes);
  }
  const blobs = new Map<string, Referred>();
  const manifests = [top];
  for (let next = manifests.shift(); next; next = manifests.shift()) {
    files.set(pathOf(next.digest), next.bytes);
    for (const referred of next.refers) {
      const path = pathOf(referred.digest);
      if (files.has(path) || blobs.has(referred.digest)) continue;
      if (files.size + blobs.size >= MOST) throw tooMuch('blobs', MOST);
      if (!referred.isManifest) blobs.set(referred.digest, referred);
      // Some registries have an index whole, and what it lists in parts.
      else manifests.push(...(await manifest(referred.digest).then((one) => [one], ignoreAbsent)));
    }
  }

  const total = [...blobs.values()].reduce((bytes, { size }) => bytes + size, 0);
  const all = tally<string>();
  const stores = new Map<string, Store<Source>>();
  let inMemory = 0;
  try {
    const queue = [...blobs.values()].sort((a, b) => b.size - a.size);
    await inLanes(lanesOf(options), queue, signal, async ({ digest, size, mediaType }, signal) => {
      const isSmall = size <= SMALL && inMemory + size <= MEMORY;
      if (isSmall) inMemory += size;
      const kept = isSmall ? new Memory() : await store();
      if (!(kept instanceof Memory)) stores.set(digest, kept);
      let done = 0;
      const report = () => {
        onProgress?.({ phase: 'pull', done: all(digest, done), total });
        onBlob?.({ digest, status: 'transfers', done, total: size });
      };
      const hold: Hold = {
        begin: async (at) => {
          done = at;
          await kept.begin(at);
        },
        write: async (bytes) => {
          await kept.write(bytes);
          done += bytes.length;
          report();
        },
      };
      await client.run((registry) => registry.blob(repository, digest, size), { signal, hold });
      files.set(pathOf(digest), await kept.finish());
      stores.delete(digest);
      onBlob?.({ digest, status: 'pulled', done: size, total: size });
      if (!mediaType.includes('config') && !mediaType.includes('container.image')) onLine?.(`${short(digest)}: Pull complete`);
    });
  } catch (thrown) {
    for (const one of stores.values()) await one.abandon();
    throw thrown;
  }
  const names = named.tag === undefined ? [] : [named.familiar.replace(/@.*/, '')];
  const index = asked(() => wasm.indexJson(top.mediaType, top.digest, top.bytes, names));
  const encoder = new TextEncoder();
  files.set('oci-layout', encoder.encode('{"imageLayoutVersion":"1.0.0"}'));
  files.set('index.json', encoder.encode(index));
  onLine?.(`Digest: ${top.digest}`);
  onLine?.(`Status: Downloaded newer image for ${named.familiar}`);
  return { name: repository.slice(repository.lastIndexOf('/') + 1), files };
}

/** Bytes in memory. */
class Memory implements Hold {
  #pieces: Uint8Array<ArrayBuffer>[] = [];

  async begin(at: number): Promise<void> {
    if (at === 0) this.#pieces = [];
  }

  write(bytes: Uint8Array<ArrayBuffer>): void {
    this.#pieces.push(bytes);
  }

  async finish(): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await new Blob(this.#pieces).arrayBuffer());
  }
}

function tooMuch(limit: string, expected: number): LongshoreError {
  return new LongshoreError('limit-exceeded', 'The image leads to too much.', { limit, expected });
}

function pathOf(digest: string): string {
  return `blobs/${digest.replace(':', '/')}`;
}

function ignoreAbsent(thrown: unknown): ManifestGot[] {
  if (thrown instanceof LongshoreError && thrown.code === 'not-found') return [];
  throw thrown;
}
