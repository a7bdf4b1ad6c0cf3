/** The files of an image as a tree: folders are read when they are opened, and rows laid out when they are in sight. */
import { nameOf, type Branches, type Item } from './branches.js';
import { h, newId, quoted, visible } from '../dom.js';
import { bytes, owner, permissions } from '../format.js';
import { virtual } from './virtual.js';

/** So many entries are asked for at once: to look at, and to find one of them. */
export const PAGE = 500;
const FINDING = 10_000;

/** Deeper levels are indented no further. */
const DEEPEST = 12;

/** Letters that are typed within this time, in milliseconds, are the beginning of one name. */
const TYPING = 700;

export const LETTERS = { added: 'A', changed: 'C', deleted: 'D' } as const;

/** A file; or, without an item, what stands for those of its folder that were not asked for yet. */
interface Row {
  readonly id: string;
  readonly folder: Folder;
  readonly item?: Item;
  /** Place among its siblings, from 1. */
  readonly position: number;
  /** What is in it, once it was opened. */
  own?: Folder;
  isOpen: boolean;
}

interface Folder {
  /** The row of the folder itself; the root has none. */
  readonly row?: Row;
  readonly level: number;
  readonly rows: Row[];
  rest: Row | undefined;
  next: number | undefined;
  loading: Promise<void> | undefined;
  hasFailed: boolean;
}

export interface FileTree {
  element: HTMLElement;
  /** Shows another file system, whose root's first page is there already. */
  reset(branches: Branches, root: { items: Item[]; next?: number }): void;
  /** Opens the folders above a path and goes there; `false` where the tree has no such file. */
  find(path: string): Promise<boolean>;
  /** Whether rows have mode and owner. */
  showDetails(show: boolean): void;
  clear(): void;
}

