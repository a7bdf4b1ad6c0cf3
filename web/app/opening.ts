/** Choosing a file: the picker, dropping, progress and cancelling. */
import { openArchive, type Archive, type Folder, type Progress } from '../lib/index.js';
import { announce, byId, visible } from './dom.js';
import { droppedFolder } from './dropped.js';
import { bytes } from './format.js';
import * as problems from './problems.js';

/** Asks whether the archive that is open may go. */
export type Consent = () => Promise<boolean>;

/**
 * Listens for files. The consent to replace what is there is asked for before a file is opened, and again before the new
 * archive comes in, because there may be edits meanwhile. `opened` gets the archive, and only if it opened: a failure
 * leaves what is there. What is dropped on the lower half goes to `keep`.
 *
 * What is given back takes an archive that is open already, in place of the one that is there.
 */
export function listenForFiles(
  consent: () => Consent,
  opened: (archive: Archive) => void,
  keep: (files: (File | Folder)[]) => void,
): (archive: Archive) => Promise<void> {
  let running: AbortController | undefined;

  async function open(file: Input): Promise<void> {
    const mayReplace = consent();
    if (!(await mayReplace())) return;
    running?.abort();
    const controller = (running = new AbortController());
    const { signal } = controller;
    const stop = showProgress(file, () => controller.abort());
    try {
      const archive = await openArchive(inputOf(file), { signal, onProgress: (state) => signal.aborted || showState(file, state) });
      // While the question stands, another file may be chosen.
      if (signal.aborted || !(await mayReplace()) || signal.aborted) {
        void archive.close();
        return;
      }
      problems.clear();
      opened(archive);
    } catch (thrown) {
      problems.show(thrown, file.name);
    } finally {
      stop(running === controller);
    }
  }

  const input = byId('file', HTMLInputElement);
  input.onchange = () => {
    const file = input.files?.[0];
    // So that choosing the same file again is a change.
    input.value = '';
    if (file) void open(file);
  };
  const folder = byId('folder', HTMLInputElement);
  folder.onchange = () => {
    const files = [...(folder.files ?? [])];
    folder.value = '';
    const name = files[0]?.webkitRelativePath.split('/')[0] ?? 'folder';
    if (files.length > 0) void open({ name, files });
  };
  listenForDrops((dropped, zone) => {
    const [first] = dropped;
    if (zone === 'keep') keep(dropped);
    else if (dropped.length > 1) problems.say('One archive is open at a time: drop one, or all of them on the lower half, to keep them on the shelf.');
    else if (first) void open(first);
  });
  return async (archive) => {
    if (!(await consent()())) return void archive.close();
    running?.abort();
    opened(archive);
  };
}

/** A file, or a folder: its files, or what stands for it where it was dropped. */
type Input = File | { name: string; files: File[] } | Folder;

function inputOf(input: Input): File | File[] | Folder {
  return 'files' in input ? input.files : input;
}

/** Shows the bar. What is given back takes it away again, unless another opening has it by now. */
function showProgress(file: { name: string }, cancel: () => void): (last: boolean) => void {
  const panel = byId('opening', HTMLElement);
  byId('opening-text', HTMLElement).textContent = `Reading ${visible(file.name)}`;
  byId('opening-progress', HTMLProgressElement).removeAttribute('value');
  byId('opening-cancel', HTMLButtonElement).onclick = cancel;
  // What opens at once needs no bar that flashes up.
  const timer = setTimeout(() => (panel.hidden = false), 200);
  return (last) => {
    clearTimeout(timer);
    if (!last) return;
    if (panel.contains(document.activeElement)) byId('file', HTMLElement).focus();
    panel.hidden = true;
  };
}

function showState(file: { name: string }, { done, total }: Progress): void {
  byId('opening-progress', HTMLProgressElement).value = total > 0 ? done / total : 0;
  const text = `Reading ${visible(file.name)}: ${bytes(done)} of ${bytes(total)}`;
  byId('opening-text', HTMLElement).textContent = text;
  announce(text);
}

/** The whole page takes drops: the upper half to open, the lower to keep. */
function listenForDrops(drop: (dropped: (File | Folder)[], zone: string) => void): void {
  const target = byId('drop-target', HTMLElement);
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  const zoneOf = (event: DragEvent) => (event.clientY > innerHeight / 2 ? 'keep' : 'open');
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    target.hidden = false;
    target.dataset['zone'] = zoneOf(event);
  });
  addEventListener('dragleave', (event) => {
    // Between elements the drag goes on; it ends where it leaves for nowhere.
    if (event.relatedTarget === null) target.hidden = true;
  });
  addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    target.hidden = true;
    const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === 'file');
    const dropped = items.map((item) => {
      const entry = item.webkitGetAsEntry();
      return entry?.isDirectory ? droppedFolder(entry as FileSystemDirectoryEntry) : item.getAsFile();
    });
    drop(dropped.filter((one) => one !== null), zoneOf(event));
  });
}
