/** How much of an image's layers nobody sees. */
import type { Archive, Efficiency } from '../../lib/index.js';
import { announce, fill, h, quoted, table } from '../dom.js';
import { bytes, count } from '../format.js';
import * as problems from '../problems.js';
import { task } from '../task.js';

export function wasted(archive: Archive, image: string, shortId: string): HTMLElement {
  const again = h('button', { type: 'button' }, 'Try again');
  const row = h('div', { className: 'row' }, again);
  const work = task('Adding up', again);
  row.append(work.element);
  const result = h('div', { className: 'report' });
  const element = h('details', {}, h('summary', {}, 'Wasted bytes'), row, result);

  async function show(): Promise<void> {
    if (work.isRunning) return;
    again.hidden = true;
    try {
      const efficiency = await work.run((options) => archive.efficiency(image, options));
      result.replaceChildren(...nodes(efficiency, shortId));
      announce(summary(efficiency));
    } catch (thrown) {
      again.hidden = false;
      if (element.isConnected) problems.show(thrown);
    }
  }
  again.onclick = () => void show();
  element.ontoggle = () => {
    if (element.open && result.children.length === 0) void show();
    if (!element.open) work.stop();
  };
  return element;
}

function summary({ score, total, wasted }: Efficiency): string {
  if (wasted === 0) return `Nothing is wasted: no layer replaces or deletes what one below has. ${bytes(total)} in all.`;
  return `Efficiency ${(Math.floor(score * 1000) / 10).toFixed(1)} %. Of ${bytes(total)} in all layers, later ones replace or delete ${bytes(wasted)}.`;
}

function nodes(efficiency: Efficiency, shortId: string): Node[] {
  const { paths } = efficiency;
  const line = h('p', {}, summary(efficiency));
  if (paths.length === 0) return [line];
  const rows = h('tbody');
  const more = fill(rows, paths, ({ path, bytes: size, copies }) =>
    h('tr', {}, h('td', { className: 'size' }, bytes(size)), h('td', { className: 'number' }, String(copies)), h('td', {}, h('code', {}, quoted(`/${path}`)))),
  );
  const label = `What is wasted in ${shortId}, ${count(paths.length, 'path')}`;
  return [line, table(label, ['Wasted', 'Copies', 'Path'], rows, { className: 'wasted', more })];
}
