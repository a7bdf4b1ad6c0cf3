/**
 * The shapes of everything that Longshore hands out: plain data, safe to structured-clone and to turn into JSON.
 * Sizes and offsets are bytes and stay below 2^53.
 */

/**
 * What kind of archive was opened.
 *
 * - `docker`: `manifest.json` names configs and layers (Docker 1.10 to 24, skopeo, podman, crane, kaniko, Jib, Bazel, Nix).
 * - `docker-oci`: `manifest.json` beside an OCI image layout (Docker 25 and later, containerd, buildx).
 * - `oci`: an OCI image layout alone.
 * - `docker-v1`: `repositories` and layer directories alone (Docker up to 1.9).
 */
export type Format = 'docker' | 'docker-oci' | 'oci' | 'docker-v1';

/** The machine that an image was built for, in the words of its config. Empty strings where the config is silent. */
export interface Platform {
  os: string;
  architecture: string;
  variant?: string;
}

/** One layer, bottom first in {@link Image.layers}. */
export interface Layer {
  /** sha256 of the blob as stored, where the archive says it or where it follows from the diff ID. */
  digest?: string;
  /** sha256 of the uncompressed layer tar, as the image's config states it; absent where the config lists fewer layers. */
  diffId?: string;
  /** The OCI or Docker media type, as the manifest states it or as the layer's first bytes show it. */
  mediaType: string;
  /** Bytes as stored in the archive. */
  size: number;
  /** Name of the archive member that the manifest gives for this layer. */
  path: string;
}

/** One step of an image's history, oldest first (the `history` of its config). */
export interface HistoryEntry {
  created?: string;
  createdBy?: string;
  author?: string;
  comment?: string;
  /** True for a step that changed only the config. */
  emptyLayer: boolean;
  /** Index into {@link Image.layers} of the layer that this step made. */
  layer?: number;
}

/** How Docker checks that a container is healthy. Durations are nanoseconds. */
export interface HealthCheck {
  test: string[];
  interval?: number;
  timeout?: number;
  startPeriod?: number;
  startInterval?: number;
  retries?: number;
}

/** What a container made from the image starts with (the `config` of its config). */
export interface ContainerConfig {
  entrypoint?: string[];
  cmd?: string[];
  env: string[];
  labels: Record<string, string>;
  exposedPorts: string[];
  volumes: string[];
  user?: string;
  workingDir?: string;
  healthcheck?: HealthCheck;
  stopSignal?: string;
  shell?: string[];
  onBuild: string[];
}

/** One image of an archive. */
export interface Image {
  /** `sha256:…` of the config's bytes: the image ID of Docker's classic store. */
  id: string;
  /** `sha256:…` of the image's OCI or Docker manifest, where the archive has one. */
  digest?: string;
  /** Digest of the index that lists the image beside those for other platforms, where there is one: they share their names. */
  index?: string;
  /** Names as Docker prints them: `nginx:latest`, `registry.local/team/app:1`. */
  references: string[];
  platform: Platform;
  /** RFC 3339, as the config states it. */
  created?: string;
  author?: string;
  /** Sum of the layers' sizes as stored. */
  size: number;
  layers: Layer[];
  history: HistoryEntry[];
  config: ContainerConfig;
}

/** Something that an index lists and that is no image of the archive. */
export interface Other {
  /**
   * - `absent`: not in this archive, as the platforms that were not pulled are not.
   * - `attestation`: what a builder says of how an image was made.
   * - `signature`: by cosign or notation.
   * - `artifact`: anything else.
   */
  kind: 'absent' | 'attestation' | 'signature' | 'artifact';
  /** Digest of its manifest. */
  digest: string;
  mediaType: string;
  platform?: Platform;
  /** Digest of the manifest that it is about. */
  subject?: string;
  references: string[];
  /** Size of its manifest in bytes. */
  size: number;
}

/** Something odd about an archive that did not keep it from opening. */
export interface Finding {
  /** Stable, kebab-case: `duplicate-entry`, `names-disagree`, … (docs/formats.md lists them). */
  code: string;
  severity: 'info' | 'warning' | 'error';
  message: string;
  detail: Record<string, string | number>;
}

