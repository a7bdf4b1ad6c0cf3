/** Questions that have to be answered before the page goes on. */
import { h, newId } from './dom.js';

/** Asks; true for yes. Escape does not throw away a text that was typed: that takes the button. */
export async function ask(title: string, yes: string, ...content: Node[]): Promise<boolean> {
  const heading = h('h2', { id: newId() }, title);
  const dialog = h(
    'dialog',
    { attrs: { 'aria-labelledby': heading.id } },
    h(
      'form',
      { method: 'dialog' },
      heading,
      ...content,
      h('div', { className: 'row' }, h('button', { value: 'yes', className: 'primary' }, yes), h('button', { value: 'no', formNoValidate: true }, 'Cancel')),
    ),
  );
  dialog.oncancel = (event) => {
    if (isTyped()) event.preventDefault();
  };
  document.body.append(dialog);
  dialog.showModal();
  await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
  dialog.remove();
  return dialog.returnValue === 'yes';
}

/** Whether a text was typed that an open question would lose. */
export function isTyped(): boolean {
  return [...document.querySelectorAll<HTMLTextAreaElement>('dialog[open] textarea')].some(({ value, defaultValue }) => value !== defaultValue);
}

/** A field of a question, with its label. */
export function field(label: string, input: HTMLInputElement | HTMLTextAreaElement, hint?: string): HTMLElement {
  input.id = newId();
  return h('p', { className: 'field' }, h('label', { htmlFor: input.id }, label, hint !== undefined && h('span', { className: 'hint' }, ` (${hint})`)), input);
}
