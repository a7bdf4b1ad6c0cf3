/** The files of an image: its layers, what they come to as a tree, and the file that is chosen there. */
import type { Archive, CallOptions, Image } from '../../lib/index.js';
import { changedTree, changesOf, wholeTree, type Branches, type Changes } from './branches.js';
import { identity } from '../choosing.js';
import { comparing } from './comparing.js';
import { announce, h, visible } from '../dom.js';
import { download } from './downloads.js';
import { filePane } from './file-pane.js';
import { PAGE, fileTree } from './file-tree.js';
import { layerList } from './layer-list.js';
import * as problems from '../problems.js';
import { squashing, type Edit } from './rewriting.js';
import { searching } from './searching.js';
import { task } from '../task.js';
import { wasted } from './wasted.js';

/** Up to this size of an image, the changes of all layers are counted without being asked for. */
const SMALL = 200_000_000;

/** The panes, which begin to read the layers. `closed` says that the archive goes, `edit` makes an edit of it. */
export function panes(archive: Archive, described: Image, shortId: string, closed: AbortSignal, edit: Edit): HTMLElement {
  const image = identity(described);
  const again = h('button', { type: 'button', hidden: true }, 'Read the layers');
  const reading = task('Reading the layers', again);
  const keep = h('button', { type: 'button' }, 'Save all files as a tar');
  const keeping = task('Reading', keep);
  const countAll = h('button', { type: 'button', hidden: described.size <= SMALL }, 'Count the changes');
  const counting = task('Counting', countAll);

  const file = filePane(archive, image, described, edit);
  const squash = squashing(archive, described, edit);
  const tree = fileTree(`Files of ${shortId}`, file.show, failed);
  const layers = layerList(described, (layer) => void choose(layer));
  const search = searching(archive, image, () => chosen, (path) => void goTo(path));
  const brief = h('input', { type: 'checkbox', checked: true });
  const briefly = h('label', { className: 'check', hidden: true }, brief, ' Only changes');
  const details = h('input', { type: 'checkbox' });
  const treeHint = h('p', { className: 'hint', hidden: true });

  /** The layer whose changes are shown; all of them where there is none. */
  let chosen: number | undefined;
  let changes: Changes | undefined;
  let round = 0;

  function failed(thrown: unknown): void {
    if (element.isConnected) problems.show(thrown);
  }

  /** Shows all layers together, or what one of them did. */
  async function choose(layer: number | undefined): Promise<void> {
    const own = ++round;
    if (layer !== chosen) search.outdate();
    chosen = layer;
    layers.choose(layer);
    squash.choose(layer);
    briefly.hidden = layer === undefined;
    again.hidden = true;
    tree.clear();
    file.clear();
    reading.stop();
    try {
      const { branches, root } = await reading.run(async (options) => {
        const branches = await branchesOf(layer, options);
        return { branches, root: await branches(undefined, { ...options, limit: PAGE }) };
      });
      if (own !== round) return;
      tree.reset(branches, root);
      treeHint.hidden = root.items.length > 0;
      treeHint.textContent = layer === undefined ? 'There are no files.' : 'This layer changes no files.';
      if (!isCounted && described.size <= SMALL) void count();
    } catch (thrown) {
      if (own !== round) return;
      again.hidden = false;
      failed(thrown);
    }
  }

  async function branchesOf(layer: number | undefined, options: Required<CallOptions>): Promise<Branches> {
    if (layer === undefined) return wholeTree(archive, image);
    if (changes?.layer !== layer) changes = await changesOf(archive, image, layer, options);
    layers.count(layer, changes.counts);
    return changedTree(archive, image, changes, brief.checked);
  }

  let isCounted = false;
  /** Says of each layer how much it changes. */
  async function count(): Promise<void> {
    isCounted = true;
    countAll.hidden = true;
    try {
      await counting.run(async (options) => {
        for (const layer of described.layers.keys()) {
          if (!element.isConnected) return;
          layers.count(layer, (await changesOf(archive, image, layer, options)).counts);
        }
      });
    } catch (thrown) {
      countAll.hidden = false;
      failed(thrown);
    }
  }

  /** Opens the place of a file that was found. */
  async function goTo(path: string): Promise<void> {
    if (await tree.find(path)) return;
    if (chosen !== undefined && brief.checked) {
      brief.checked = false;
      await choose(chosen);
      await tree.find(path);
    }
  }

  again.onclick = () => void choose(chosen);
  brief.onchange = () => void choose(chosen);
  details.onchange = () => tree.showDetails(details.checked);
  countAll.onclick = () => void count();
  keep.onclick = async () => {
    const layer = chosen;
    const name = `${(described.references[0] ?? shortId).replace(/[/:@]/g, '_')}${layer === undefined ? '' : `.layer-${layer + 1}`}.files.tar`;
    try {
      const blob = await keeping.run((options) => archive.exportFiles(image, { ...(layer !== undefined && { layer }), ...options }));
      download(blob, name);
      problems.clear();
      announce(`Saved ${visible(name)}.`);
    } catch (thrown) {
      failed(thrown);
    }
  };

  layers.element.append(h('div', { className: 'row' }, countAll, counting.element, ...(archive.format === 'docker-v1' ? [] : [squash.element])));
  const element = h(
    'div',
    { className: 'file-view' },
    h('div', { className: 'row' }, keep, keeping.element, again, reading.element),
    search.element,
    h(
      'div',
      { className: 'panes' },
      layers.element,
      h(
        'div',
        { className: 'pane tree-pane', role: 'group', ariaLabel: 'Tree' },
        h('div', { className: 'row' }, briefly, h('label', { className: 'check' }, details, ' Mode and owner')),
        treeHint,
        tree.element,
      ),
      file.element,
    ),
    wasted(archive, image, shortId),
    comparing(archive, image, described, closed),
  );
  closed.addEventListener('abort', () => {
    for (const work of [reading, keeping, counting]) work.stop();
    search.stop();
    squash.stop();
    file.stop();
  });
  void choose(undefined);
  return element;
}