/** `chosen` is called with what a person goes to; `failed` with what goes wrong while a folder is read. */
export function fileTree(label: string, chosen: (item: Item) => void, failed: (thrown: unknown) => void): FileTree {
  const element = h('div', { className: 'tree', role: 'tree', tabIndex: 0, ariaLabel: label });
  const list = virtual<Row>(element, make, refresh);
  let rows: Row[] = [];
  let root = folder(undefined, 1);
  let active: Row | undefined;
  let branches: Branches = async () => ({ items: [] });
  let hasDetails = false;
  /** Ends what is still read for a tree that is gone. */
  let control = new AbortController();
  let typed = '';
  let lastTyped = 0;

  function folder(row: Row | undefined, level: number): Folder {
    const made: Folder = { ...(row && { row }), level, rows: [], rest: undefined, next: undefined, loading: undefined, hasFailed: false };
    made.rest = { id: newId(), folder: made, position: 0, isOpen: false };
    return made;
  }

  function take(into: Folder, { items, next }: { items: Item[]; next?: number }): Row[] {
    const taken = items.map((item, index): Row => ({ id: newId(), folder: into, item, position: into.rows.length + index + 1, isOpen: false }));
    for (const row of taken) into.rows.push(row);
    into.next = next;
    return taken;
  }

  /** Reads on in a folder. */
  function load(into: Folder, limit: number): Promise<void> {
    return (into.loading ??= read(into, limit).finally(() => (into.loading = undefined)));
  }

  async function read(into: Folder, limit: number): Promise<void> {
    const { signal } = control;
    try {
      const page = await branches(into.row?.item, { limit, signal, ...(into.next !== undefined && { from: into.next }) });
      if (signal.aborted) return;
      into.hasFailed = false;
      const taken = take(into, page);
      const rest = into.rest;
      if (page.next === undefined) into.rest = undefined;
      const at = rest ? rows.indexOf(rest) : -1;
      if (at < 0) return;
      rows = [...rows.slice(0, at), ...taken, ...(into.rest ? [into.rest] : []), ...rows.slice(at + 1)];
      if (active === rest && !into.rest) active = taken[0] ?? into.row;
      list.update(rows);
    } catch (thrown) {
      if (signal.aborted) return;
      into.hasFailed = true;
      list.render();
      failed(thrown);
    }
  }

  function isFolder(row: Row): boolean {
    return row.item?.file.kind === 'directory';
  }

  function open(row: Row): void {
    if (!isFolder(row) || row.isOpen) return;
    row.isOpen = true;
    const own = (row.own ??= folder(row, row.folder.level + 1));
    const at = rows.indexOf(row) + 1;
    rows = [...rows.slice(0, at), ...own.rows, ...(own.rest ? [own.rest] : []), ...rows.slice(at)];
    list.update(rows);
  }

  function close(row: Row): void {
    if (!row.isOpen) return;
    row.isOpen = false;
    const at = rows.indexOf(row) + 1;
    let end = at;
    for (let inner = rows[end]; inner && inner.folder.level > row.folder.level; inner = rows[++end]) inner.isOpen = false;
    if (active && rows.slice(at, end).includes(active)) go(row);
    rows = [...rows.slice(0, at), ...rows.slice(end)];
    list.update(rows);
  }

  /** Makes a row the one that keys are about. */
  function go(row: Row | undefined): void {
    if (!row) return;
    active = row;
    list.reveal(rows.indexOf(row));
    list.render();
    if (row.item) chosen(row.item);
  }

  /** Opens or closes a folder; reads on where more is to come. */
  function act(row: Row): void {
    if (!row.item) {
      row.folder.hasFailed = false;
      list.render();
    } else if (row.isOpen) close(row);
    else open(row);
  }

  function make(row: Row): HTMLElement {
    const { level } = row.folder;
    const line = h('div', { id: row.id, className: 'file', role: 'treeitem', ariaLevel: String(level) });
    line.style.setProperty('--level', String(Math.min(level, DEEPEST) - 1));
    const { item } = row;
    if (!item) return line;
    const { file, change } = item;
    if (change) line.classList.add(change);
    if (isFolder(row)) line.classList.add('folder');
    line.ariaPosInSet = String(row.position);
    line.append(
      h('span', { className: 'twisty', ariaHidden: 'true' }),
      h('span', { className: 'mark', ...(change && { title: change, ariaLabel: change, role: 'img' }) }, change ? LETTERS[change] : ''),
      h('span', { className: 'file-name' }, quoted(nameOf(file.path)), file.kind === 'symlink' && h('span', { className: 'hint' }, ' → ', quoted(file.link ?? ''))),
      h('span', { className: 'details hint' }),
      h('span', { className: 'file-size' }, file.kind === 'file' || file.kind === 'hard-link' ? bytes(file.size) : ''),
    );
    return line;
  }

  function refresh(row: Row, line: HTMLElement): void {
    line.classList.toggle('active', row === active);
    line.ariaSelected = String(row === active);
    if (row === active) element.setAttribute('aria-activedescendant', row.id);
    const { folder } = row;
    line.ariaSetSize = folder.rest ? '-1' : String(folder.rows.length);
    if (isFolder(row)) line.ariaExpanded = String(row.isOpen);
    if (row.item) {
      const details = line.querySelector('.details');
      const text = hasDetails ? visible(`${permissions(row.item.file)} ${owner(row.item.file)}`) : '';
      if (details && details.textContent !== text) details.textContent = text;
      return;
    }
    const text = folder.hasFailed ? 'Could not be read. Try again' : 'Reading…';
    if (line.textContent !== text) line.textContent = text;
    if (!folder.hasFailed) void load(folder, PAGE);
  }

  const rowOf = (event: Event) => {
    const line = event.target instanceof Element ? event.target.closest('.file') : null;
    return line ? rows.find(({ id }) => id === line.id) : undefined;
  };
  element.onclick = (event) => {
    const row = rowOf(event);
    if (!row) return;
    go(row);
    act(row);
  };
  element.onkeydown = (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = active ? rows.indexOf(active) : -1;
    const moves: Record<string, () => void> = {
      ArrowDown: () => go(rows[Math.min(at + 1, rows.length - 1)]),
      ArrowUp: () => go(rows[Math.max(at - 1, 0)]),
      PageDown: () => go(rows[Math.min(at + list.fitting(), rows.length - 1)]),
      PageUp: () => go(rows[Math.max(at - list.fitting(), 0)]),
      Home: () => go(rows[0]),
      End: () => go(rows.at(-1)),
      ArrowRight: () => active && isFolder(active) && (active.isOpen ? go(rows[at + 1]?.folder === active.own ? rows[at + 1] : active) : open(active)),
      ArrowLeft: () => active && (active.isOpen ? close(active) : go(active.folder.row)),
      Enter: () => active && act(active),
      ' ': () => active && act(active),
    };
    const move = moves[event.key] ?? (event.key.length === 1 ? () => type(event.key, at) : undefined);
    if (!move) return;
    event.preventDefault();
    move();
  };
  element.onfocus = () => {
    // A press goes where it lands, and not to the first row on its way.
    if (!active && element.matches(':focus-visible')) go(rows[0]);
  };
  element.addEventListener('scroll', () => {
    // What is out of sight is no element.
    if (active && !document.getElementById(active.id)) element.removeAttribute('aria-activedescendant');
  });

  /** Goes to the next name that begins with what is typed. */
  function type(key: string, at: number): void {
    const now = performance.now();
    typed = now - lastTyped < TYPING ? typed + key : key;
    lastTyped = now;
    const wanted = typed.toLowerCase();
    // A single letter leads on from one to the next; a longer beginning may still be the one that it is at.
    const from = typed.length === 1 ? at + 1 : Math.max(0, at);
    const fits = ({ item }: Row) => item !== undefined && nameOf(item.file.path).toLowerCase().startsWith(wanted);
    const after = rows.findIndex((row, index) => index >= from && fits(row));
    go(rows[after < 0 ? rows.findIndex(fits) : after]);
  }

  function clear(): void {
    control.abort();
    control = new AbortController();
    rows = [];
    active = undefined;
    element.removeAttribute('aria-activedescendant');
    list.update(rows);
  }

  return {
    element,
    clear,
    reset(now, first) {
      clear();
      branches = now;
      root = folder(undefined, 1);
      rows = take(root, first);
      if (first.next === undefined) root.rest = undefined;
      else if (root.rest) rows = [...rows, root.rest];
      element.scrollTop = 0;
      list.update(rows);
    },
    async find(path) {
      const { signal } = control;
      let within = root;
      let found: Row | undefined;
      const names = path.split('/');
      for (let depth = 1; depth <= names.length; depth += 1) {
        const wanted = names.slice(0, depth).join('/');
        let seen = 0;
        for (;;) {
          found = undefined;
          for (; seen < within.rows.length && !found; seen += 1) if (within.rows[seen]?.item?.file.path === wanted) found = within.rows[seen];
          if (found || !within.rest || within.hasFailed) break;
          await load(within, FINDING);
          if (signal.aborted) return false;
        }
        if (!found) return false;
        if (depth === names.length) break;
        open(found);
        if (!found.own) return false;
        within = found.own;
      }
      element.focus();
      go(found);
      return true;
    },
    showDetails(show) {
      hasDetails = show;
      list.render();
    },
  };
}
