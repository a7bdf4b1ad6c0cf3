/** Arguments of callers, and the handles that calls are known by. */
import { LongshoreError } from './errors.js';

let lastHandle = 0;

/** A handle that no other archive or task of this program has had. */
export function newHandle(): number {
  return ++lastHandle;
}

/** The argument, if it is a string. */
export function text(value: unknown, name: string): string {
  if (typeof value !== 'string') throw invalid(`${name} must be a string`);
  return value;
}

/** The error for an argument of the wrong type. */
export function invalid(sentence: string): LongshoreError {
  return new LongshoreError('invalid-argument', `${sentence}.`);
}
