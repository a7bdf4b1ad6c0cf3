/** What the commands share: how they are told what to do. */
import { parseArgs, type ParseArgsConfig } from 'node:util';
import { openArchive, type Archive } from '../lib/node.js';

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

/** Opens an archive, and closes it when `use` is through with it. */
export async function withArchive<T>(path: string, signal: AbortSignal, use: (archive: Archive) => Promise<T>): Promise<T> {
  const archive = await openArchive(path, { signal });
  try {
    return await use(archive);
  } finally {
    await archive.close();
  }
}

/** Prints a line. */
export function print(line: string): void {
  process.stdout.write(`${visible(line)}\n`);
}

/** Text of somebody else's, without what a terminal would do something about. */
function visible(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
