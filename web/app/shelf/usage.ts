/** What the images on the shelf take of the disk, as `docker system df -v` has it. */
import type { DiskUsage, ImageUsage, Store } from '../../lib/index.js';
import { digest, fill, h, quoted, renew, table } from '../dom.js';
import { bytes, count } from '../format.js';
import * as problems from '../problems.js';

/** Shows it, and what becomes of it. */
export async function diskUsage(store: Store): Promise<HTMLElement> {
  const sum = h('p', { className: 'hint' });
  const body = h('tbody');
  const more = h('div');
  const heads = ['Image', 'Image ID', 'Size', 'Shared', 'Unique', 'Containers'];
  const list = table('Disk usage of each image', heads, body, { className: 'shelf', more });
  let rounds = 0;

  async function refresh(): Promise<void> {
    const round = ++rounds;
    try {
      const usage = await store.df();
      if (round !== rounds) return;
      sum.textContent = sentence(usage);
      list.hidden = usage.images.length === 0;
      renew(body, [], list);
      const rest = fill(body, usage.images, rowOf);
      more.replaceChildren(...(rest ? [rest] : []));
    } catch (thrown) {
      if (round === rounds) problems.show(thrown);
    }
  }

  store.addEventListener('change', () => void refresh());
  await refresh();
  return h('div', { className: 'usage' }, sum, list);
}

function sentence({ total, active, size, reclaimable }: DiskUsage): string {
  return `${count(total, 'image')}, ${active} of them in use: ${bytes(size)}, of which ${bytes(reclaimable)} can be reclaimed.`;
}

function rowOf({ id, name, size, shared, unique, containers }: ImageUsage): HTMLElement {
  const number = (text: string) => h('td', { className: 'size' }, text);
  return h(
    'tr',
    {},
    h('td', { className: 'name' }, quoted(name ?? '<none>')),
    h('td', {}, digest(id, 'image ID')),
    ...[size, shared, unique].map((one) => number(bytes(one))),
    number(String(containers)),
  );
}
