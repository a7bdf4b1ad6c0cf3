/** Working containers, as `docker ps --all` lists them, and the one that is open. */
import type { ContainerRow, Store } from '../../lib/index.js';
import { ask, field } from '../asking.js';
import { digest, fill, h, quoted, renew, table, visible } from '../dom.js';
import { ago, bytes, count, shortened } from '../format.js';
import { refusal, type Journal } from '../journal.js';
import * as problems from '../problems.js';
import { workbench, type Workbench } from './workbench.js';

export interface ContainerList {
  element: HTMLElement;
  /** Asks for a name, and makes a container of an image. */
  create(image: string): Promise<void>;
}

/** `log` takes down what is done, as commands. */
export async function containerList(store: Store, log: Journal): Promise<ContainerList> {
  const none = h('p', { className: 'hint', tabIndex: -1 }, 'There are none. Choose one image on the shelf to make one: nothing of it runs, but its files can be changed, and committed as a new image.');
  const body = h('tbody');
  const more = h('div');
  const heads = ['Name', 'Image', 'Container ID', 'Created', 'Changes', 'Actions'];
  const list = table('Working containers', heads, body, { className: 'shelf', more });
  const place = h('div');
  const element = h('div', { className: 'container-list' }, none, list, place);
  let open: { id: string; bench: Workbench } | undefined;
  let rounds = 0;
  let openings = 0;

  /** What gets the focus of what goes. */
  const heir = () => (list.hidden ? none : list);

  async function refresh(): Promise<void> {
    const round = ++rounds;
    try {
      const rows = await store.ps({ all: true });
      if (round !== rounds) return;
      none.hidden = rows.length > 0;
      list.hidden = rows.length === 0;
      renew(body, [], heir());
      const rest = fill(body, rows, rowOf);
      more.replaceChildren(...(rest ? [rest] : []));
      if (open && !rows.some(({ id }) => id === open?.id)) shut();
    } catch (thrown) {
      if (round === rounds) problems.show(thrown);
    }
  }

  function rowOf({ id, name, image, created, changes, size, damaged }: ContainerRow): HTMLElement {
    const button = (text: string, work: () => Promise<void>) => {
      const one = h('button', { type: 'button', ariaLabel: `${text} ${visible(name)}` }, text);
      one.onclick = () => void work().catch(problems.show);
      return one;
    };
    return h(
      'tr',
      {},
      h('td', { className: 'name' }, quoted(name)),
      h('td', { className: 'name' }, quoted(shortened(image))),
      h('td', {}, digest(id, 'container ID'), damaged === true && h('strong', { className: 'badge damaged' }, 'Damaged')),
      h('td', { title: visible(created) }, ago(created)),
      h('td', {}, changes === 0 ? 'none' : `${count(changes, 'path')}, ${bytes(size)}`),
      h('td', { className: 'row' }, button('Open', () => show(id, name)), button('Rename', () => rename(id, name)), button('Delete', () => remove(name))),
    );
  }

  async function show(id: string, name: string): Promise<void> {
    if (open?.id === id) {
      open.bench.heading.focus();
      return;
    }
    shut();
    const own = ++openings;
    const container = await store.container(id);
    // A second click comes before the first has opened anything.
    if (own !== openings) return;
    const bench = workbench(store, container, log, shut);
    open = { id, bench };
    place.replaceChildren(bench.element);
    bench.heading.focus();
    log.say(`${name} is open.`);
  }

  function shut(): void {
    if (place.contains(document.activeElement)) heir().focus();
    open?.bench.close();
    open = undefined;
    place.replaceChildren();
  }

  async function rename(id: string, name: string): Promise<void> {
    const input = h('input', { type: 'text', value: name, required: true, spellcheck: false, autocomplete: 'off' });
    if (!(await ask('Rename the container', 'Rename', field('Name', input)))) return;
    let isRenamed = false;
    await log.answered(`docker rename ${name} ${input.value}`, async () => {
      await (await store.container(id)).rename(input.value);
      isRenamed = true;
      return { lines: [] };
    });
    if (!isRenamed || open?.id !== id) return;
    // What is open knows the old name.
    shut();
    await show(id, input.value);
  }

  async function remove(name: string): Promise<void> {
    await log.answered(`docker rm ${name}`, async () => {
      const [removed] = await store.rm([name]);
      return removed?.error ? { lines: [], more: [refusal(removed.error.message)] } : { lines: [name] };
    });
  }

  store.addEventListener('change', () => void refresh());
  await refresh();

  return {
    element,
    async create(image) {
      // The second of two clicks comes before the question is there.
      if (document.querySelector('dialog[open]')) return;
      const input = h('input', { type: 'text', placeholder: 'chosen for you', spellcheck: false, autocomplete: 'off' });
      if (!(await ask(`A container of ${visible(shortened(image))}`, 'Create', field('Name', input)))) return;
      const name = input.value.trim();
      await log.answered(`docker create ${name === '' ? '' : `--name ${name} `}${shortened(image)}`, async () => {
        const container = await store.create(image, name === '' ? {} : { name });
        await show(container.id, container.name);
        return { lines: [container.id] };
      });
    },
  };
}
