/** The form that pulls an image from a registry, and looks at what a registry has. */
import { LongshoreError, pull, registry, type Archive, type CallOptions, type Registry } from '../../lib/index.js';
import { announce, fill, h, newId, quoted, renew } from '../dom.js';
import { count } from '../format.js';
import * as problems from '../problems.js';
import { assertAllowed, hostOf, login } from './registries.js';
import { task } from '../task.js';

/** `opened` takes what was pulled. */
export function pullForm(opened: (archive: Archive) => Promise<void>): HTMLElement {
  const who = login();
  const off = { spellcheck: false, autocomplete: 'off' } as const;
  const name = h('input', { id: newId(), type: 'text', placeholder: 'registry.local/team/app:1', ...off });
  const platform = h('input', { id: newId(), type: 'text', placeholder: 'linux/amd64, or all', ...off });
  const start = h('button', { type: 'submit' }, 'Pull');
  const browse = h('button', { type: 'button' }, 'Browse');
  const check = h('button', { type: 'button' }, 'Check');
  const work = task('Pulling', start, browse, check);
  const result = h('div', { className: 'browsing' });
  /** Which registry the result is of. */
  let listed = '';

  const form = h(
    'form',
    { className: 'fields' },
    h('label', { htmlFor: name.id }, 'Image, or registry to browse'),
    h('div', { className: 'row' }, name, start, browse, check),
    h('label', { htmlFor: platform.id }, 'Platform'),
    platform,
  );

  form.onsubmit = (event) => {
    event.preventDefault();
    void attempt(async () => {
      const reference = name.value.trim();
      const wanted = platform.value.trim();
      const options = { ...who.credentials(), ...(wanted && { platform: wanted }) };
      const archive = await work.run(async (calls) => {
        assertAllowed(await hostOf(reference));
        return pull(reference, { ...options, ...calls });
      });
      result.replaceChildren();
      await opened(archive);
    });
  };

  name.oninput = () => {
    if (split(name.value)[0] !== listed) result.replaceChildren();
  };

  check.onclick = () =>
    void attempt(async () => {
      const { status, message } = await ask((there, calls) => there.check(calls));
      result.replaceChildren(h('p', {}, h('strong', { className: `badge ${status === 'ok' ? 'intact' : 'damaged'}` }, status), ' ', quoted(message)));
      announce(message);
    });

  browse.onclick = () =>
    void attempt(async () => {
      const [host, repository] = split(name.value);
      if (repository !== undefined) return showTags(repository);
      const repositories = await ask((there, calls) => there.catalog(calls));
      show(count(repositories.length, 'repository', 'repositories'), repositories, (one) => {
        name.value = `${host}/${one}`;
        void attempt(() => showTags(one));
      });
    });

  async function showTags(repository: string): Promise<void> {
    const tags = await ask((there, calls) => there.tags(repository, calls));
    const host = listed;
    show(`${count(tags.length, 'tag')} of ${repository}`, tags, (tag) => {
      name.value = `${host}/${repository}:${tag}`;
      name.focus();
    });
  }

  function show(title: string, items: readonly string[], choose: (item: string) => void): void {
    const list = h('ul', { className: 'suggestions', ariaLabel: title });
    const more = fill(list, items, (item) => h('li', {}, h('button', { type: 'button', onclick: () => choose(item) }, quoted(item))));
    result.replaceChildren(h('p', { className: 'hint' }, title), list, ...(more ? [more] : []));
    announce(title);
  }

  /** Asks the registry that is named; what is shown of one goes, and leaves the focus to the button that shows more. */
  function ask<T>(question: (there: Registry, calls: Required<CallOptions>) => Promise<T>): Promise<T> {
    renew(result, [], browse);
    return work.run(async (calls) => {
      [listed] = split(name.value);
      if (listed === '') throw new LongshoreError('invalid-argument', 'Which registry? Type its name: registry.local:5000.');
      assertAllowed(listed);
      return question(await registry(listed, who.credentials()), calls);
    });
  }

  async function attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work();
      problems.clear();
    } catch (thrown) {
      problems.show(thrown);
    }
  }

  return h(
    'div',
    {},
    h('p', { className: 'hint' }, 'Without Docker, if the registry lets pages talk to it. Everything is held against its digest. Passwords stay in this page’s memory, and go to that registry only.'),
    who.element,
    form,
    h('div', { className: 'row' }, work.element),
    result,
  );
}

/** The host, and the repository where there is one. */
function split(text: string): [host: string, repository?: string] {
  const [host = '', ...rest] = text.trim().replace(/^https?:\/\//, '').replace(/\/+$/, '').split('/');
  const repository = rest.join('/').replace(/[:@].*$/, '');
  return repository === '' ? [host] : [host, repository];
}
