/** Renaming every name at once: moving a whole archive to another registry. */
import type { RenameRule } from '../lib/index.js';
import { h, newId } from './dom.js';
import type { Editor } from './editor.js';

export function renameForm(editor: Editor): HTMLElement {
  const rows = h('div', { className: 'rules' });
  const more = h('button', { type: 'button' }, 'Add a rule');
  const form = h(
    'form',
    { className: 'rename' },
    h(
      'p',
      { className: 'hint' },
      'Each name follows the first rule that fits it. From is a registry (docker.io), the beginning of a repository ' +
        '(team), a repository (nginx) or a whole name (nginx:1.25). Left empty, it stands for the registry of every name.',
    ),
    rows,
    h('div', { className: 'row' }, h('button', { type: 'submit', className: 'primary' }, 'Rename all'), more),
  );

  function addRow(): HTMLInputElement {
    const from = field('From', 'docker.io');
    const to = field('To', 'registry.local/mirror');
    const remove = h('button', { type: 'button', ariaLabel: 'Remove this rule', title: 'Remove this rule' }, '×');
    const row = h('div', { className: 'rule' }, from.label, from.input, to.label, to.input, remove);
    remove.onclick = () => {
      row.remove();
      if (!rows.hasChildNodes()) addRow();
      rows.querySelector('input')?.focus();
    };
    rows.append(row);
    return from.input;
  }

  more.onclick = () => addRow().focus();
  form.onsubmit = async (event) => {
    event.preventDefault();
    const inputs = [...rows.querySelectorAll('input')].map(({ value }) => value.trim());
    const rules: RenameRule[] = [];
    for (let i = 0; i < inputs.length; i += 2) rules.push({ from: inputs[i] ?? '', to: inputs[i + 1] ?? '' });
    const stated = rules.filter(({ from, to }) => from !== '' || to !== '');
    if (await editor.edit((archive) => archive.rename(stated))) {
      rows.replaceChildren();
      addRow();
    }
  };
  addRow();
  return form;
}

function field(name: string, placeholder: string) {
  const input = h('input', { id: newId(), type: 'text', placeholder, autocomplete: 'off', spellcheck: false });
  input.setAttribute('autocapitalize', 'off');
  return { input, label: h('label', { htmlFor: input.id }, name) };
}
