/** The names of one image: chips to rename and remove, a field to add one, and names that usually stand beside them. */
import { parseReference, suggestTags, type Image } from '../lib/index.js';
import { h, quoted, visible } from './dom.js';
import type { Editor } from './editor.js';
import { nameField } from './name-field.js';

export interface Names {
  element: HTMLElement;
  update(image: Image): void;
}

export function names(editor: Editor, image: Image, shortId: string): Names {
  const list = h('ul', { className: 'chips', ariaLabel: `Names of ${shortId}` });
  const none = h('p', { className: 'hint' }, 'This image has no name. Docker loads it as <none>.');
  const suggestions = h('ul', { className: 'suggestions', ariaLabel: `Suggested names for ${shortId}` });
  const add = nameField('Add a name', 'Add', '', (name) => editor.edit((archive) => archive.tag(image.id, name)));
  const chips = new Map<string, HTMLElement>();

  function update({ references }: Image): void {
    for (const [name, chip] of chips) {
      if (references.includes(name)) continue;
      if (chip.contains(document.activeElement)) focusNear(chip);
      chip.remove();
      chips.delete(name);
    }
    for (const name of references) {
      const chip = chips.get(name) ?? newChip(name);
      chips.set(name, chip);
      list.append(chip);
    }
    none.hidden = references.length > 0;
    void suggest(references);
  }

  /** When a chip goes, the focus goes to its neighbour, or to the field. */
  function focusNear(chip: HTMLElement): void {
    const neighbour = chip.nextElementSibling ?? chip.previousElementSibling;
    (neighbour?.querySelector<HTMLElement>('button') ?? add.input).focus();
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
      field.form.querySelector('.row')?.append(cancel);
      field.form.onkeydown = (event) => {
        if (event.key === 'Escape') void done();
      };
      chip.replaceChildren(field.form);
      field.input.select();
      field.input.focus();
    };
    return chip;
  }

  let rounds = 0;
  async function suggest(references: readonly string[]): Promise<void> {
    const round = ++rounds;
    const found = new Set<string>();
    for (const name of references) {
      const reference = await parseReference(name).catch(() => undefined);
      if (reference?.tag === undefined) continue;
      const repository = reference.familiar.slice(0, -(reference.tag.length + 1));
      for (const tag of await suggestTags(reference.tag)) found.add(`${repository}:${tag}`);
    }
    if (round !== rounds) return;
    const taken = new Set(editor.archive.images.flatMap((image) => image.references));
    const buttons = [...found].filter((name) => !taken.has(name)).map((name) => {
      const button = h('button', { type: 'button', ariaLabel: `Add ${name}` }, `+ ${name}`);
      button.onclick = () => {
        add.input.focus();
        void editor.edit((archive) => archive.tag(image.id, name));
      };
      return h('li', {}, button);
    });
    suggestions.replaceChildren(...buttons);
  }

  update(image);
  return { element: h('div', { className: 'names' }, list, none, suggestions, add.form), update };
}
