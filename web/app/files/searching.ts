/** Looking for files by name or by what they hold. */
import type { Archive, FileMatch, FileQuery } from '../../lib/index.js';
import { announce, h, newId, quoted } from '../dom.js';
import { bytes, count } from '../format.js';
import * as problems from '../problems.js';
import { task } from '../task.js';

/** Nobody reads more; a narrower search finds the rest. */
const MOST = 1000;

/** So many at a time go to the page. */
const BATCH = 50;

type Way = 'glob' | 'regex' | 'content';

const WAYS: [Way, string, string][] = [
  ['glob', 'Name', 'Part of a name, or a pattern: *.pem, id_rsa*, etc/**/*.conf'],
  ['regex', 'Regular expression', 'For the whole path: ^/etc/.*\\.conf$'],
  ['content', 'Content', 'Text that a file holds, as it stands there'],
];

export interface Searching {
  element: HTMLElement;
  /** Stops, and takes away what was found: it is of another file system. */
  outdate(): void;
  stop(): void;
}

/** `layer` is asked for the file system to look in; `go` opens a file's place. */
export function searching(archive: Archive, image: string, layer: () => number | undefined, go: (path: string) => void): Searching {
  const hint = h('p', { className: 'hint', id: newId() }, WAYS[0]?.[2]);
  const field = h('input', { id: newId(), type: 'text', spellcheck: false, autocomplete: 'off', attrs: { 'aria-describedby': hint.id } });
  const way = h('select', { ariaLabel: 'Look in' }, ...WAYS.map(([value, text]) => h('option', { value }, text)));
  const begin = h('button', { type: 'submit' }, 'Find');
  const work = task('Looking', begin);
  const summary = h('p', { className: 'hint' });
  const found = h('ul', { className: 'found', ariaLabel: 'Found' });
  const clear = h('button', { type: 'button' }, 'Clear');
  const result = h('div', { className: 'results', hidden: true }, h('div', { className: 'row' }, summary, clear), found);
  let round = 0;
  way.onchange = () => (hint.textContent = WAYS.find(([value]) => value === way.value)?.[2] ?? '');

  function outdate(): void {
    round += 1;
    work.stop();
    result.hidden = true;
    summary.textContent = '';
    found.replaceChildren();
  }
  clear.onclick = () => {
    outdate();
    field.focus();
  };

  async function search(): Promise<void> {
    if (field.value === '' || work.isRunning) return;
    outdate();
    const own = round;
    const from = layer();
    const query: FileQuery = { ...queryOf(way.value as Way, field.value), ...(from !== undefined && { layer: from }) };
    let seen = 0;
    let batch: FileMatch[] = [];
    const flush = () => {
      if (own !== round) return;
      found.append(...batch.map(item));
      batch = [];
      result.hidden = false;
      summary.textContent = `${count(seen, 'file')} so far`;
    };
    let ending = '';
    try {
      await work.run(async (options) => {
        for await (const match of archive.search(image, { ...query, ...options })) {
          seen += 1;
          batch.push(match);
          if (batch.length >= BATCH || seen <= BATCH) flush();
          if (seen >= MOST) {
            ending = `The first ${MOST} files. Look for less to see the others.`;
            break;
          }
        }
      });
      problems.clear();
    } catch (thrown) {
      ending = 'Stopped.';
      if (element.isConnected) problems.show(thrown);
    }
    if (own !== round) return;
    flush();
    summary.textContent = ending === 'Stopped.' ? `Stopped after ${count(seen, 'file')}.` : ending || (seen === 0 ? 'No file was found.' : `${count(seen, 'file')} found.`);
    announce(summary.textContent);
  }

  function item({ file, offset }: FileMatch): HTMLElement {
    const place = h('button', { type: 'button', className: 'place' }, h('code', {}, quoted(`/${file.path}`)));
    place.onclick = () => go(file.path);
    const size = file.kind === 'file' ? bytes(file.size) : file.kind;
    return h('li', {}, place, h('span', { className: 'hint' }, size, offset !== undefined && `, at byte ${offset.toLocaleString('en')}`));
  }

  const element = h(
    'form',
    { className: 'searching' },
    h('label', { htmlFor: field.id }, 'Find files'),
    h('div', { className: 'row' }, field, way, begin, work.element),
    hint,
    result,
  );
  element.onsubmit = (event) => {
    event.preventDefault();
    void search();
  };
  return { element, outdate, stop: work.stop };
}

/** What is typed as a name may be a part of one. */
function queryOf(way: Way, text: string): FileQuery {
  if (way !== 'glob') return { [way]: text };
  return { glob: /[*?[/]/.test(text) ? text : `*${text}*` };
}
