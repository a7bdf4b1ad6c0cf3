/** Choosing a file: the picker, dropping, progress and cancelling. */
import { openArchive, type Archive, type Progress } from '../lib/index.js';
import { announce, byId, visible } from './dom.js';
import { bytes } from './format.js';
import * as problems from './problems.js';

/** Asks whether the archive that is open may go. */
export type Consent = () => Promise<boolean>;

/**
 * Listens for files. The consent to replace what is there is asked for before a file is opened, and again before the new
 * archive comes in, because there may be edits meanwhile. `opened` gets the archive, and only if it opened: a failure
 * leaves what is there.
 */
export function listenForFiles(consent: () => Consent, opened: (archive: Archive) => void): void {
  let running: AbortController | undefined;

  async function open(file: File): Promise<void> {
    const mayReplace = consent();
    if (!(await mayReplace())) return;
    running?.abort();
    const controller = (running = new AbortController());
    const { signal } = controller;
    const stop = showProgress(file, () => controller.abort());
    try {
      const archive = await openArchive(file, { signal, onProgress: (state) => signal.aborted || showState(file, state) });
      if (signal.aborted || !(await mayReplace())) {
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
  listenForDrops((file) => void open(file));
}

/** Shows the bar. What is given back takes it away again, unless another opening has it by now. */
function showProgress(file: File, cancel: () => void): (last: boolean) => void {
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

function showState(file: File, { done, total }: Progress): void {
  byId('opening-progress', HTMLProgressElement).value = total > 0 ? done / total : 0;
  const text = `Reading ${visible(file.name)}: ${bytes(done)} of ${bytes(total)}`;
  byId('opening-text', HTMLElement).textContent = text;
  announce(text);
}

/** The whole page takes drops. */
function listenForDrops(drop: (file: File) => void): void {
  const target = byId('drop-target', HTMLElement);
  const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
  addEventListener('dragover', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    target.hidden = false;
  });
  addEventListener('dragleave', (event) => {
    // Between elements the drag goes on; it ends where it leaves for nowhere.
    if (event.relatedTarget === null) target.hidden = true;
  });
  addEventListener('drop', (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    target.hidden = true;
    const file = event.dataTransfer?.files[0];
    if (file) drop(file);
  });
}