/** Everything about an open archive at one moment. */
export interface ArchiveView {
  format: Format;
  images: Image[];
  others: Other[];
  findings: Finding[];
  /** Bytes of the archive as it would be saved now. */
  size: number;
  /** Edits that {@link Archive.undo} can take back, and redo can bring again. */
  undoable: number;
  redoable: number;
  /** What was read from the file so far. */
  reads: { count: number; bytes: number };
}

/** A name taken apart by Docker's grammar. */
export interface Reference {
  /** As Docker prints it: `nginx:latest`. */
  familiar: string;
  /** In full: `docker.io/library/nginx:latest`. */
  canonical: string;
  domain: string;
  path: string;
  tag?: string;
  digest?: string;
}

/** Names that begin with `from` get `to` in its place; see {@link Archive.rename}. */
export interface RenameRule {
  from: string;
  to: string;
}

/** One name that an edit changed: added without `from`, removed without `to`. */
export interface NameChange {
  /** The image's ID. */
  image: string;
  from?: string;
  to?: string;
}

/** A compression format, told by a file's first bytes. */
export type Packing = 'gzip' | 'bzip2' | 'xz' | 'zstd' | 'lz4';

/**
 * - `intact`: every digest holds.
 * - `unproven`: a layer has no digest (Docker 1.9's format has none), or one of an algorithm that is not known, is encrypted,
 *   or cannot be unpacked within the limits.
 * - `ambiguous`: two readers would see two different images.
 * - `damaged`: something is not what it should be, or not there.
 */
export type Verdict = 'intact' | 'unproven' | 'ambiguous' | 'damaged';

/** What is true of one image. */
export interface ImageReport {
  /** The image's ID. */
  id: string;
  references: string[];
  /** The worst of its config, its manifest and its layers. */
  verdict: Verdict;
}

/** What is true of one member of the archive. */
export interface BlobReport {
  path: string;
  /** What it is to the images; `other` is a manifest, an index, or anything else that an index leads to. */
  role: 'config' | 'layer' | 'other' | 'unreferenced';
  /** Digest of its bytes as stored. */
  digest: string;
  /** Their number. */
  size: number;
  compression?: Packing;
  /** Digest of what they hold, where that could be unpacked: a layer's diff ID. */
  contentDigest?: string;
  /** Bytes that they hold. */
  contentSize?: number;
  /** Whether its digests hold. */
  verdict: Verdict;
}

/** What {@link Archive.verify} finds. */
export interface VerifyReport {
  /** The worst of all that follows. */
  verdict: Verdict;
  /** Each image, in the order of {@link Archive.images}. */
  images: ImageReport[];
  /** Each member that was measured, in the archive's order. */
  blobs: BlobReport[];
  /** All that is odd, that which was known when the archive was opened included. */
  findings: Finding[];
  /** How many bytes were measured. */
  bytes: number;
}

/** The formats that can be written; docs/formats.md says who loads which. */
export type WriteFormat = 'docker' | 'docker-legacy' | 'oci';

/** `same`: the archive as it is, with its edits. */
export type SaveFormat = 'same' | WriteFormat;

/** How layers are stored. */
export type LayerPacking = 'none' | 'gzip' | 'zstd';

/** What {@link Archive.save} is to make of the archive. Without any of it, the archive as it is. */
export interface SaveOptions<A = unknown> extends UnpackOptions {
  /**
   * The format. With `same` and `images`, `platforms`, `layers` or `add`, the nearest to the archive's own: `docker-legacy`, `docker` or
   * `oci`.
   */
  format?: SaveFormat;
  /** The images to save, by name or ID: all of them unless said otherwise. A name means the images for all its platforms. */
  images?: readonly string[];
  /** Only the images for these platforms: `linux/amd64`, `linux/arm/v7`. */
  platforms?: readonly string[];
  /** Stores the layers so. Otherwise they stay as they are, but for those that readers of the format could not unpack. */
  layers?: LayerPacking;
  /** Packs the whole file with gzip. */
  gzip?: boolean;
  /** Archives whose images are added. Layers that several images share are written once. */
  add?: readonly A[];
}

