#!/usr/bin/env node
/** `longshore`: what the package does, on the command line. Each command is a file of its own. */
import { readFileSync } from 'node:fs';
import { LongshoreError } from '../lib/node.js';
import { Usage, print, printError, type Command } from './command.js';
import { convert } from './convert.js';
import { inspect } from './inspect.js';
import { mirror } from './mirror.js';
import { pull } from './pull.js';
import { push } from './push.js';
import { retag } from './retag.js';
import { tags } from './tags.js';
import { verify } from './verify.js';

const COMMANDS: Record<string, Command> = { inspect, verify, retag, convert, push, mirror, pull, tags };

function help(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length));
  const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `Usage: longshore COMMAND [OPTIONS] ...\n\nCommands:\n${lines.join('\n')}\n\n'longshore COMMAND --help' says more of each. An ARCHIVE that is - is standard input.

Exit codes: 0 it went well, 1 it did not, 2 it makes no sense, 128 and a signal's number it was stopped.\n`;
}

function version(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
  return `longshore ${version}`;
}

/** Whether help is asked for: not by what follows `--`. */
function isHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--');
  return args.slice(0, end < 0 ? args.length : end).some((word) => word === '--help' || word === '-h');
}

/** What stops a command, which then leaves nothing half done behind, and the exit codes that shells know it by. */
const STOPS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 };

async function main([name = '--help', ...args]: string[]): Promise<number> {
  if (name === 'help') return main([...args.slice(0, 1), '--help']);
  if (name === '--version') {
    print(version());
    return 0;
  }
  if (isHelp([name])) {
    process.stdout.write(help());
    return 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (!command) {
    printError(`longshore: there is no command ${name}.`);
    process.stderr.write(`\n${help()}`);
    return 2;
  }
  if (isHelp(args)) {
    process.stdout.write(`Usage: longshore ${name} ${command.usage}\n\n${command.summary}.\n${command.help ? `\n${command.help}\n` : ''}`);
    return 0;
  }
  const control = new AbortController();
  let stopped = STOPS.SIGINT;
  const stop = (signal: NodeJS.Signals) => {
    stopped = STOPS[signal as keyof typeof STOPS];
    control.abort();
  };
  const signals = Object.keys(STOPS) as (keyof typeof STOPS)[];
  for (const signal of signals) process.once(signal, stop);
  try {
    return await command.run(args, control.signal);
  } catch (thrown) {
    if (thrown instanceof Usage) {
      printError(`longshore ${name}: ${thrown.message}.`);
      printError(`Usage: longshore ${name} ${command.usage}`);
      return 2;
    }
    if (!(thrown instanceof LongshoreError)) throw thrown;
    printError(`longshore: ${thrown.message} (${thrown.code})`);
    return thrown.code === 'aborted' ? stopped : 1;
  } finally {
    for (const signal of signals) process.off(signal, stop);
  }
}

// What nobody reads any more (`| head`) is not written; the work goes on.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') return;
  printError(`longshore: the output cannot be written: ${error.message}.`);
  process.exitCode = 1;
});
const code = await main(process.argv.slice(2));
process.exitCode ||= code;
