/** Layers squashed, and files taken out of all layers: what that changes is shown before it is done. */
import type { Archive, CallOptions, Image, RewritePlan } from '../../lib/index.js';
import { ask } from '../asking.js';
import { fill, h, newId, quoted, table } from '../dom.js';
import { bytes, count, shortDigest } from '../format.js';
import * as problems from '../problems.js';
import { task } from '../task.js';

/** Makes an edit that says in a sentence what it did, or shows why it failed. */
export type Edit = (work: () => Promise<string>) => Promise<boolean>;

interface Rewriting {
  plan(options: Required<CallOptions>): Promise<RewritePlan[]>;
  make(options: Required<CallOptions>): Promise<string[]>;
  title: string;
  yes: string;
  done: string;
  nodes(plan: RewritePlan): Node[];
}

/** A button and the work behind it. */
export interface RewriteButton {
  element: HTMLElement;
  stop(): void;
}

/** Merges the layers from one on, which {@link choose} says, or all of them. */
export function squashing(archive: Archive, image: Image, edit: Edit): RewriteButton & { choose(layer: number | undefined): void } {
  const total = image.layers.length;
  let first = 0;
  const made = button(edit, () => ({
    plan: (options) => archive.planSquash(image.id, { from: first, ...options }),
    make: (options) => archive.squash(image.id, { from: first, ...options }),
    title: first === 0 ? `Squash all ${total} layers into one` : `Squash layers ${first + 1} to ${total} into one`,
    yes: 'Squash',
    done: 'Squashed',
    nodes: (plan) => [layers(plan), ...gone('Files that later layers replaced or deleted go', plan)],
  }));
  const choose = (layer: number | undefined) => {
    first = layer ?? 0;
    made.button.textContent = first === 0 ? 'Squash all layers…' : `Squash layers ${first + 1} to ${total}…`;
    made.element.hidden = total - first < 2;
  };
  choose(undefined);
  return { ...made, choose };
}

/** Takes what is at a path out of all layers. */
export function dropping(archive: Archive, image: Image, path: () => string, edit: Edit): RewriteButton {
  const made = button(edit, () => {
    const paths = [path()];
    return {
      plan: (options) => archive.planDrop(image.id, paths, options),
      make: (options) => archive.drop(image.id, paths, options),
      title: 'Remove from all layers',
      yes: 'Remove',
      done: 'Removed',
      nodes: (plan) => [h('p', {}, h('code', {}, quoted(`/${paths[0] ?? ''}`))), layers(plan), ...gone('These go', plan), ...kept(plan)],
    };
  });
  made.button.textContent = 'Remove from all layers…';
  return made;
}

function button(edit: Edit, work: () => Rewriting): RewriteButton & { button: HTMLButtonElement } {
  const begin = h('button', { type: 'button' });
  const running = task('Reading the layers', begin);
  begin.onclick = async () => {
    const { plan, make, title, yes, done, nodes } = work();
    try {
      const [found] = await running.run(plan);
      if (!found || !begin.isConnected || !(await ask(title, yes, ...nodes(found)))) return;
      await edit(async () => {
        const [id = ''] = await running.run(make);
        return `${done}: the image is ${shortDigest(id)} now.`;
      });
    } catch (thrown) {
      if (begin.isConnected) problems.show(thrown);
    }
  };
  return { element: h('span', { className: 'row' }, begin, running.element), button: begin, stop: running.stop };
}

function layers({ layers }: RewritePlan): HTMLElement {
  const rows = h('tbody');
  const more = fill(rows, layers, ({ first, count, before, after, entriesBefore, entriesAfter }) =>
    h(
      'tr',
      {},
      h('th', { scope: 'row' }, count === 1 ? String(first + 1) : `${first + 1} to ${first + count}`),
      h('td', {}, `${bytes(before)} → ${bytes(after)}`),
      h('td', {}, `${entriesBefore.toLocaleString('en')} → ${entriesAfter.toLocaleString('en')}`),
    ),
  );
  return table('Layers that change', ['Layer', 'Unpacked', 'Entries'], rows, { more });
}

function gone(what: string, { gone, goneCount, goneBytes }: RewritePlan): Node[] {
  if (goneCount === 0) return [h('p', {}, 'No file goes.')];
  const id = newId();
  const list = h('ul', { className: 'differences', tabIndex: 0, attrs: { 'aria-labelledby': id } });
  const more = fill(list, gone, ({ path, layer, kind, size }) =>
    h('li', {}, h('code', {}, quoted(`/${path}`)), ' ', h('span', { className: 'hint' }, `layer ${layer + 1}${kind === 'file' ? `, ${bytes(size)}` : ''}`)),
  );
  const rest = goneCount - gone.length;
  return [
    h('p', { id }, `${what}: ${count(goneCount, 'file')}, ${bytes(goneBytes)}.`),
    list,
    ...(more ? [more] : []),
    ...(rest > 0 ? [h('p', { className: 'hint' }, `And ${rest.toLocaleString('en')} more.`)] : []),
  ];
}

function kept({ keptBy }: RewritePlan): Node[] {
  if (keptBy.length === 0) return [];
  const ids = keptBy.map((id) => shortDigest(id)).join(', ');
  return [h('p', { className: 'wrong' }, `Other images of the archive have the same layers and keep them: ${ids}.`)];
}
