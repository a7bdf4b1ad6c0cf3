/** Arguments of callers, the handles that calls are known by, and digits. */
import { LongshoreError } from './errors.js';
import type { Limits } from './types.js';

let lastHandle = 0;

/** A handle that no other archive or task of this program has had. */
export function newHandle(): number {
  return ++lastHandle;
}

/** The argument, if it is a string that has an encoding. */
export function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`${name} must be a string`);
  // Half a surrogate pair has no UTF-8.
  if (/\p{Surrogate}/u.test(value)) throw invalid(`${name} must be well-formed Unicode`);
  return value;
}

/** The argument, if it is an array of strings. */
export function texts(value: unknown, name: string): string[] {
  if (!Array.isArray(value)) throw invalid(`${name} must be an array`);
  return value.map((one) => text(one, name));
}

/** The error for an argument of the wrong type. */
export function invalid(sentence: string): LongshoreError {
  return new LongshoreError('invalid-argument', `${sentence}.`);
}

/** The limits, if they are some. */
export function limitsOf(limits: unknown = {}): Limits {
  const { bytes, ratio } = (limits ?? {}) as Limits;
  const isLimit = (value: unknown) => value === undefined || (Number.isSafeInteger(value) && (value as number) > 0);
  if (!isLimit(bytes) || !isLimit(ratio)) throw invalid('limits must be whole numbers');
  return { ...(bytes && { bytes }), ...(ratio && { ratio }) };
}

/** Bytes in hexadecimal. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
