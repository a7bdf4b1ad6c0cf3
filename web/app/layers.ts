/** Layers and history as one table: what each step ran, and how much it added. */
import type { Image, Layer } from '../lib/index.js';
import { digest, h, quoted } from './dom.js';
import { bytes } from './format.js';

export function layerTable(image: Image, shortId: string): HTMLElement {
  const largest = Math.max(1, ...image.layers.map(({ size }) => size));
  const told = new Set(image.history.map(({ layer }) => layer));
  const rows = [
    ...image.history.map((step) => ({ text: step.createdBy || step.comment || '', layer: image.layers[step.layer ?? -1] })),
    // Layers that the history does not tell of.
    ...image.layers.filter((_, index) => !told.has(index)).map((layer) => ({ text: '', layer })),
  ];
  return h(
    'div',
    { className: 'scroll', tabIndex: 0, role: 'region', ariaLabel: `Layers and history of ${shortId}` },
    h(
      'table',
      { className: 'layers' },
      h('thead', {}, h('tr', {}, ...['', 'Step', 'Size', 'Digest'].map((name) => heading(name)))),
      h('tbody', {}, ...rows.map(({ text, layer }, index) => row(index + 1, text, layer, largest))),
    ),
  );
}

function heading(name: string): HTMLElement {
  return name === '' ? h('th', { scope: 'col', ariaLabel: 'Number' }, '#') : h('th', { scope: 'col' }, name);
}

function row(number: number, text: string, layer: Layer | undefined, largest: number): HTMLElement {
  const step = text === '' ? h('span', { className: 'hint' }, 'not told') : h('code', {}, quoted(command(text)));
  const cells = [h('td', { className: 'number' }, String(number)), h('td', { className: 'step' }, step)];
  if (!layer) {
    return h('tr', { className: 'empty' }, ...cells, h('td', {}, 'no layer'), h('td'));
  }
  const bar = h('meter', { max: largest, value: layer.size, ariaLabel: `${bytes(layer.size)} of ${bytes(largest)}` });
  const id = layer.digest ?? layer.diffId;
  return h(
    'tr',
    { title: layer.mediaType },
    ...cells,
    h('td', { className: 'size' }, bytes(layer.size), bar),
    h('td', {}, id !== undefined && digest(id, layer.digest === undefined ? 'diff ID' : 'digest')),
  );
}

/** The builder's own words around a command say nothing to a reader. */
function command(text: string): string {
  return text.replace(/^\/bin\/sh -c #\(nop\)\s+/, '').replace(/^\/bin\/sh -c /, 'RUN ');
}
