/** Choosing a file: the picker, dropping, progress and cancelling. */
import { openArchive, type Archive } from '../lib/index.js';
import { announce, byId, visible } from './dom.js';
import { bytes } from './format.js';
import * as problems from './problems.js';

/**
 * Listens for files. `mayReplace` is asked before a file is opened; `opened` gets the archive, and only if it opened: a
 * failure leaves what is there.
 */
export function listenForFiles(mayReplace: () => Promise<boolean>, opened: (archive: Archive) => void): void {
  let running: AbortController | undefined;

  async function open(file: File): Promise<void> {
    if (!(await mayReplace())) return;
    running?.abort();
    const controller = (running = new AbortController());
    const stop = showProgress(file, () => controller.abort());
    try {
      const archive = await openArchive(file, { signal: controller.signal, onProgress: progress(file) });
      problems.clear();
      opened(archive);
    } catch (thrown) {
      problems.show(thrown);
    } finally {
      if (running === controller) stop();
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

function showProgress(file: File, cancel: () => void): () => void {
  const panel = byId('opening', HTMLElement);
  byId('opening-text', HTMLElement).textContent = `Reading ${visible(file.name)}`;
  byId('opening-progress', HTMLProgressElement).removeAttribute('value');
  byId('opening-cancel', HTMLButtonElement).onclick = cancel;
  // What opens at once needs no bar that flashes up.
  const timer = setTimeout(() => (panel.hidden = false), 200);
  return () => {
    clearTimeout(timer);
    panel.hidden = true;
  };
}

function progress(file: File): (progress: { done: number; total: number }) => void {
  return ({ done, total }) => {
    byId('opening-progress', HTMLProgressElement).value = total > 0 ? done / total : 0;
    const text = `Reading ${visible(file.name)}: ${bytes(done)} of ${bytes(total)}`;
    byId('opening-text', HTMLElement).textContent = text;
    announce(text);
  };
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
