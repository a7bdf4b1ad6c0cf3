/** What can go wrong, as stable codes. docs/formats.md says when each one comes. */
export const ERROR_CODES = [
  // The file.
  'empty-file',
  'not-a-tar',
  'compressed',
  'truncated',
  'invalid-tar',
  'source-changed',
  'read-failed',
  // The archive.
  'not-an-image-archive',
  'missing-entry',
  'invalid-json',
  'invalid-manifest',
  'invalid-config',
  'invalid-compression',
  'limit-exceeded',
  // Names.
  'invalid-reference',
  'duplicate-reference',
  'no-such-image',
  'ambiguous-image',
  'index-mismatch',
  // The store.
  'image-in-use',
  'no-such-container',
  'ambiguous-container',
  'name-in-use',
  'quota-exceeded',
  'store-failed',
  'store-changed',
  'damaged-blob',
  'damaged-image',
  'damaged-catalog',
  // The registry.
  'unreachable',
  'unauthorized',
  'denied',
  'not-found',
  'no-such-platform',
  'registry-refused',
  'registry-failed',
  'invalid-answer',
  'digest-mismatch',
  // Files.
  'no-such-file',
  'file-exists',
  'not-a-directory',
  'is-a-directory',
  // The call.
  'invalid-argument',
  'aborted',
  'closed',
  'fetch-failed',
  'write-failed',
  'worker-failed',
] as const;

/** One of {@link ERROR_CODES}. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** The facts of a failure: `entry`, `offset`, `expected`, `actual`, `reference`, … */
export type ErrorDetail = Record<string, string | number>;

/** Every failure of this package: a stable code for programs, a sentence for people, and the facts. */
export class LongshoreError extends Error {
  override readonly name = 'LongshoreError';
  readonly code: ErrorCode;
  readonly detail: ErrorDetail;

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.detail = detail;
  }
}

/** A failure as plain data: structured clone drops an error's class and its own fields. */
export interface ErrorData {
  code: ErrorCode;
  message: string;
  detail: ErrorDetail;
}

/** Whether a wasm instance broke down: what it holds can no longer be trusted. */
export function isBreakdown(thrown: unknown): boolean {
  return thrown instanceof WebAssembly.RuntimeError;
}

/** Anything thrown, as plain data. */
export function toData(thrown: unknown): ErrorData {
  const { code, message, detail } = (thrown ?? {}) as Partial<ErrorData>;
  if (ERROR_CODES.includes(code as ErrorCode)) {
    return { code: code as ErrorCode, message: message ?? '', detail: detail ?? {} };
  }
  return { code: 'worker-failed', message: `Longshore broke down: ${message ?? String(thrown)}`, detail: {} };
}

/** The error that the data was made of. */
export function fromData({ code, message, detail }: ErrorData, cause?: unknown): LongshoreError {
  return new LongshoreError(code, message, detail, { cause });
}

/** A blob that a store had. */
export function damagedBlob(digest: string, cause?: unknown): LongshoreError {
  return new LongshoreError('damaged-blob', `The blob ${digest} is no longer in the store, or no longer what its digest says.`, { digest }, { cause });
}

/** What a call fails with when its signal stops it. */
export function aborted(signal?: AbortSignal): LongshoreError {
  return new LongshoreError('aborted', 'The call was stopped.', {}, { cause: signal?.reason });
}

/** What a call fails with whose archive was closed meanwhile. */
export function lost(): LongshoreError {
  return new LongshoreError('closed', 'The archive is no longer open. Open it again.');
}
