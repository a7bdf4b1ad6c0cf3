/** A field for a name that says what is wrong with it, in Docker's words, while it is typed. */
import { LongshoreError, parseReference } from '../lib/index.js';
import { h, newId } from './dom.js';
import { sentence } from './problems.js';

const PAUSE_MS = 120;

export interface NameField {
  element: HTMLElement;
  input: HTMLInputElement;
}

/**
 * `commit` gets the name and says whether it was taken; then the field is emptied. It is no form: there is one for each image, and
 * Chromium looks through all forms of a page whenever one comes.
 */
export function nameField(label: string, button: string, value: string, commit: (name: string) => Promise<boolean>): NameField {
  const hintId = newId();
  const hint = h('p', { id: hintId, className: 'field-hint', ariaLive: 'polite' });
  const input = h('input', {
    id: newId(),
    type: 'text',
    value,
    autocomplete: 'off',
    spellcheck: false,
    placeholder: 'registry.local/team/app:1.0',
    attrs: { 'aria-describedby': hintId, autocapitalize: 'off' },
  });
  const element = h(
    'div',
    { className: 'name-field' },
    h('label', { htmlFor: input.id }, label),
    h('div', { className: 'row' }, input, h('button', { type: 'button', onclick: () => void submit() }, button)),
    hint,
  );

  let checks = 0;
  async function check(): Promise<void> {
    const number = ++checks;
    const text = input.value.trim();
    const outcome = text === '' ? '' : await parseReference(text).catch((error: unknown) => error);
    // What was typed since is checked by another call.
    if (number !== checks) return;
    const wrong = outcome instanceof LongshoreError;
    input.ariaInvalid = String(wrong);
    hint.classList.toggle('wrong', wrong);
    if (wrong) hint.textContent = sentence(outcome.message);
    else if (typeof outcome === 'object' && outcome !== null && 'familiar' in outcome && outcome.familiar !== text) {
      hint.textContent = `Docker will print it as ${String(outcome.familiar)}.`;
    } else hint.textContent = '';
  }

  let timer: ReturnType<typeof setTimeout> | undefined;
  input.oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(() => void check(), PAUSE_MS);
  };
  input.onkeydown = ({ key, isComposing }) => {
    if (key === 'Enter' && !isComposing) void submit();
  };
  let isRunning = false;
  async function submit(): Promise<void> {
    if (isRunning) return;
    isRunning = true;
    const text = input.value.trim();
    const isTaken = text !== '' && (await commit(text));
    isRunning = false;
    if (!isTaken) {
      input.focus();
      return;
    }
    input.value = '';
    void check();
  }
  return { element, input };
}
