/** An open container: its files, to be changed, what was changed, and a form to make an image of it. */
import type { Archive, Container, ContainerChange, Store } from '../../lib/index.js';
import { announce, fill, h, quoted, visible } from '../dom.js';
import { changedTree, changesOf, parentOf, type Item } from '../files/branches.js';
import { download } from '../files/downloads.js';
import { filePane, type FilePane } from '../files/file-pane.js';
import { PAGE, fileTree } from '../files/file-tree.js';
import { count } from '../format.js';
import type { Journal } from '../journal.js';
import * as problems from '../problems.js';
import { task } from '../task.js';
import { commitForm } from './commit-form.js';
import { edits } from './edits.js';

const CLASSES = { A: 'added', C: 'changed', D: 'deleted' } as const;

export interface Workbench {
  element: HTMLElement;
  heading: HTMLElement;
  close(): void;
}

/** `shut` is called when the person is through with it. */
export function workbench(store: Store, container: Container, log: Journal, shut: () => void): Workbench {
  const heading = h('h3', { tabIndex: -1 }, 'Container ', quoted(container.name));
  const again = h('button', { type: 'button', hidden: true }, 'Read the files');
  const reading = task('Reading the layers', again);
  const shutIt = h('button', { type: 'button', onclick: shut }, 'Close');
  const brief = h('input', { type: 'checkbox' });
  const details = h('input', { type: 'checkbox' });
  const filePlace = h('div');
  const differences = h('ul', { className: 'differences plain', ariaLabel: 'Changes' });
  const more = h('div');
  const diffSummary = h('summary', {}, 'docker diff');
  let file: FilePane | undefined;
  /** The container's files as they were when they were last read. */
  let archive: Archive | undefined;
  let image = container.image;
  let diff: readonly ContainerChange[] = [];
  let chosen: Item | undefined;
  let rounds = 0;
  let isClosed = false;

  const tree = fileTree(
    `Files of ${visible(container.name)}`,
    (item) => {
      chosen = item;
      file?.show(item);
      editing.choose(item);
    },
    failed,
  );
  const editing = edits(container, {
    read: (path) => (archive as Archive).readFile(image, path),
    folder: () => (chosen === undefined ? '' : chosen.file.kind === 'directory' ? chosen.file.path : parentOf(chosen.file.path)),
    done: (path, sentence) => {
      announce(visible(sentence));
      log.say(sentence);
      return show(path);
    },
    idle: () => void look(),
  });

  function failed(thrown: unknown): void {
    if (element.isConnected) problems.show(thrown);
  }

  /** Shows the container's files as they are now, and goes to one of them. */
  async function show(path?: string): Promise<void> {
    const round = ++rounds;
    again.hidden = true;
    reading.stop();
    try {
      const opened = await reading.run(async (options) => {
        const now = await container.open(options);
        try {
          const [image] = now.images;
          if (!image) throw new Error('the container has no files');
          const top = image.layers.length - 1;
          const branches = changedTree(now, image.id, await changesOf(now, image.id, top, options), brief.checked);
          const root = await branches(undefined, { ...options, limit: PAGE });
          return { now, image, branches, root, diff: await container.diff() };
        } catch (thrown) {
          void now.close();
          throw thrown;
        }
      });
      if (round !== rounds || isClosed) {
        void opened.now.close();
        return;
      }
      void archive?.close();
      archive = opened.now;
      image = opened.image.id;
      chosen = undefined;
      file = filePane(archive, image, opened.image);
      filePlace.replaceChildren(file.element);
      editing.choose(undefined);
      tree.reset(opened.branches, opened.root);
      showDiff(opened.diff);
      if (path !== undefined && path !== '') await goTo(path);
    } catch (thrown) {
      if (round !== rounds || isClosed) return;
      again.hidden = false;
      failed(thrown);
    }
  }

  /** Goes to a file, or to the nearest folder above where it was: what was deleted may be gone without a trace. */
  async function goTo(path: string): Promise<void> {
    for (let at = path; at !== ''; at = parentOf(at)) if (await tree.find(at)) return;
    tree.element.focus();
  }

  function showDiff(changes: readonly ContainerChange[]): void {
    diff = changes;
    diffSummary.textContent = `docker diff (${count(changes.length, 'change')})`;
    differences.replaceChildren();
    const rest = fill(differences, changes, ({ kind, path }) => h('li', {}, h('code', { className: CLASSES[kind] }, `${kind} `, quoted(path))));
    more.replaceChildren(...(rest ? [rest] : []));
  }

  const reload = () => void show(chosen?.file.path);
  again.onclick = reload;
  brief.onchange = reload;
  details.onchange = () => tree.showDetails(details.checked);
  store.addEventListener('change', look);

  /** An undo, or another tab, may have changed the files; what is changed here is shown anyway, and looked at again when it is over. */
  async function look(): Promise<void> {
    if (isClosed || editing.isRunning) return;
    // A container that is gone is shut by the list.
    const now = await container.diff().catch(() => undefined);
    if (now && !isClosed && !editing.isRunning && JSON.stringify(now) !== JSON.stringify(diff)) reload();
  }

  const keep = h('button', { type: 'button' }, 'Save all files as a tar');
  const keeping = task('Reading', keep);
  keep.onclick = async () => {
    try {
      const blob = await keeping.run((options) => (archive as Archive).exportFiles(image, options));
      download(blob, `${container.name}.files.tar`);
    } catch (thrown) {
      failed(thrown);
    }
  };

  const element = h(
    'section',
    { className: 'workbench file-view', ariaLabel: `Container ${visible(container.name)}` },
    h('div', { className: 'row' }, heading, shutIt, keep, keeping.element, again, reading.element),
    editing.element,
    h(
      'div',
      { className: 'panes' },
      h(
        'div',
        { className: 'pane tree-pane', role: 'group', ariaLabel: 'Tree' },
        h(
          'div',
          { className: 'row' },
          h('label', { className: 'check' }, brief, ' Only changes'),
          h('label', { className: 'check' }, details, ' Mode and owner'),
        ),
        tree.element,
      ),
      filePlace,
    ),
    h('details', { open: true }, diffSummary, differences, more),
    commitForm(container, log),
  );
  editing.listen(tree.element);
  void show();

  return {
    element,
    heading,
    close() {
      isClosed = true;
      store.removeEventListener('change', look);
      reading.stop();
      keeping.stop();
      void archive?.close();
      container.close().catch(() => {});
    },
  };
}
