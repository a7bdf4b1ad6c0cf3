/** Saving: a download link everywhere, and the save-file picker where the browser has it. */
import type { Archive, Image, Saved, SaveFormat } from '../lib/index.js';
import { choosing } from './choosing.js';
import { announce, h, newId, quoted, visible } from './dom.js';
import { bytes } from './format.js';
import * as problems from './problems.js';
import { task } from './task.js';

/** The picker, which TypeScript's library does not know and only Chromium has. */
declare global {
  var showSaveFilePicker: ((options: { suggestedName: string }) => Promise<FileSystemFileHandle>) | undefined;
}

export interface Saving {
  element: HTMLElement;
  save(): Promise<void>;
  /** Chooses the format to save in. */
  choose(format: SaveFormat): void;
  /** The archive's images are these now. */
  update(images: readonly Image[]): void;
  /** Takes away the link to a file that is no longer what the page shows. */
  outdate(): void;
}

/** `begin` is called when the archive is taken as it is, and what it gives once that is safe on a disk. */
export function saving(archive: Archive, begin: () => () => void): Saving {
  const name = h('input', { id: newId(), type: 'text', value: archive.name, spellcheck: false, autocomplete: 'off' });
  const download = h('button', { type: 'button', className: 'primary', title: 'Ctrl+S' }, 'Save');
  const pick = h('button', { type: 'button', hidden: !globalThis.showSaveFilePicker }, 'Save as…');
  const result = h('p', { className: 'saved' });
  const choice = choosing(archive, outdate);
  const work = task('Saving', download);
  let url: string | undefined;

  /** What is chosen, with progress where it takes a while: packing layers anew does. */
  function made(): Promise<Saved> {
    return work.run((options) => archive.save({ ...choice.options(), ...options }));
  }

  function outdate(): void {
    result.querySelector('a')?.parentElement?.replaceChildren();
  }

  function fileName(): string {
    return name.value.trim() || archive.name;
  }

  async function save(): Promise<void> {
    const saved = begin();
    try {
      const { blob, size } = await made();
      // The browser copies from the file while it downloads: the last link must live until there is another.
      if (url !== undefined) URL.revokeObjectURL(url);
      url = URL.createObjectURL(blob);
      const link = h('a', { href: url, download: fileName() }, 'Download ', quoted(fileName()));
      result.replaceChildren(link, ` (${bytes(size)})`);
      link.click();
      problems.clear();
      announce(`Saved as ${visible(fileName())}.`);
      saved();
    } catch (thrown) {
      problems.show(thrown);
    }
  }

  async function saveAs(): Promise<void> {
    try {
      const handle = await globalThis.showSaveFilePicker?.({ suggestedName: fileName() });
      if (!handle) return;
      const saved = begin();
      await writeTo(handle, await made(), result, pick);
      problems.clear();
      announce(`Saved as ${visible(handle.name)}.`);
      saved();
    } catch (thrown) {
      problems.show(thrown);
    }
  }

  download.onclick = () => void save();
  pick.onclick = () => void saveAs();
  const element = h(
    'div',
    { className: 'saving' },
    h('label', { htmlFor: name.id }, 'File name'),
    h('div', { className: 'row' }, name, download, pick, work.element),
    result,
    choice.element,
  );
  return { element, save, outdate, choose: choice.choose, update: choice.update };
}

/** Writes through the handle, which keeps the old file until all is written. */
async function writeTo(
  handle: FileSystemFileHandle,
  { blob, size }: Saved,
  result: HTMLElement,
  button: HTMLElement,
): Promise<void> {
  const controller = new AbortController();
  const bar = h('progress', { max: Math.max(1, size), value: 0, ariaLabel: 'Writing' });
  const text = h('span', {}, 'Writing');
  const cancel = h('button', { type: 'button', onclick: () => controller.abort() }, 'Cancel');
  result.replaceChildren(bar, ' ', text, ' ', cancel);
  let done = 0;
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, queue) {
      done += chunk.byteLength;
      bar.value = done;
      text.textContent = `Writing ${bytes(done)} of ${bytes(size)}`;
      announce(text.textContent);
      queue.enqueue(chunk);
    },
  });
  try {
    await blob.stream().pipeThrough(counter).pipeTo(await handle.createWritable(), { signal: controller.signal });
    end('Saved as ', quoted(handle.name), ` (${bytes(size)})`);
  } catch (thrown) {
    end();
    throw thrown;
  }

  function end(...nodes: (Node | string)[]): void {
    if (result.contains(document.activeElement)) button.focus();
    result.replaceChildren(...nodes);
  }
}