/**
 * What one reader at the other end does with the archive. That a layer is damaged, or holds what the reader refuses, is only
 * known after {@link Archive.verify}.
 */
export interface Compatibility {
  /**
   * `docker-24`: Docker up to 24; `docker-25`: Docker 25 and later with the graph-driver store; `containerd`: containerd,
   * nerdctl, and Docker with the containerd store.
   */
  reader: 'docker-24' | 'docker-25' | 'containerd' | 'podman' | 'skopeo' | 'crane';
  /** `broken`: it says that it loaded the archive, but an image is broken. */
  verdict: 'loads' | 'broken' | 'refuses';
  /** The images that it has afterwards, with the ID and the names that they have there. */
  images: { id?: string; names: string[] }[];
  /** Why it refuses, or why an image is broken. */
  reason?: string;
  /** The format in which it would load the same images. */
  remedy?: WriteFormat;
}

/**
 * - `repositories`: makes `repositories` anew from `manifest.json`.
 * - `index`: makes `index.json` anew from `manifest.json`.
 * - `manifest`: makes a `manifest.json` from `index.json`.
 * - `layout`: makes `oci-layout` anew where it is missing or cannot be read.
 * - `orphans`: leaves out what nothing in the archive leads to.
 */
export type RepairKind = 'repositories' | 'index' | 'manifest' | 'layout' | 'orphans';

/**
 * Changes to an image's config, as `docker commit --change` makes them. What is not mentioned stays as it is; `null` takes
 * out.
 */
export interface ConfigChanges {
  /** Environment variables by name. */
  env?: Record<string, string | null>;
  labels?: Record<string, string | null>;
  /** Whether a port, `80` or `80/tcp`, is exposed. */
  exposedPorts?: Record<string, boolean>;
  /** Whether a path is a volume. */
  volumes?: Record<string, boolean>;
  /** The command's words; the shell form is `['/bin/sh', '-c', …]`. */
  cmd?: string[] | null;
  /** Where this changes and `cmd` is not mentioned, the command is taken out, as Docker does it. */
  entrypoint?: string[] | null;
  user?: string | null;
  /** A path from the root. */
  workingDir?: string | null;
  /** `SIGTERM`, `9`, … */
  stopSignal?: string | null;
  author?: string | null;
  /** RFC 3339: when the image was made, and the step that its history gets. Without it, the step has the image's own time. */
  created?: string;
  /** The comment of that step. */
  message?: string;
}

/** A repair that an archive can have, and what it would do. */
export interface RepairProposal {
  repair: RepairKind;
  message: string;
  /** The members that it would change, add or leave out. */
  entries: string[];
}

/** Bytes done of a long call. `total` is 0 while it is not known. */
export interface Progress {
  phase: 'fetch' | 'unpack' | 'index' | 'verify' | 'pack' | 'write' | 'push' | 'pull' | 'store' | 'files' | 'search' | 'compare';
  done: number;
  total: number;
}

/** What every long call takes. */
export interface CallOptions {
  /** Stops the call; it then fails with the code `aborted`. */
  signal?: AbortSignal;
  onProgress?: (progress: Progress) => void;
}

/** How much compressed data may become: small files can be made that unpack to any size. */
export interface Limits {
  /** The most bytes that may come out of one file or layer. 1 TiB unless said otherwise. */
  bytes?: number;
  /** The most bytes that may come out for each that goes in, beyond the first 64 MiB. Unless said, 2000 beyond the first GiB. */
  ratio?: number;
}

/** What a call takes that may have to unpack something. */
export interface UnpackOptions extends CallOptions {
  limits?: Limits;
}

/** What `docker image inspect` prints for one image. */
export interface ImageInspect {
  Id: string;
  RepoTags: string[];
  RepoDigests: string[];
  Comment: string;
  Created?: string;
  Author: string;
  Config: unknown;
  Architecture: string;
  Variant?: string;
  Os: string;
  OsVersion?: string;
  Size: number;
  RootFS: { Type: string; Layers: string[] };
}

export type * from './file-types.js';
