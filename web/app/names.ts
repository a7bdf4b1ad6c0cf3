/** The names of one image: chips to rename and remove, a field to add one, and names that usually stand beside them. */
import { parseReference, suggestTags, type Image } from '../lib/index.js';
import { align, h, quoted, visible } from './dom.js';
import type { Editor } from './editor.js';
import { nameField } from './name-field.js';

/** With more names than this, nobody waits for suggestions. */
const FEW_NAMES = 20;

export interface Names {
  element: HTMLElement;
  update(image: Image): void;
  /** Starts to suggest names. That costs calls, so it waits until the image is in sight. */
  suggest(): void;
}

export function names(editor: Editor, image: Image, shortId: string): Names {
  const list = h('ul', { className: 'chips', ariaLabel: `Names of ${shortId}` });
  const none = h('p', { className: 'hint' }, 'This image has no name. Docker loads it as <none>.');
  const suggestions = h('ul', { className: 'suggestions', ariaLabel: `Suggested names for ${shortId}` });
  const add = nameField('Add a name', 'Add', '', (name) => editor.edit((archive) => archive.tag(image.id, name)));
  let chips = new Map<string, HTMLElement>();
  let suggesting = false;
  let candidates: string[] | undefined;
  let shown: string[] = [];
  let rounds = 0;

  function update({ references }: Image): void {
    if (references.join(' ') !== [...chips.keys()].join(' ')) {
      redraw(references);
      candidates = undefined;
    }
    if (suggesting) void suggest();
  }

  function redraw(references: readonly string[]): void {
    const focused = [...list.children].findIndex((chip) => chip.contains(document.activeElement));
    const wanted = new Map(references.map((name) => [name, chips.get(name) ?? newChip(name)]));
    align(list, [...wanted.values()]);
    chips = wanted;
    none.hidden = references.length > 0;
    // When the chip with the focus goes, the focus goes to the one in its place, or to the field.
    if (focused >= 0 && !list.contains(document.activeElement)) {
      const neighbour = list.children[focused] ?? list.lastElementChild;
      (neighbour?.querySelector<HTMLElement>('button') ?? add.input).focus();
    }
  }

  function newChip(name: string): HTMLElement {
    const shown = visible(name);
    const rename = h('button', { type: 'button', className: 'name', ariaLabel: `Rename ${shown}` }, quoted(name));
    const remove = h('button', { type: 'button', className: 'remove', ariaLabel: `Remove ${shown}` }, '×');
    const chip = h('li', { className: 'chip' }, rename, remove);
    rename.title = 'Rename';
    remove.title = 'Remove';
    remove.onclick = () => void editor.edit((archive) => archive.untag(name));
    rename.onclick = () => {
      const field = nameField(`New name for ${shown}`, 'Rename', name, (to) =>
        to === name ? done() : editor.edit((archive) => archive.rename([{ from: name, to }])),
      );
      const done = async () => {
        chip.replaceChildren(rename, remove);
        rename.focus();
        return true;
      };
      const cancel = h('button', { type: 'button', onclick: () => void done() }, 'Cancel');
      field.element.querySelector('.row')?.append(cancel);
      field.element.onkeydown = (event) => {
        if (event.key === 'Escape') void done();
      };
      chip.replaceChildren(field.element);
      field.input.select();
      field.input.focus();
    };
    return chip;
  }

  async function suggest(): Promise<void> {
    const round = ++rounds;
    const found = candidates ?? (await suggestionsFor([...chips.keys()]));
    if (round !== rounds) return;
    candidates = found;
    const free = found.filter((name) => !editor.taken.has(name));
    // The same buttons stay, and keep the focus.
    if (free.join(' ') === shown.join(' ')) return;
    shown = free;
    suggestions.replaceChildren(...free.map((name) => h('li', {}, suggestion(name))));
  }

  function suggestion(name: string): HTMLElement {
    const button = h('button', { type: 'button', ariaLabel: `Add ${visible(name)}` }, '+ ', quoted(name));
    button.onclick = () => {
      add.input.focus();
      void editor.edit((archive) => archive.tag(image.id, name));
    };
    return button;
  }

  update(image);
  return {
    element: h('div', { className: 'names' }, list, none, suggestions, add.element),
    update,
    suggest: () => {
      suggesting = true;
      void suggest();
    },
  };
}

/** The names that people would put beside these. */
async function suggestionsFor(names: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const name of names.slice(0, FEW_NAMES)) {
    const reference = await parseReference(name).catch(() => undefined);
    if (reference?.tag === undefined) continue;
    const repository = reference.familiar.slice(0, -(reference.tag.length + 1));
    for (const tag of await suggestTags(reference.tag)) found.add(`${repository}:${tag}`);
  }
  return [...found];
}
