/** The files that differ, as a list and as a tree. */
import type { FileDifference } from '../../lib/index.js';
import { fill, h, quoted } from '../dom.js';
import { LETTERS } from './file-tree.js';
import { bytes } from '../format.js';

export const WORDS = { added: 'added', changed: 'changed', deleted: 'removed' } as const;

interface Folder {
  own: FileDifference | undefined;
  below: Map<string, Folder>;
  count: number;
}

/** The files, with a choice of how to see them. */
export function differences(files: readonly FileDifference[]): HTMLElement {
  const place = h('div');
  const views: [string, () => Node[]][] = [
    ['List', () => list(files, (one) => h('li', {}, row(one, `/${pathOf(one)}`)), 'Files that differ')],
    ['Tree', () => tree(grown(files))],
  ];
  const buttons = views.map(([name, show]) => {
    const button = h('button', { type: 'button', ariaPressed: 'false' }, name);
    button.onclick = () => {
      for (const one of buttons) one.ariaPressed = String(one === button);
      place.replaceChildren(...show());
    };
    return button;
  });
  buttons[0]?.click();
  return h('div', {}, h('div', { className: 'row views', role: 'group', ariaLabel: 'Show the differences as' }, ...buttons), place);
}

function list<T>(items: readonly T[], item: (one: T) => Node, ariaLabel: string): Node[] {
  const list = h('ul', { className: 'differences', tabIndex: 0, ariaLabel });
  const more = fill(list, items, item);
  return more ? [list, more] : [list];
}

function grown(files: readonly FileDifference[]): Folder {
  const root: Folder = { own: undefined, below: new Map(), count: 0 };
  for (const file of files) {
    let at = root;
    for (const name of pathOf(file).split('/')) {
      at.count += 1;
      let next = at.below.get(name);
      if (!next) at.below.set(name, (next = { own: undefined, below: new Map(), count: 0 }));
      at = next;
    }
    at.own = file;
  }
  return root;
}

function tree(folder: Folder): Node[] {
  return list([...folder.below], ([name, inner]) => h('li', {}, branch(name, inner)), 'Files that differ, by folder');
}

/** A folder is laid out when it is first opened. */
function branch(name: string, folder: Folder): HTMLElement {
  const label = folder.own ? row(folder.own, name) : h('code', {}, quoted(name));
  if (folder.below.size === 0) return label;
  const hint = h('span', { className: 'hint' }, ` ${folder.count.toLocaleString('en')} below`);
  const details = h('details', {}, h('summary', {}, label, hint));
  details.ontoggle = () => {
    if (details.open && details.children.length === 1) details.append(...tree(folder));
  };
  return details;
}

function pathOf({ before, after }: FileDifference): string {
  return (after ?? before)?.path ?? '';
}

function row({ change, what, before, after }: FileDifference, name: string): HTMLElement {
  const file = after ?? before;
  const sizes = [before, after].filter((one) => one?.kind === 'file').map((one) => bytes(one?.size ?? 0));
  const details = [what?.join(', '), ...(file?.kind === 'file' ? [[...new Set(sizes)].join(' → ')] : [])].filter(Boolean).join('; ');
  return h(
    'span',
    { className: change },
    h('span', { className: 'mark', role: 'img', title: WORDS[change], ariaLabel: WORDS[change] }, LETTERS[change]),
    ' ',
    h('code', {}, quoted(name)),
    ' ',
    h('span', { className: 'hint' }, details),
  );
}
