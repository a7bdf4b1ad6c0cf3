/** A form that changes what a container made from an image starts with. */
import type { ConfigChanges, Image } from '../lib/index.js';
import { h } from './dom.js';

/** What a field shows, and what follows for the changes where it shows something else. */
interface Field {
  label: string;
  hint?: string;
  text: string;
  rows: number;
  changes(text: string): ConfigChanges;
}

/** `apply` makes the changes, or shows why not. */
export function configForm({ config }: Image, apply: (changes: ConfigChanges) => Promise<unknown>): HTMLElement {
  const variables = config.env.filter(isLine).map(pair);
  const labels = Object.entries(config.labels).filter(([key, value]) => isLine(key + value));
  const single = (label: string, text: string | undefined, key: 'user' | 'workingDir'): Field => ({
    label,
    text: text ?? '',
    rows: 1,
    changes: (text) => ({ [key]: text.trim() || null }),
  });
  const command = (label: string, parts: string[] | undefined, key: 'cmd' | 'entrypoint'): Field => ({
    label,
    hint: 'as ["a", "list"], or as you would type it into a shell',
    text: parts && parts.length > 0 ? JSON.stringify(parts) : '',
    rows: 1,
    changes: (text) => ({ [key]: words(text, config.shell) }),
  });
  const fields: Field[] = [
    { label: 'Environment', hint: 'NAME=value, one a line', text: lines(variables), rows: 4, changes: (text) => ({ env: difference(variables, text) }) },
    { label: 'Labels', hint: 'key=value, one a line', text: lines(labels), rows: 4, changes: (text) => ({ labels: difference(labels, text) }) },
    command('Entrypoint', config.entrypoint, 'entrypoint'),
    command('Command', config.cmd, 'cmd'),
    single('User', config.user, 'user'),
    single('Working directory', config.workingDir, 'workingDir'),
    {
      label: 'Ports',
      hint: '80 or 53/udp, with spaces between',
      text: config.exposedPorts.join(' '),
      rows: 1,
      changes: (text) => {
        const wanted = text.split(/[\s,]+/).filter(Boolean);
        const gone = config.exposedPorts.filter((port) => !wanted.includes(port));
        return { exposedPorts: Object.fromEntries([...gone.map((port) => [port, false]), ...wanted.map((port) => [port, true])]) };
      },
    },
  ];
  const inputs = fields.map(({ rows, text, hint }) => {
    const props = { value: text, spellcheck: false, ...(hint !== undefined && { title: hint }) };
    return rows === 1 ? h('input', { type: 'text', ...props }) : h('textarea', { rows, ...props });
  });
  const button = h('button', { type: 'submit' }, 'Change the config');
  const rows = fields.map(({ label, hint }, index) =>
    h('p', {}, h('label', {}, label, hint !== undefined && h('span', { className: 'hint' }, ` (${hint}) `), inputs[index])),
  );
  const form = h('form', { className: 'config-form' }, ...rows, h('p', { className: 'row' }, button));
  let isRunning = false;
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (isRunning) return;
    isRunning = true;
    const changed = fields.map(({ text, changes }, index) => {
      const now = inputs[index]?.value ?? text;
      return now === text ? {} : changes(now);
    });
    const changes: ConfigChanges = Object.assign({}, ...changed);
    // What the form shows is what is meant: here, another entry point does not take the command out.
    if ('entrypoint' in changes && !('cmd' in changes)) changes.cmd = config.cmd ?? null;
    await apply(changes);
    isRunning = false;
  };
  return form;
}

/** What has line breaks cannot be shown in lines: it stays as it is. */
function isLine(text: string): boolean {
  return !/[\r\n]/.test(text);
}

function pair(text: string): [string, string] {
  const at = text.indexOf('=');
  return at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}

function lines(pairs: readonly (readonly [string, string])[]): string {
  return pairs.map(([key, value]) => `${key}=${value}`).join('\n');
}

/** The keys that the text gives other values, and with `null` those that it no longer has. */
function difference(before: readonly (readonly [string, string])[], text: string): Record<string, string | null> {
  const old = new Map(before);
  const now = new Map(text.split('\n').filter((line) => line.trim() !== '').map(pair));
  const gone = [...old.keys()].filter((key) => !now.has(key)).map((key) => [key, null] as const);
  return Object.fromEntries([...gone, ...[...now].filter(([key, value]) => old.get(key) !== value)]);
}

/** A command as a Dockerfile has it: a list, or else a line for the image's shell. */
function words(text: string, shell: readonly string[] = []): string[] | null {
  if (text.trim() === '') return null;
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((word) => typeof word === 'string')) return list.length > 0 ? list : null;
  } catch {
    // It is no list.
  }
  return [...(shell.length > 0 ? shell : ['/bin/sh', '-c']), text];
}
