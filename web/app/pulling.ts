/** Pulling an image from a registry, and looking at what a registry has. */
import { LongshoreError, pull, registry, type Archive } from '../lib/index.js';
import { announce, fill, h, newId, quoted } from './dom.js';
import { count } from './format.js';
import * as problems from './problems.js';
import { assertAllowed, hostOf, login } from './registries.js';
import { task } from './task.js';

/** `opened` takes what was pulled. */
export function pulling(opened: (archive: Archive) => Promise<void>): HTMLElement {
  const who = login();
  const off = { spellcheck: false, autocomplete: 'off' } as const;
  const name = h('input', { id: newId(), type: 'text', placeholder: 'registry.local/team/app:1', ...off });
  const platform = h('input', { id: newId(), type: 'text', placeholder: 'linux/amd64, or all', ...off });
  const start = h('button', { type: 'submit' }, 'Pull');
  const browse = h('button', { type: 'button' }, 'Browse');
  const check = h('button', { type: 'button' }, 'Check');
  const work = task('Pulling', start, browse, check);
  const result = h('div', { className: 'browsing' });

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
      assertAllowed(await hostOf(reference));
      const wanted = platform.value.trim();
      const options = { ...who.credentials(), ...(wanted && { platform: wanted }) };
      const archive = await work.run((calls) => pull(reference, { ...options, ...calls }));
      result.replaceChildren();
      await opened(archive);
    });
  };

  check.onclick = () =>
    void attempt(async () => {
      const { status, message } = await work.run(async (calls) => (await there()).check(calls));
      result.replaceChildren(h('p', {}, h('strong', { className: `badge ${status === 'ok' ? 'intact' : 'damaged'}` }, status), ' ', quoted(message)));
      announce(message);
    });

  browse.onclick = () =>
    void attempt(async () => {
      const [, repository] = split(name.value.trim());
      if (repository !== undefined) return showTags(repository);
      const repositories = await work.run(async (calls) => (await there()).catalog(calls));
      show(count(repositories.length, 'repository', 'repositories'), repositories, (one) => {
        name.value = `${split(name.value.trim())[0]}/${one}`;
        return showTags(one);
      });
    });

  async function showTags(repository: string): Promise<void> {
    const tags = await work.run(async (calls) => (await there()).tags(repository, calls));
    show(`${count(tags.length, 'tag')} of ${repository}`, tags, async (tag) => {
      name.value = `${split(name.value.trim())[0]}/${repository}:${tag}`;
      name.focus();
    });
  }

  function show(title: string, items: readonly string[], choose: (item: string) => Promise<void>): void {
    const list = h('ul', { className: 'suggestions', ariaLabel: title });
    const more = fill(list, items, (item) =>
      h('li', {}, h('button', { type: 'button', onclick: () => void attempt(() => choose(item)) }, quoted(item))),
    );
    result.replaceChildren(h('p', { className: 'hint' }, title), list, ...(more ? [more] : []));
    announce(title);
  }

  async function there() {
    const [host] = split(name.value.trim());
    assertAllowed(host);
    return registry(host, who.credentials());
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
    'details',
    { className: 'pulling' },
    h('summary', {}, 'Pull from a registry'),
    h('p', { className: 'hint' }, 'Without Docker, if the registry lets pages talk to it. Everything is held against its digest. Passwords stay in this page’s memory, and go to that registry only.'),
    who.element,
    form,
    h('div', { className: 'row' }, work.element),
    result,
  );
}

/** The host, and the repository where there is one. */
function split(text: string): [host: string, repository?: string] {
  const [host = '', ...rest] = text.replace(/^https?:\/\//, '').replace(/\/+$/, '').split('/');
  if (host === '') throw new LongshoreError('invalid-argument', 'Which registry? Type its name: registry.local:5000.');
  const repository = rest.join('/').replace(/[:@].*$/, '');
  return repository === '' ? [host] : [host, repository];
}
