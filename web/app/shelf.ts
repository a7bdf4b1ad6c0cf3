/** The shelf: the images that this browser keeps, and what Docker's command line does with such. */
import {
  openStore,
  type Archive,
  type Folder,
  type ImageRow,
  type Saved,
  type SaveFormat,
} from '../lib/index.js';
import { ask } from './asking.js';
import type { ContainerList } from './containers/list.js';
import { h, newId, quoted, visible } from './dom.js';
import { bytes, count, shortDigest, shortened } from './format.js';
import * as problems from './problems.js';
import { pushing } from './pushing.js';
import { nameOf, shelfTable } from './shelf-table.js';
import { task } from './task.js';
import { journal, refusal } from './journal.js';
import { unfolding } from './unfolding.js';

type Input = File | Folder | Archive;

export interface Shelf {
  /** Takes archives in, one after the other. */
  load(inputs: readonly Input[]): Promise<void>;
  /** Takes its last change back. */
  undo(): void;
}

/** Fills the section. `open` shows an archive; what is on the shelf stays there. */
export async function shelf(section: HTMLElement, open: (archive: Archive) => Promise<void>): Promise<Shelf> {
  const store = await openStore();
  const input = h('input', { id: newId(), type: 'file', multiple: true });
  const loading = task('Loading', input);
  const table = shelfTable(choose, input);
  const empty = h('p', { className: 'hint' }, 'Nothing is on the shelf yet.');
  const unmatched = h('p', { className: 'hint', hidden: true }, 'No name fits the filter.');
  const filter = h('input', { id: newId(), type: 'text', placeholder: 'nginx:*', spellcheck: false, autocomplete: 'off' });
  const all = h('input', { id: newId(), type: 'checkbox' });
  const openIt = button('Open', () => void verb(openChosen), 'Open chosen images');
  const format = h('select', { ariaLabel: 'Format to save in' }, ...FORMATS.map((value) => h('option', { value }, value)));
  const save = button('Save', () => void verb(saveChosen), 'Save chosen images');
  const saving = task('Saving', save);
  const force = h('input', { id: newId(), type: 'checkbox' });
  const remove = button('Remove', () => void verb(() => rmi(names())), 'Remove chosen names');
  const removeIds = button('Remove by ID', () => void verb(() => rmi(ids())), 'Remove by ID: chosen images');
  const undo = button('Undo', () => void verb(takeBack), 'Undo the last change of the shelf');
  const target = h('input', { id: newId(), type: 'text', placeholder: 'registry.local:5000/team/app:1.2', spellcheck: false, autocomplete: 'off' });
  const tag = h('button', { type: 'submit' }, 'Tag');
  const suggestions = h('ul', { className: 'suggestions', ariaLabel: 'Suggested names' });
  const usage = h('span', { className: 'hint' });
  const prune = button('Prune…', () => void verb(askToPrune));
  const verify = button('Verify', () => void verb(verifyAll), 'Verify the shelf');
  const verifying = task('Verifying', verify);
  const log = journal();
  const push = pushing({
    name: 'shelf',
    push: (image, options) => store.push(image, options),
    mirror: (options) => store.mirror({ ...options, images: names() }),
  });
  const containers = unfolding('containers', 'Working containers', async () => (await containerList()).element);
  const usages = unfolding('usage', 'Disk usage', async () => (await import('./shelf/usage.js')).diskUsage(store));
  const create = button('New container', () => void verb(createContainer), 'New container of the chosen image');
  const tagging = h(
    'form',
    { className: 'tagging' },
    h('label', { htmlFor: target.id }, 'Name for the chosen image'),
    h('div', { className: 'row' }, target, tag),
    suggestions,
  );
  const whole = h('div', { className: 'row' }, prune, verify, verifying.element, undo, usage);
  let url: string | undefined;
  let kept: Saved | undefined;
  let loads = Promise.resolve();
  let list: Promise<ContainerList> | undefined;
  let rounds = 0;
  let isRefused = false;
  let suggested = 0;

  /** The names of what is chosen, with all platforms that they stand for. */
  const names = () => [...new Set(table.chosen().map(nameOf))];

  const ids = () => [...new Set(table.chosen().map(({ id }) => id))];

  input.onchange = () => {
    const files = [...(input.files ?? [])];
    input.value = '';
    void load(files);
  };
  filter.oninput = () => void refresh();
  all.onchange = () => void refresh();
  tagging.onsubmit = (event) => {
    event.preventDefault();
    const name = target.value.trim();
    if (name !== '') void verb(() => tagChosen(name));
  };
  store.addEventListener('change', () => void refresh());
  store.addEventListener('end', () => {
    desk.disabled = true;
    log.say('Another tab has a newer version of this page and needs the shelf. Reload this one.');
  });

  const desk = h(
    'fieldset',
    { className: 'desk' },
    h(
      'div',
      { className: 'row' },
      h('label', { htmlFor: input.id, className: 'button' }, 'Load archives'),
      input,
      loading.element,
    ),
    empty,
    h(
      'div',
      { className: 'stocked' },
      h(
        'div',
        { className: 'row filter' },
        h('label', { htmlFor: filter.id }, 'Filter'),
        filter,
        h('label', { htmlFor: all.id, className: 'check' }, all, ' intermediate images too'),
      ),
      unmatched,
      table.element,
      h(
        'div',
        { className: 'row' },
        openIt,
        save,
        format,
        saving.element,
        remove,
        removeIds,
        create,
        h('label', { htmlFor: force.id, className: 'check' }, force, ' Force'),
      ),
      tagging,
      push.element,
      usages,
    ),
    whole,
    log.element,
    containers,
  );
  section.append(desk);
  await refresh();

  /** Shows the store as it is now; the newest question wins. */
  async function refresh(): Promise<void> {
    const round = ++rounds;
    const pattern = filter.value.trim();
    try {
      const filters = pattern === '' ? {} : { reference: [pattern] };
      const [rows, { total, size }] = await Promise.all([store.images({ all: all.checked, filters }), store.df()]);
      if (round !== rounds) return;
      const nothing = total === 0;
      empty.hidden = !nothing;
      section.classList.toggle('bare', nothing);
      // The last image that went may come back.
      whole.hidden = nothing && store.undoable === 0;
      usage.textContent = nothing ? '' : `${count(total, 'image')}, ${bytes(size)}.`;
      unmatched.hidden = nothing || rows.length > 0;
      table.element.hidden = rows.length === 0;
      table.update(rows);
      if (isRefused) problems.clear();
      isRefused = false;
    } catch (thrown) {
      if (round !== rounds) return;
      isRefused = true;
      problems.show(thrown);
    }
  }

  /** What can be done depends on what is chosen. */
  function choose(): void {
    const chosen = table.chosen();
    for (const one of [openIt, save, remove, removeIds]) one.disabled = chosen.length === 0;
    tag.disabled = create.disabled = chosen.length !== 1;
    undo.disabled = store.undoable === 0;
    push.update(chosen.map((row) => ({ id: row.id, references: row.tag === undefined ? [] : [nameOf(row)] })));
    suggest(chosen.length === 1 ? chosen[0] : undefined).catch(problems.show);
  }

  /** Offers the names that people give an image beside one with a version. */
  async function suggest(row: ImageRow | undefined): Promise<void> {
    const round = ++suggested;
    const name = row && nameOf(row);
    const told = name !== undefined && row?.tag !== undefined ? await store.tagging(name, name) : undefined;
    if (round !== suggested) return;
    suggestions.replaceChildren(
      ...(told?.aliases ?? []).map((alias) => {
        const mark = told?.backwards.includes(alias) === true && h('strong', { className: 'badge ambiguous' }, ' leads to something newer');
        return h('li', {}, h('button', { type: 'button', onclick: () => void verb(() => tagChosen(alias)) }, quoted(alias), mark));
      }),
    );
  }

  /** What comes while another archive is being loaded waits for its turn. */
  function load(inputs: readonly Input[]): Promise<void> {
    loads = loads.then(() => loadEach(inputs));
    return loads;
  }

  async function loadEach(inputs: readonly Input[]): Promise<void> {
    for (const archive of inputs) {
      try {
        const loaded = await loading.run(async (options) => {
          const plan = await store.plan(archive, options);
          if (plan.moves.length > 0 && !(await mayMove(plan.moves))) return undefined;
          return store.load(archive, options);
        });
        if (!loaded) continue;
        problems.clear();
        const refused = loaded.refused.map((name) => h('span', {}, 'A name that cannot be kept: ', quoted(name)));
        log.add(`docker load --input ${archive.name}`, loaded.lines, ...refused);
      } catch (thrown) {
        problems.show(thrown, archive.name);
      }
      await refresh();
    }
  }

  async function openChosen(): Promise<void> {
    await open(await store.open(table.asked()));
  }

  async function saveChosen(): Promise<void> {
    const images = table.asked();
    const saved = await saving.run((options) => store.save(images, { format: format.value as SaveFormat, ...options }));
    // Nothing tells when a download is through: the last file must live until there is another.
    if (url !== undefined) URL.revokeObjectURL(url);
    void kept?.release();
    kept = saved;
    url = URL.createObjectURL(saved.blob);
    const link = h('a', { href: url, download: saved.name }, 'Download ', quoted(saved.name));
    log.add(`docker save --output ${saved.name} ${images.map(shortened).join(' ')}`, [], h('span', {}, link, ` (${bytes(saved.size)})`));
    link.click();
  }

  async function tagChosen(name: string): Promise<void> {
    const [source] = table.asked();
    if (source === undefined) return;
    const command = `docker tag ${shortened(source)} ${name}`;
    await log.answered(command, async () => {
      const { name: given, from, backwards } = await store.tagging(source, name);
      const { lines } = await store.tag(source, name);
      const moved = from !== undefined && `${given} was a name of ${shortDigest(from)}.`;
      const older = backwards.includes(given) && `${given} led to something newer.`;
      target.value = '';
      return { lines, more: [moved, older].flatMap((note) => (note === false ? [] : [h('span', {}, visible(note))])) };
    });
  }

  function containerList(): Promise<ContainerList> {
    const loading = (list ??= import('./containers/list.js').then(({ containerList }) => containerList(store, log)));
    // The next call tries again.
    loading.catch(() => (list = undefined));
    return loading;
  }

  async function createContainer(): Promise<void> {
    const [image] = table.asked();
    if (image === undefined) return;
    containers.open = true;
    await (await containerList()).create(image);
  }

  async function rmi(images: string[]): Promise<void> {
    const command = `docker rmi ${force.checked ? '--force ' : ''}${images.map(shortened).join(' ')}`;
    await log.answered(command, async () => {
      const removed = await store.rmi(images, { force: force.checked });
      return { lines: removed.flatMap(({ lines }) => lines), more: removed.flatMap(({ error }) => (error ? [refusal(error.message)] : [])) };
    });
  }

  async function takeBack(): Promise<void> {
    await store.undo();
    log.say('Undone.');
  }

  async function askToPrune(): Promise<void> {
    const every = h('input', { id: newId(), type: 'checkbox' });
    const sure = await ask(
      'Remove images without a name?',
      'Prune',
      h('p', {}, 'All dangling images go: those without a name that no other image is built on. The space of these, and of what was removed before, is freed: that cannot be undone.'),
      h('label', { htmlFor: every.id, className: 'check' }, every, ' All images that no container uses'),
    );
    if (!sure) return;
    const { lines } = await store.prune({ all: every.checked });
    const freed = (await store.collect()).bytes;
    log.add(`docker image prune${every.checked ? ' --all' : ''}`, lines, ...(freed > 0 ? [h('span', {}, `${bytes(freed)} of space freed.`)] : []));
  }

  async function verifyAll(): Promise<void> {
    const { verdict, blobs, bytes: read, images, containers } = await verifying.run((options) => store.verify(options));
    const damaged = [
      ...(images.length > 0 ? [`${count(images.length, 'image')} damaged: load the archive again`] : []),
      ...(containers.length > 0 ? [`${count(containers.length, 'container')} damaged: write again what is lost`] : []),
    ];
    const sentence = verdict === 'intact' ? 'all are what their digests say' : damaged.join('; ');
    log.say(`${count(blobs, 'blob')}, ${bytes(read)}: ${sentence}.`);
  }

  /** Names that lead to other images afterwards are worth a question. */
  function mayMove(moved: readonly { name: string; from: string; to: string }[]): Promise<boolean> {
    const list = moved.map(({ name, from, to }) => h('li', {}, quoted(name), ` leaves ${shortDigest(from)} for ${shortDigest(to)}`));
    return ask('Move names?', 'Load', h('p', {}, 'Names in the archive are those of other images on the shelf:'), h('ul', {}, ...list));
  }

  async function verb(work: () => Promise<void>): Promise<void> {
    // Safari gives it to no button that is clicked.
    const hadFocus = document.activeElement !== document.body;
    try {
      await work();
      problems.clear();
    } catch (thrown) {
      problems.show(thrown);
    }
    const starter = document.activeElement;
    await refresh();
    // What can no longer be pressed has lost the focus.
    if ((hadFocus && document.activeElement === document.body) || (starter instanceof HTMLButtonElement && starter.disabled)) {
      (table.element.hidden ? input : table.element).focus();
    }
  }

  return { load, undo: () => undo.click() };
}

const FORMATS: SaveFormat[] = ['docker', 'docker-legacy', 'oci'];

function button(text: string, onclick: () => void, label = text): HTMLButtonElement {
  return h('button', { type: 'button', onclick, ariaLabel: label }, text);
}
