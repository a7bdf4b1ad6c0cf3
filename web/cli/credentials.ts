/** Who asks a registry. A password comes from standard input, the environment or a prompt, never from the command line. */
import { on } from 'node:events';
import type { Credentials, RegistryOptions } from '../lib/node.js';
import { visible } from '../lib/visible.js';
import { Usage, stopped } from './command.js';

export const REGISTRY_OPTIONS = {
  username: { type: 'string', short: 'u' },
  'password-stdin': { type: 'boolean' },
  'plain-http': { type: 'boolean' },
} as const;

export const REGISTRY_HELP = `  -u, --username NAME   who asks; the password is asked for, or taken from LONGSHORE_PASSWORD
  --password-stdin      take the password from standard input
  --plain-http          talk to the registry over http, as on this machine
LONGSHORE_USERNAME and LONGSHORE_PASSWORD, or LONGSHORE_TOKEN, are used where nothing else is said.`;

interface Values {
  username?: string | undefined;
  'password-stdin'?: boolean | undefined;
  'plain-http'?: boolean | undefined;
}

/** How to ask the registry of that host. `archive` is what is read beside that: standard input gives one thing only. */
export async function access(values: Values, host: string, signal: AbortSignal, archive?: string): Promise<RegistryOptions> {
  if (values['password-stdin'] && archive === '-') throw new Usage('standard input cannot be the archive and the password');
  const credentials = await credentialsOf(values, signal);
  return { ...(credentials && { credentials }), ...(values['plain-http'] && { registry: `http://${host}` }) };
}

async function credentialsOf(values: Values, signal: AbortSignal): Promise<Credentials | undefined> {
  const { LONGSHORE_USERNAME, LONGSHORE_PASSWORD, LONGSHORE_TOKEN } = process.env;
  const user = values.username ?? LONGSHORE_USERNAME;
  if (values['password-stdin']) {
    if (!user) throw new Usage('--password-stdin needs --username');
    return { user, password: await standardInput(signal) };
  }
  if (user) return { user, password: LONGSHORE_PASSWORD ?? (await prompt(`Password of ${user}: `, signal)) };
  return LONGSHORE_TOKEN ? { token: LONGSHORE_TOKEN } : undefined;
}

async function standardInput(signal: AbortSignal): Promise<string> {
  const pieces: Buffer[] = [];
  for await (const piece of arriving(signal)) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8').replace(/\r?\n$/, '');
}

/** Asks without showing what is typed. */
async function prompt(question: string, signal: AbortSignal): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) throw new Usage('there is no password: use --password-stdin or LONGSHORE_PASSWORD');
  stdin.setRawMode(true);
  stderr.write(visible(question));
  let typed = '';
  try {
    for await (const piece of arriving(signal)) {
      for (const c of String(piece)) {
        // Ctrl-D is the end of what is typed.
        if (c === '\r' || c === '\n' || c === '\u0004') return typed;
        if (c === '\u0003') throw stopped();
        typed = c === '\u007f' ? typed.slice(0, -1) : typed + c;
      }
    }
    return typed;
  } finally {
    stdin.setRawMode(false);
    stderr.write('\n');
  }
}

/** What comes on standard input. The stream's own iterator closes it, and a closed terminal's mode cannot be set back. */
async function* arriving(signal: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
  try {
    for await (const [piece] of on(process.stdin, 'data', { signal, close: ['end'] })) yield piece as Buffer;
  } catch (thrown) {
    throw signal.aborted ? stopped() : thrown;
  } finally {
    process.stdin.pause();
  }
}
