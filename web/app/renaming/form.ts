/** Renaming all names at once: moving a whole archive to another registry. */
import type { NameChange, RenameRule } from '../../lib/index.js';
import { fill, h, newId, quoted } from '../dom.js';
import type { Editor } from '../editor.js';

export interface RenameForm {
  element: HTMLElement;
  /** Takes away what the last renaming changed, which is no longer so. */
  outdate(): void;
}

export function renameForm(editor: Editor): RenameForm {
  const rows = h('div', { className: 'rules' });
  const more = h('button', { type: 'button' }, 'Add a rule');
  const outcome = h('div', { className: 'changes' });
  const registry = field('Move everything to registry', 'registry.local:5000');
  const move = h(
    'form',
    { className: 'move' },
    registry.label,
    h('div', { className: 'row' }, registry.input, h('button', { type: 'submit' }, 'Move all')),
  );
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
  move.onsubmit = async (event) => {
    event.preventDefault();
    const to = registry.input.value.trim();
    if (to === '' || (await apply([{ from: '', to }]))) registry.input.value = '';
    if (to === '') registry.input.focus();
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    const inputs = [...rows.querySelectorAll('input')].map(({ value }) => value.trim());
    const rules: RenameRule[] = [];
    for (let i = 0; i < inputs.length; i += 2) rules.push({ from: inputs[i] ?? '', to: inputs[i + 1] ?? '' });
    const stated = rules.filter(({ from, to }) => from !== '' || to !== '');
    if (stated.length === 0) rows.querySelector('input')?.focus();
    else if (await apply(stated)) {
      const typing = rows.contains(document.activeElement);
      rows.replaceChildren();
      const first = addRow();
      if (typing) first.focus();
    }
  };

  async function apply(rules: RenameRule[]): Promise<boolean> {
    let changes: NameChange[] = [];
    const done = await editor.edit(async (archive) => (changes = await archive.rename(rules)));
    if (changes.length > 0) showChanges(changes);
    return done;
  }

  function showChanges(changes: NameChange[]): void {
    const list = h('ul', { ariaLabel: 'Names that changed' });
    const more = fill(list, changes, ({ from, to }) =>
      h('li', {}, quoted(from ?? '–'), ' → ', h('strong', {}, quoted(to ?? '–'))),
    );
    outcome.replaceChildren(list, ...(more ? [more] : []));
  }

  addRow();
  return { element: h('div', { className: 'renaming' }, move, form, outcome), outdate: () => outcome.replaceChildren() };
}

function field(name: string, placeholder: string) {
  const input = h('input', { id: newId(), type: 'text', placeholder, autocomplete: 'off', spellcheck: false });
  input.setAttribute('autocapitalize', 'off');
  return { input, label: h('label', { htmlFor: input.id }, name) };
}
