/** `docker commit` as a form. */
import type { Container } from '../../lib/index.js';
import { field } from '../asking.js';
import { h } from '../dom.js';
import type { Journal } from '../journal.js';
import * as problems from '../problems.js';
import { task } from '../task.js';

/** The same changes make the same image where they are made at the same time. */
const EPOCH = '1970-01-01T00:00:00Z';

export function commitForm(container: Container, log: Journal): HTMLElement {
  const text = (placeholder: string) => h('input', { type: 'text', placeholder, spellcheck: false, autocomplete: 'off' });
  const reference = text('team/app:2');
  const author = text('Ada <ada@example.org>');
  const message = text('what was changed');
  const changes = h('textarea', { rows: 3, placeholder: 'ENV DEBUG=1', spellcheck: false });
  const fixed = h('input', { type: 'checkbox' });
  const button = h('button', { type: 'submit' }, 'Commit');
  const working = task('Writing the layer', button);
  const form = h(
    'form',
    { className: 'commit fields' },
    field('Name of the new image', reference),
    field('Author', author),
    field('Message', message),
    field('Changes of the config', changes, 'lines of a Dockerfile: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, USER, VOLUME, WORKDIR, …'),
    h('label', { className: 'check' }, fixed, ' At a fixed time: the same changes make the same image'),
    h('div', { className: 'row' }, button, working.element),
  );
  form.onsubmit = async (event) => {
    event.preventDefault();
    if (working.isRunning) return;
    const name = reference.value.trim();
    const lines = changes.value.split('\n').filter((line) => line.trim() !== '');
    const options = {
      ...(author.value !== '' && { author: author.value }),
      ...(message.value !== '' && { message: message.value }),
      ...(lines.length > 0 && { changes: lines }),
      ...(fixed.checked && { created: EPOCH }),
    };
    const words = [
      ...(options.author === undefined ? [] : ['--author', quotedWord(options.author)]),
      ...(options.message === undefined ? [] : ['--message', quotedWord(options.message)]),
      ...lines.flatMap((line) => ['--change', quotedWord(line)]),
      container.name,
      ...(name === '' ? [] : [name]),
    ];
    try {
      await log.answered(`docker commit ${words.join(' ')}`, () => working.run((calls) => container.commit(name === '' ? undefined : name, { ...options, ...calls })));
      problems.clear();
    } catch (thrown) {
      problems.show(thrown);
    }
  };
  return h('details', { open: true }, h('summary', {}, 'Commit: make an image of it'), form);
}

/** A word as a shell takes it. */
function quotedWord(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
