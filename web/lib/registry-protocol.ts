/** What crosses between the registry's wasm and those who send what it says. */
import type { Part } from './protocol.js';

/** What the wasm is told of who asks, and how. */
export interface RegistryAccess {
  user?: string | undefined;
  password?: string | undefined;
  identityToken?: string | undefined;
  token?: string | undefined;
  retries?: number | undefined;
  pause?: number | undefined;
  timeout?: number | undefined;
  chunk?: number | undefined;
}

/** A request to be sent. */
export interface RegistryRequest {
  kind: 'send';
  method: string;
  url: string;
  headers: [string, string][];
  /** Bytes, a form, or a range of the blob that is being pushed. */
  body: Uint8Array<ArrayBuffer> | string | { from: number; to: number } | undefined;
  /** The most bytes of an answer; absent where it is a blob's content. */
  limit: number | undefined;
  /** Whether it may be sent elsewhere. */
  follow: boolean;
  /** Milliseconds without a byte after which it has failed. */
  patience: number;
}

/** What to do next. */
export type RegistryStep = RegistryRequest | { kind: 'wait'; pause: number } | { kind: 'done'; outcome: unknown };

/** What a manifest refers to. */
export interface Referred {
  mediaType: string;
  digest: string;
  size: number;
  isManifest: boolean;
}

/** A manifest or an index that was got. */
export interface ManifestGot {
  mediaType: string;
  digest: string;
  bytes: Uint8Array<ArrayBuffer>;
  refers: Referred[];
}

/** A name, as far as a registry needs it. */
export interface Named {
  domain: string;
  repository: string;
  /** Its digest, or else its tag. */
  reference: string;
  tag: string | undefined;
  name: string;
  familiar: string;
}

/** Bytes that are being pushed. */
export interface Cargo {
  /** Them, which may have to be made first. */
  parts: () => Promise<Part[]>;
  onSent: (done: number) => void;
}

/** Where content goes that comes. */
export interface Hold {
  /** What follows begins at that byte: at none, or where the last ended. */
  begin(at: number): Promise<void>;
  write(bytes: Uint8Array<ArrayBuffer>): void | Promise<void>;
}

/** The wasm itself, as far as it is used: its own declarations ask more of a compiler than users of the package may have set. */
export interface RegistryWasm {
  Registry: new (host: string, access: RegistryAccess) => WasmRegistry;
  assertFor(config: Uint8Array, platform: string): void;
  choose(mediaType: string, digest: string, bytes: Uint8Array, platform?: string): string | undefined;
  indexJson(mediaType: string, digest: string, bytes: Uint8Array, names: string[]): string;
  isFor(os: string, architecture: string, variant: string | undefined, wanted: readonly string[]): boolean;
  mirrored(name: string, mirror: string): string;
  named(reference: string): Named;
}

/** A registry, and who asks it. */
export interface WasmRegistry {
  base(): string;
  ping(): WasmExchange;
  pushBlob(repository: string, digest: string, size: number): WasmExchange;
  pushManifest(repository: string, reference: string, mediaType: string, bytes: Uint8Array): WasmExchange;
  manifest(repository: string, reference: string): WasmExchange;
  blob(repository: string, digest: string, size: number): WasmExchange;
  tags(repository: string): WasmExchange;
  catalog(): WasmExchange;
  referrers(repository: string, digest: string): WasmExchange;
  delete(repository: string, reference: string): WasmExchange;
}

/** One thing to be done there. */
export interface WasmExchange {
  step(): RegistryStep;
  began(status: number, url: string, headers: string[]): number;
  received(bytes: Uint8Array): void;
  answered(status: number, url: string, headers: string[], body: Uint8Array): void;
  failed(reason: string): void;
  free(): void;
}
