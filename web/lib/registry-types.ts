/** What pushing, pulling and asking a registry take and give. */
import type { CallOptions, UnpackOptions } from './types.js';

/**
 * Who asks a registry: a user with a password (or an access token in its place), Docker's identity token, or a token for
 * the registry itself. They are kept in memory, and go to the registry and to the token service that it names, nowhere else.
 */
export type Credentials = { user: string; password: string } | { identityToken: string } | { token: string };

/** How a registry is asked. */
export interface RegistryOptions {
  credentials?: Credentials;
  /**
   * The registry's address where it is not what the name says: `http://registry.local:5000`. Without a scheme it is `https`,
   * but `http` on this machine.
   */
  registry?: string;
  /** How often one thing is tried again that failed for no lasting reason. 5 unless said otherwise. */
  retries?: number;
  /** Milliseconds before the first of these; each next one waits twice as long. 500 unless said otherwise. */
  pause?: number;
  /** Milliseconds without a byte after which a request has failed: a minute unless said otherwise, and a second more for each 16 kB that it sends. */
  timeout?: number;
  /** Layers are sent in pieces of so many bytes: 16 MiB in a browser, where nothing else shows progress; whole in Node. 1 MiB at least; smaller where the registry finds them too large. */
  chunkSize?: number;
}

/** How far one layer, config or manifest is. */
export interface BlobProgress {
  digest: string;
  status: 'transfers' | 'exists' | 'mounted' | 'pushed' | 'pulled';
  done: number;
  total: number;
}

/** What pushing and pulling take. */
export interface TransferOptions extends UnpackOptions, RegistryOptions {
  /** How many layers at once. 3 unless said otherwise. */
  concurrency?: number;
  onBlob?: (progress: BlobProgress) => void;
  /** Each line that `docker push` or `docker pull` would print. */
  onLine?: (line: string) => void;
}

export interface PushOptions extends TransferOptions {
  /** The name there: `registry.local/team/app:1`. The image's own unless said otherwise. */
  to?: string;
  /** Only the images for these platforms: `linux/amd64`. */
  platforms?: readonly string[];
}

/** What became of a layer or a config. */
export interface PushedBlob {
  digest: string;
  size: number;
  /** It was there, or in another repository there, or it was sent. */
  status: 'exists' | 'mounted' | 'pushed';
  /** The other repository. */
  from?: string;
}

/** What a push did. */
export interface PushReport {
  /** The image's name in the archive, or the ID by which it was meant. */
  from: string;
  /** Its name there. */
  to: string;
  /** The digest that it has there, of its manifest or index. */
  digest: string;
  /** Bytes of that. */
  size: number;
  blobs: PushedBlob[];
}

export interface MirrorOptions extends TransferOptions {
  /**
   * What the names get in place of their registry: in `registry.local/mirror`, `quay.io/team/app:1` becomes
   * `registry.local/mirror/team/app:1`. Or a function that gives each name its new one, or nothing to leave it out.
   */
  to: string | ((name: string) => string | undefined);
  /**
   * The images to push: all that have a name, unless said otherwise. By ID, of which four characters are enough, or by name: of an archive
   * as `references` has it, with its tag; of a store as `save` takes it.
   */
  images?: readonly string[];
  platforms?: readonly string[];
  /** Sends nothing and asks nobody: the report says what would be pushed. */
  dryRun?: boolean;
}

/** A name on its way into a mirror. */
export interface Planned {
  from: string;
  to: string;
  /** The IDs of the images that the name means, one for each platform. */
  images: string[];
  /** Bytes of their layers, as they are stored in the archive. */
  size: number;
}

/** What mirroring did, or would do. */
export interface MirrorReport {
  planned: Planned[];
  /** Empty after a dry run. */
  pushed: PushReport[];
  /** Names of the archive that cannot be those of a registry among them, after a dry run, too. */
  failed: { from: string; to: string; code: string; message: string }[];
  /** The IDs of images that have no name. */
  skipped: string[];
}

export interface PullOptions extends TransferOptions {
  /** `linux/arm64`, `linux/arm/v7`; `all` for the index with all of them. `linux/amd64`, or the only one, unless said otherwise. */
  platform?: string;
}

/** Whether a registry can be used from here. */
export interface RegistryCheck {
  /**
   * - `ok`: it answers, and lets these credentials in.
   * - `needs-login`: it wants credentials, or others.
   * - `no-cors`: it answers, but lets no page of another origin talk to it. Only browsers care.
   * - `wrong-certificate`: nobody here trusts its certificate. Browsers do not tell this from `unreachable`.
   * - `unreachable`: nothing answers.
   * - `no-registry`: something else answers.
   */
  status: 'ok' | 'needs-login' | 'no-cors' | 'wrong-certificate' | 'unreachable' | 'no-registry';
  message: string;
}

export type { CallOptions };
