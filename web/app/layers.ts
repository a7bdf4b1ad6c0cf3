/** Layers and history as one table: what each step ran, and how much it added. */
import type { Image, Layer } from '../lib/index.js';
import { digest, fill, h, quoted, table, visible } from './dom.js';
import { bytes } from './format.js';

/** A longer command is shown in part until it is asked for. */
const LONG = 240;

export function layerTable(image: Image, shortId: string): HTMLElement {
  const largest = image.layers.reduce((most, { size }) => Math.max(most, size), 1);
  const told = new Set(image.history.map(({ layer }) => layer));
  const rows = [
    ...image.history.map((step) => ({ text: step.createdBy || step.comment || '', layer: image.layers[step.layer ?? -1] })),
    // Layers that the history does not tell of.
    ...image.layers.filter((_, index) => !told.has(index)).map((layer) => ({ text: '', layer })),
  ];
  const body = h('tbody');
  const more = fill(body, rows, ({ text, layer }, index) => row(index + 1, text, layer, largest));
  const number = h('th', { scope: 'col', ariaLabel: 'Number' }, '#');
  return table(`Layers and history of ${shortId}`, [number, 'Step', 'Size', 'Digest'], body, { className: 'layers', more });
}

function row(number: number, text: string, layer: Layer | undefined, largest: number): HTMLElement {
  const cells = [h('td', { className: 'number' }, String(number)), h('td', { className: 'step' }, step(text))];
  if (!layer) {
    return h('tr', { className: 'empty' }, ...cells, h('td', {}, 'no layer'), h('td'));
  }
  const bar = h('meter', { max: largest, value: layer.size, ariaLabel: `${bytes(layer.size)} of ${bytes(largest)}` });
  const id = layer.digest ?? layer.diffId;
  return h(
    'tr',
    {},
    ...cells,
    h('td', { className: 'size' }, bytes(layer.size), bar),
    h(
      'td',
      {},
      id !== undefined && digest(id, layer.digest === undefined ? 'diff ID' : 'digest'),
      h('span', { className: 'packing', title: visible(layer.mediaType) }, packing(layer.mediaType)),
    ),
  );
}

function step(text: string): HTMLElement {
  if (text === '') return h('span', { className: 'hint' }, 'not told');
  const code = h('code', {}, quoted(command(text)));
  return text.length > LONG ? h('details', {}, h('summary', {}, code)) : code;
}

/** The builder's own words around a command, and its line breaks and indents, say nothing to a reader. */
export function command(text: string): string {
  return text
    .replace(/^\/bin\/sh -c #\(nop\)\s+/, '')
    .replace(/^\/bin\/sh -c /, 'RUN ')
    .replace(/[\t\r\n ]+/g, ' ');
}

/** How a layer is compressed, by its media type; nothing for a plain tar. */
function packing(mediaType: string): string {
  return /[+.](gzip|zstd|xz|bzip2|encrypted)$/.exec(mediaType)?.[1] ?? '';
}
