/** A registry, as a program asks it. */
import { invalid, text } from './checks.js';
import { LongshoreError, fromData, toData } from './errors.js';
import { carryOut, type Luggage, type Shell } from './registry-exchange.js';
import type { RegistryAccess, RegistryWasm, WasmExchange, WasmRegistry } from './registry-protocol.js';
import type { CallOptions, RegistryCheck, RegistryOptions } from './registry-types.js';

/** One registry with who asks it; what was learned of it once is known to all that follows. */
export class RegistryClient {
  readonly wasm: RegistryWasm;
  readonly registry: WasmRegistry;
  /** Where its API begins. */
  readonly base: string;
  readonly #shell: Shell;

  private constructor(shell: Shell, wasm: RegistryWasm, host: string, access: RegistryAccess) {
    this.#shell = shell;
    this.wasm = wasm;
    this.registry = new wasm.Registry(host, access);
    this.base = this.registry.base();
  }

  /** Begins with a registry; nothing is asked yet. Fails with `invalid-argument`. */
  static async of(shell: Shell, host: string, options: RegistryOptions): Promise<RegistryClient> {
    const access = accessOf(options, shell.chunk);
    const at = text(options.registry ?? host, 'registry');
    const wasm = await shell.wasm();
    return asked(() => new RegistryClient(shell, wasm, at, access));
  }

  /** Carries out what `begin` begins. */
  async run<T>(begin: (registry: WasmRegistry) => WasmExchange, luggage: Luggage = {}): Promise<T> {
    return (await carryOut(this.#shell, this.base, begin(this.registry), luggage)) as T;
  }
}

/** A registry: what it has, and whether it can be used from here. */
export class Registry {
  readonly #client: RegistryClient;

  /** @internal */
  constructor(client: RegistryClient) {
    this.#client = client;
  }

  /**
   * Whether it can be used from here with these credentials. Fails with `aborted`, and with `registry-failed` where it
   * answers that it cannot answer.
   */
  async check({ signal }: CallOptions = {}): Promise<RegistryCheck> {
    const client = this.#client;
    try {
      await client.run((registry) => registry.ping(), { signal });
      return { status: 'ok', message: `${client.base} answers.` };
    } catch (thrown) {
      const { code, message, detail } = thrown as LongshoreError;
      const reasons: Record<string, RegistryCheck['status']> = { cors: 'no-cors', certificate: 'wrong-certificate' };
      if (code === 'unreachable') return { status: reasons[String(detail['reason'])] ?? 'unreachable', message };
      if (code === 'unauthorized' || code === 'denied') return { status: 'needs-login', message };
      if (code === 'invalid-answer' || code === 'registry-refused') return { status: 'no-registry', message };
      throw thrown;
    }
  }

  /** The tags of a repository: `team/app`. Fails with `not-found` where there is none, and `invalid-reference` where that is no name. */
  async tags(repository: string, { signal }: CallOptions = {}): Promise<string[]> {
    const path = this.#repository(repository);
    return this.#client.run((registry) => registry.tags(path), { signal });
  }

  /** The repositories. Many registries tell nobody: `registry-refused`, `not-found`, `unauthorized` or `denied`. */
  async catalog({ signal }: CallOptions = {}): Promise<string[]> {
    return this.#client.run((registry) => registry.catalog(), { signal });
  }

  /** What refers to a manifest (signatures, bills of materials): their descriptors. */
  async referrers(repository: string, digest: string, { signal }: CallOptions = {}): Promise<unknown[]> {
    const [path, of] = [this.#repository(repository), this.#reference('@', text(digest, 'digest'))];
    const found = await this.#client.run<string[]>((registry) => registry.referrers(path, of), { signal });
    return found.map((descriptor) => JSON.parse(descriptor) as unknown);
  }

  /** A repository's name, which is a part of paths that are asked for. */
  #repository(repository: unknown): string {
    const name = text(repository, 'repository');
    const named = asked(() => this.#client.wasm.named(`registry.invalid/${name}`));
    if (named.repository === name) return name;
    throw new LongshoreError('invalid-reference', `${JSON.stringify(name)} is no repository.`);
  }

  /** A tag or a digest, which is a part of paths, too. */
  #reference(sign: ':' | '@', reference: string): string {
    return asked(() => this.#client.wasm.named(`registry.invalid/any${sign}${reference}`)).reference;
  }

  /**
   * Removes a tag, or a manifest by its digest. Registries may refuse: `registry-refused`. Fails with `invalid-reference` for what
   * is neither.
   */
  async remove(repository: string, reference: string, { signal }: CallOptions = {}): Promise<void> {
    const path = this.#repository(repository);
    const which = this.#reference(text(reference, 'reference').includes(':') ? '@' : ':', reference);
    await this.#client.run((registry) => registry.delete(path, which), { signal });
  }
}

/** @internal A registry that can be asked. */
export async function openRegistry(shell: Shell, host: string, options: RegistryOptions): Promise<Registry> {
  return new Registry(await RegistryClient.of(shell, host, options));
}

/** What the wasm gives; what it throws, as the package's own error. */
export function asked<T>(work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    throw fromData(toData(thrown), thrown);
  }
}

/** The options, if they are some. */
function accessOf(options: RegistryOptions, usualChunk: number | undefined): RegistryAccess {
  const { credentials, retries, pause, timeout, chunkSize = usualChunk } = options;
  for (const [name, value] of Object.entries({ retries, pause, timeout, chunkSize })) {
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0)) throw invalid(`${name} must be a whole number`);
  }
  const texts: Record<string, unknown> = { ...credentials };
  const known = [['password', 'user'], ['identityToken'], ['token']].some((keys) => String(keys) === String(Object.keys(texts).sort()));
  // What is wrong with them is nobody's business but the caller's: they are not repeated.
  if (credentials !== undefined && !(known && Object.values(texts).every((value) => typeof value === 'string'))) {
    throw invalid('credentials must be { user, password }, { identityToken } or { token }');
  }
  return { ...texts, retries, pause, timeout, chunk: chunkSize };
}
