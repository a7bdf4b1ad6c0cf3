/** The layers of an image, to choose one whose changes the tree is to show. */
import type { Image } from '../../lib/index.js';
import type { Change } from './branches.js';
import { fill, h, quoted } from '../dom.js';
import { bytes } from '../format.js';
import { LETTERS } from './file-tree.js';
import { command } from '../layers.js';

export interface LayerList {
  element: HTMLElement;
  /** Says of a layer how much it does. */
  count(layer: number, counts: Record<Change, number>): void;
  /** Marks what is chosen: a layer, or all of them. */
  choose(layer: number | undefined): void;
}

/** `chosen` is called with a layer, or nothing for all of them. */
export function layerList(image: Image, chosen: (layer: number | undefined) => void): LayerList {
  const buttons: HTMLButtonElement[] = [];
  const counted: HTMLElement[] = [];
  let now: number | undefined;
  const list = h('ul', { ariaLabel: 'Layers' });
  const all = h('button', { type: 'button', ariaPressed: 'true' }, h('strong', {}, 'All layers'), h('span', { className: 'hint' }, bytes(image.size)));
  all.onclick = () => chosen(undefined);
  list.append(h('li', {}, all));
  const known = new Map<number, Record<Change, number>>();
  const more = fill(list, image.layers, ({ size }, index) => {
    const counts = (counted[index] = h('span', { className: 'counts' }));
    const button = h(
      'button',
      { type: 'button', ariaPressed: String(index === now) },
      h('span', { className: 'number' }, String(index + 1)),
      h('code', {}, quoted(stepOf(image, index) || 'not told')),
      h('span', { className: 'hint' }, bytes(size)),
      counts,
    );
    button.onclick = () => chosen(index);
    buttons[index] = button;
    show(index);
    return h('li', {}, button);
  });

  function show(layer: number): void {
    const counts = known.get(layer);
    if (!counts) return;
    const parts = (['added', 'changed', 'deleted'] as const).filter((change) => counts[change] > 0);
    counted[layer]?.replaceChildren(
      ...parts.map((change) =>
        h('span', { className: change }, h('abbr', { title: change }, LETTERS[change]), ` ${counts[change].toLocaleString('en')}`),
      ),
      parts.length === 0 ? h('span', { className: 'hint' }, 'no changes') : '',
    );
  }

  return {
    element: h('div', { className: 'pane layers-pane', role: 'group', ariaLabel: 'Layers' }, h('h4', {}, 'Layers'), list, more),
    count(layer, counts) {
      known.set(layer, counts);
      show(layer);
    },
    choose(layer) {
      now = layer;
      all.ariaPressed = String(layer === undefined);
      for (const [index, button] of buttons.entries()) button.ariaPressed = String(index === layer);
    },
  };
}

/** A layer as text: its number and what made it. */
export function layerName(image: Image, layer: number): HTMLElement {
  const step = stepOf(image, layer);
  return h('span', {}, `${layer + 1}`, step !== '' && ': ', step !== '' && h('code', {}, quoted(step.slice(0, 200))));
}

function stepOf(image: Image, layer: number): string {
  const step = image.history.find((one) => one.layer === layer);
  return command(step?.createdBy || step?.comment || '');
}
