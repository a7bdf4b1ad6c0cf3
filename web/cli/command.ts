/** What the commands share: how they are told what to do. */
import { createWriteStream, fstatSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { LongshoreError, openArchive, type Archive, type Limits, type Saved } from '../lib/node.js';
import { visible } from '../lib/visible.js';

/** One command. */
export interface Command {
  /** What follows its name. */
  usage: string;
  /** What it does, in one line. */
  summary: string;
  /** More of it. */
  help?: string;
  /** Does it; resolves to the exit code. */
  run(args: string[], signal: AbortSignal): Promise<number>;
}

/** The command was not told what to do in a way that makes sense. */
export class Usage extends Error {}

type Options = NonNullable<ParseArgsConfig['options']>;
type Config<O extends Options> = { args: string[]; options: O; allowPositionals: true; strict: true; tokens: true };

/**
 * Takes arguments apart: as many words as `words` has names, in which a last one that ends in `?` may be missing. `given` has the
 * options that take a value in the order in which they stand.
 */
export function parse<O extends Options>(
  args: string[],
  words: readonly string[],
  options: O,
): { values: ReturnType<typeof parseArgs<Config<O>>>['values']; words: string[]; given: [name: string, value: string][] } {
  const parsed = (() => {
    try {
      return parseArgs<Config<O>>({ args, options, allowPositionals: true, strict: true, tokens: true });
    } catch (thrown) {
      // An option that does not exist may be a password's: what it is is not repeated.
      throw new Usage((thrown as Error).message.split('. ')[0]?.replace(/'([^'=]*)=.*'/s, "'$1'") ?? 'that makes no sense');
    }
  })();
  const least = words.filter((word) => !word.endsWith('?')).length;
  const { length } = parsed.positionals;
  if (length < least) throw new Usage(`${words[length]} is missing`);
  if (length > words.length) throw new Usage('there are too many arguments');
  const given: [string, string][] = [];
  for (const token of parsed.tokens) if (token.kind === 'option' && token.value !== undefined) given.push([token.name, token.value]);
  return { values: parsed.values, words: parsed.positionals, given };
}

/** The options of whatever may have to unpack something. */
export const LIMIT_OPTIONS = { 'max-bytes': { type: 'string' }, 'max-ratio': { type: 'string' } } as const;
export const LIMIT_HELP = `  --max-bytes BYTES     the most that a file or a layer may unpack to; 1 TiB unless said otherwise
  --max-ratio RATIO     the most bytes for each packed one, beyond the first 64 MiB;
                        2000, beyond the first GiB, unless said otherwise`;

/** The limits that these options give. */
export function limitsOf(values: { [option in keyof typeof LIMIT_OPTIONS]?: string | undefined }): Limits {
  const number = (option: keyof typeof LIMIT_OPTIONS) => {
    const text = values[option];
    const found = text === undefined ? undefined : Number(text);
    if (found !== undefined && !(/^\d+$/.test(text ?? '') && Number.isSafeInteger(found) && found > 0)) {
      throw new Usage(`--${option} takes a whole number`);
    }
    return found;
  };
  const [bytes, ratio] = [number('max-bytes'), number('max-ratio')];
  return { ...(bytes && { bytes }), ...(ratio && { ratio }) };
}

/** Opens an archive, of standard input where the path is `-`, and closes it when `use` is through with it. */
export async function withArchive<T>(
  path: string,
  signal: AbortSignal,
  use: (archive: Archive) => Promise<T>,
  limits: Limits = {},
): Promise<T> {
  if (path === '-') return fromInput(signal, (file) => withArchive(file, signal, use, limits));
  const archive = await openArchive(path, { signal, limits });
  try {
    return await use(archive);
  } finally {
    await archive.close();
  }
}

/** Standard input as a file, in which one can go back and forth; it is removed when `use` is through with it. */
async function fromInput<T>(signal: AbortSignal, use: (file: string) => Promise<T>): Promise<T> {
  const failed = ({ message: reason, syscall }: NodeJS.ErrnoException) => {
    if (signal.aborted) return stopped();
    if (syscall === 'read') return new LongshoreError('read-failed', `Standard input cannot be read: ${reason}.`, { reason });
    return new LongshoreError('write-failed', `Standard input cannot be kept in a temporary file: ${reason}.`, { reason });
  };
  const folder = await mkdtemp(join(tmpdir(), 'longshore-')).catch((thrown) => {
    throw failed(thrown);
  });
  try {
    const file = join(folder, 'archive.tar');
    await pipeline(process.stdin, createWriteStream(file), { signal }).catch((thrown) => {
      throw failed(thrown);
    });
    return await use(file);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Writes an archive to a file, or to standard output where that is `-`. */
export async function write(saved: Saved, file: string, signal: AbortSignal): Promise<void> {
  if (file !== '-') return saved.writeTo(file, { signal });
  await pipeline(saved.stream(), process.stdout, { signal, end: false }).catch((thrown: NodeJS.ErrnoException) => {
    if (signal.aborted) throw stopped();
    if (thrown instanceof LongshoreError) throw thrown;
    throw new LongshoreError('write-failed', `The archive cannot be written: ${thrown.message}.`, { reason: thrown.message });
  });
}

/** What a command fails with that somebody stops. */
export function stopped(): LongshoreError {
  return new LongshoreError('aborted', 'The command was stopped.');
}

/** Prints a line. What would break it, or a terminal would do something about, is escaped. */
export function print(line: string): void {
  process.stdout.write(`${visible(line)}\n`);
}

/** Prints a line about what goes to `file`: not into it. */
export function printBeside(file: string): (line: string) => void {
  return file === '-' || isOutput(file) ? printError : print;
}

/** Whether the path is one of standard output, or may be: a pipe has many. */
function isOutput(file: string): boolean {
  try {
    const [target, output] = [statSync(file), fstatSync(1)];
    return !target.isFile() || (target.dev === output.dev && target.ino === output.ino);
  } catch {
    // There is no such file yet.
    return false;
  }
}

/** Prints a line to standard error. */
export function printError(line: string): void {
  process.stderr.write(`${visible(line)}\n`);
}
