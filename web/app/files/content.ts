/** What a file holds, to look at: text with numbered lines, JSON set out, bytes, or a picture. */
import { h, visible } from '../dom.js';
import { picture, pictureKind } from './pictures.js';

export type View = 'text' | 'json' | 'picture' | 'hex';

export interface Look {
  /** The ways in which the bytes can be shown, the best first. */
  views: View[];
  show(view: View): Promise<HTMLElement> | HTMLElement;
}

/** JSON that nests deeper is shown as the text that it is. */
const DEEPEST = 100;

/** `bytes` are the beginning of the file, or all of it. */
export function look(bytes: Uint8Array, isWhole: boolean, label: string): Look {
  const text = textOf(bytes, isWhole);
  const json = text !== undefined && isWhole ? setOut(text) : undefined;
  const kind = pictureKind(bytes);
  const views: View[] = [
    ...(kind && isWhole ? (['picture'] as const) : []),
    ...(json !== undefined ? (['json'] as const) : []),
    ...(text !== undefined ? (['text'] as const) : []),
    'hex',
  ];
  return {
    views,
    show(view) {
      if (view === 'picture' && kind) return picture(bytes, kind, label);
      if (view === 'json' && json !== undefined) return numbered(json, label);
      if (view === 'text' && text !== undefined) return numbered(text, label);
      const rest = bytes.length > MOST_OF_HEX && h('p', { className: 'hint' }, 'Only the first MiB: save the file for the rest.');
      return region(label, rest, h('pre', {}, hex(bytes.subarray(0, MOST_OF_HEX))));
    },
  };
}

/** The text that these bytes are, if they are UTF-8 and no binary file. */
function textOf(bytes: Uint8Array, isWhole: boolean): string | undefined {
  if (bytes.includes(0)) return undefined;
  try {
    // A part may end within a letter.
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: !isWhole });
  } catch {
    return undefined;
  }
}

function numbered(text: string, label: string): HTMLElement {
  const isDos = text.includes('\r\n');
  const lines = (isDos ? text.replaceAll('\r\n', '\n') : text).split('\n');
  if (lines.at(-1) === '' && lines.length > 1) lines.pop();
  const shown = lines.map((line) => line.split('\t').map(visible).join('\t')).join('\n');
  const numbers = lines.map((_, index) => index + 1).join('\n');
  return region(
    label,
    isDos && h('p', { className: 'hint' }, 'Lines end with CR LF.'),
    h('div', { className: 'numbered' }, h('pre', { className: 'numbers', ariaHidden: 'true' }, numbers), h('pre', {}, h('bdo', { dir: 'ltr' }, shown))),
  );
}

function region(label: string, ...children: (Node | false)[]): HTMLElement {
  return h('div', { className: 'scroll content', tabIndex: 0, role: 'region', ariaLabel: `Content of ${label}` }, ...children);
}

const COLUMNS = 8;

/** A picture may be read whole; nobody reads so much of its bytes. */
const MOST_OF_HEX = 1 << 20;

function hex(bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; at += COLUMNS) {
    const row = [...bytes.subarray(at, at + COLUMNS)];
    const digits = row.map((byte) => byte.toString(16).padStart(2, '0')).join(' ');
    const letters = row.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('');
    lines.push(`${at.toString(16).padStart(8, '0')}  ${digits.padEnd(COLUMNS * 3)} ${letters}`);
  }
  return lines.join('\n');
}

/** JSON with a line for each value, every value as the text that it is; nothing where it is none. */
function setOut(text: string): string | undefined {
  const first = text.trimStart()[0];
  if (first !== '{' && first !== '[') return undefined;
  try {
    JSON.parse(text);
  } catch {
    return undefined;
  }
  let depth = 0;
  let out = '';
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g) ?? [];
  for (const [index, token] of tokens.entries()) {
    const isEmpty = /^[{[]$/.test(tokens[index - 1] ?? '');
    const line = () => `\n${'  '.repeat(depth)}`;
    if (token === '}' || token === ']') depth -= 1;
    out += (token === '}' || token === ']' ? (isEmpty ? '' : line()) : isEmpty || tokens[index - 1] === ',' ? line() : '') + token;
    if (token === ':') out += ' ';
    if (token === '{' || token === '[') depth += 1;
    if (depth > DEEPEST) return undefined;
  }
  return out;
}
