/** The page: one archive at a time, from a file on disk to a file on disk, and a shelf for those that are to stay. */
import type { Archive, Folder } from '../lib/index.js';
import { isTyped } from './asking.js';
import { byId, h, visible } from './dom.js';
import { listenForFiles, type Consent } from './opening.js';
import * as problems from './problems.js';
import { unfolding } from './unfolding.js';
import { ArchiveView } from './view.js';

// So that the page is there without its server, too. Where that is not to be had, nothing is lost.
navigator.serviceWorker?.register('service-worker.js', { type: 'module' }).catch(() => {});

let current: ArchiveView | undefined;

problems.showUnhandled();

const open = listenForFiles(
  consent,
  (archive) => {
    current?.close();
    current = new ArchiveView(archive, () => keep([archive]));
    byId('archive', HTMLElement).replaceChildren(current.element);
    byId('welcome', HTMLElement).hidden = true;
    document.title = `${visible(archive.name)} – Longshore`;
    current.heading.focus();
  },
  (dropped) => void keep(dropped),
);

byId('pulling', HTMLElement).append(unfolding('pulling', 'Pull from a registry', async () => (await import('./registry/pull-form.js')).pullForm(open)));

/** The shelf comes after the rest: an archive can be opened without it. */
const shelf = import('./shelf.js').then(({ shelf }) => shelf(byId('shelf', HTMLElement), open));
shelf.catch((thrown: unknown) => {
  const reason = thrown instanceof Error ? thrown.message : String(thrown);
  byId('shelf', HTMLElement).append(h('p', { className: 'hint' }, `This browser keeps no images here: ${visible(reason)}`));
});

async function keep(inputs: (File | Folder | Archive)[]): Promise<void> {
  try {
    await (await shelf).load(inputs);
  } catch (thrown) {
    problems.show(thrown);
  }
}

/** Asks before edits are lost, but not twice about the same ones. */
function consent(): Consent {
  let agreed: number | undefined;
  return async () => {
    if (!current?.unsaved || current.state === agreed) return true;
    const { state } = current;
    const dialog = byId('discard', HTMLDialogElement);
    dialog.returnValue = '';
    if (!dialog.open) dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener('close', resolve, { once: true }));
    if (dialog.returnValue !== 'discard') return false;
    agreed = state;
    return true;
  };
}

addEventListener('beforeunload', (event) => {
  if (current?.unsaved || isTyped()) event.preventDefault();
});

addEventListener('keydown', (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.altKey || document.querySelector('dialog[open]')) return;
  const { target } = event;
  const typing = target instanceof HTMLTextAreaElement || (target instanceof HTMLInputElement && !['checkbox', 'radio', 'file'].includes(target.type));
  const key = event.key.toLowerCase();
  // Where the shelf has the focus, what is taken back is the shelf's; it does nothing again.
  const onShelf = byId('shelf', HTMLElement).contains(document.activeElement);
  const undo = () => (onShelf ? void shelf.then(({ undo }) => undo()) : void current?.undo());
  const redo = () => void (onShelf || current?.redo());
  const action = {
    o: () => byId('file', HTMLInputElement).click(),
    s: () => void current?.save(),
    // In a field, these keys undo what was typed.
    z: typing ? undefined : event.shiftKey ? redo : undo,
    y: typing ? undefined : redo,
  }[key];
  if (!action) return;
  event.preventDefault();
  action();
});
