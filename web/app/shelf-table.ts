/** The shelf's images as Docker's table, and which of them are chosen. */
import type { ImageRow } from '../lib/index.js';
import { digest, fill, h, quoted, renew, table, visible } from './dom.js';
import { ago, bytes, isId, platform, shortened } from './format.js';

export interface ShelfTable {
  element: HTMLElement;
  /** Shows these rows. What was chosen stays so, as far as it is still there. */
  update(rows: readonly ImageRow[]): void;
  /** The rows that are chosen, in the table's order. */
  chosen(): ImageRow[];
  /** The same, as Docker's command line would have them: by name, or by ID where the name stands for others, too. */
  asked(): string[];
}

/** What a row is asked for by: its name, or its ID where it has none, or one that would be taken for another's ID. */
export function nameOf({ repository, tag, id }: ImageRow): string {
  const name = repository === undefined || tag === undefined ? id : `${repository}:${tag}`;
  return isId(name) ? id : name;
}

/** `changed` is called with every choice; `heir` gets the focus when a row that has it goes. */
export function shelfTable(changed: () => void, heir: HTMLElement): ShelfTable {
  const chosen = new Set<string>();
  let rows: readonly ImageRow[] = [];
  const all = h('input', { type: 'checkbox', ariaLabel: 'Choose all' });
  const body = h('tbody');
  const more = h('div');
  const heads = [h('th', { scope: 'col' }, all), 'Repository', 'Tag', 'Image ID', 'Created', 'Size'];
  const element = table('Images on the shelf', heads, body, { className: 'shelf', more });

  /** The same name may stand for several platforms: then only the ID tells the rows apart. */
  const keyOf = (row: ImageRow) => `${nameOf(row)} ${row.id}`;
  const isChosen = (row: ImageRow) => chosen.has(keyOf(row));

  all.onchange = () => {
    for (const row of rows) if (all.checked) chosen.add(keyOf(row));
    if (!all.checked) chosen.clear();
    for (const box of body.querySelectorAll('input')) box.checked = all.checked;
    tell();
  };

  function tell(): void {
    all.checked = rows.length > 0 && chosen.size === rows.length;
    all.indeterminate = chosen.size > 0 && chosen.size < rows.length;
    changed();
  }

  function rowOf(row: ImageRow, several: ReadonlySet<string>): HTMLElement {
    const key = keyOf(row);
    const name = nameOf(row);
    const box = h('input', { type: 'checkbox', checked: chosen.has(key), ariaLabel: `Choose ${visible(shortened(name))}` });
    box.onchange = () => {
      if (box.checked) chosen.add(key);
      else chosen.delete(key);
      tell();
    };
    const created = h('td', {}, ago(row.created));
    if (row.created !== undefined) created.title = visible(row.created);
    return h(
      'tr',
      { attrs: { 'data-key': key } },
      h('td', {}, box),
      h('td', { className: 'name' }, quoted(row.repository ?? '<none>')),
      h('td', { className: 'name' }, quoted(row.tag ?? '<none>')),
      h(
        'td',
        {},
        digest(row.id, 'image ID'),
        several.has(name) && h('span', { className: 'hint' }, ' ', quoted(platform(row.platform))),
        row.damaged === true && h('strong', { className: 'badge damaged' }, 'Damaged'),
      ),
      created,
      h('td', { className: 'size' }, bytes(row.size)),
    );
  }

  return {
    element,
    update(now) {
      rows = now;
      const keys = new Set(now.map(keyOf));
      for (const key of chosen) if (!keys.has(key)) chosen.delete(key);
      const seen = new Set<string>();
      const several = new Set(now.map(nameOf).filter((name) => seen.size === seen.add(name).size));
      const had = document.activeElement;
      const focused = had?.closest('tr')?.dataset['key'];
      renew(body, [], heir);
      const rest = fill(body, now, (row) => rowOf(row, several));
      more.replaceChildren(...(rest ? [rest] : []));
      const again = had && focused !== undefined && [...body.rows].find((row) => row.dataset['key'] === focused);
      if (again) again.querySelector<HTMLElement>(had.localName)?.focus();
      tell();
    },
    chosen: () => rows.filter(isChosen),
    asked() {
      const others = new Set(rows.filter((row) => !isChosen(row)).map(nameOf));
      return [...new Set(rows.filter(isChosen).map((row) => (others.has(nameOf(row)) ? row.id : nameOf(row))))];
    },
  };
}
