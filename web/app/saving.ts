/** Saving: a download link everywhere, and the save-file picker where the browser has it. */
import type { Archive, CallOptions, Image, Saved, SaveFormat } from '../lib/index.js';
import { choosing } from './choosing.js';
import { announce, h, newId, quoted, visible } from './dom.js';
import { bytes } from './format.js';
import * as problems from './problems.js';
import { task } from './task.js';

/**
 * So many files stay in the browser's storage, where it had to keep them: nothing tells whether the download of the last one
 * is through.
 */
const KEPT = 2;

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
  readonly isRunning: boolean;
  /** Stops what runs, and closes the archive with those that were added: once another one is closed, if it was saved. */
  close(): void;
}

/** Lets go of the archive that was closed last, from whose files the browser may still copy a download. */
let leave = () => {};

/** `begin` is called when the archive is taken as it is, and what it gives once that is safe on a disk. */
export function saving(archive: Archive, begin: () => () => void): Saving {
  const name = h('input', { id: newId(), type: 'text', value: archive.name, spellcheck: false, autocomplete: 'off' });
  const download = h('button', { type: 'button', className: 'primary', title: 'Ctrl+S' }, 'Save');
  const pick = h('button', { type: 'button', hidden: !globalThis.showSaveFilePicker }, 'Save as…');
  const result = h('p', { className: 'saved' });
  const choice = choosing(archive, outdate);
  const work = task('Saving', download, pick);
  const kept: Saved[] = [];
  let url: string | undefined;
  /** Counts what outdates the link. */
  let round = 0;

  function outdate(): void {
    round += 1;
    result.querySelector('a')?.parentElement?.replaceChildren();
  }

  function fileName(): string {
    const wanted = name.value.trim() || archive.name;
    return choice.isPacked() && !/\.t?gz$/i.test(wanted) ? `${wanted}.gz` : wanted;
  }

  async function save(): Promise<void> {
    if (work.isRunning) return;
    const saved = begin();
    const own = round;
    try {
      const options = choice.options();
      const download = fileName();
      const made = await work.run((calls) => archive.save({ ...options, ...calls }));
      const { blob, size } = made;
      kept.push(made);
      if (kept.length > KEPT) void kept.shift()?.release();
      // The browser copies from the file while it downloads: the last link must live until there is another.
      if (url !== undefined) URL.revokeObjectURL(url);
      url = URL.createObjectURL(blob);
      const link = h('a', { href: url, download }, 'Download ', quoted(download));
      result.replaceChildren(link, ` (${bytes(size)})`, ...leftOut(made));
      link.click();
      if (own !== round) outdate();
      problems.clear();
      announce(`Saved as ${visible(download)}.`);
      // What was left out is in no file.
      if (!options.images) saved();
    } catch (thrown) {
      problems.show(thrown);
    }
  }

  async function saveAs(): Promise<void> {
    try {
      const options = choice.options();
      const handle = await globalThis.showSaveFilePicker?.({ suggestedName: fileName() });
      // Ctrl+S may have come first.
      if (!handle || work.isRunning) return;
      const saved = begin();
      const made = await work.run(async (calls) => {
        result.replaceChildren();
        const made = await archive.save({ ...options, ...calls });
        try {
          await writeTo(handle, made, calls);
        } finally {
          await made.release();
        }
        return made;
      });
      result.replaceChildren('Saved as ', quoted(handle.name), ` (${bytes(made.size)})`, ...leftOut(made));
      problems.clear();
      announce(`Saved as ${visible(handle.name)}.`);
      if (!options.images) saved();
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
  const close = () => {
    work.stop();
    const drop = choice.close();
    leave();
    leave = () => {
      if (url !== undefined) URL.revokeObjectURL(url);
      drop();
      archive.close().catch(() => {});
    };
    if (url === undefined) leave();
  };
  return {
    element,
    save,
    outdate,
    close,
    choose: choice.choose,
    update: choice.update,
    get isRunning() {
      return work.isRunning;
    },
  };
}

/** Says which names the file does not have. */
function leftOut({ leftOut }: Saved): HTMLElement[] {
  if (leftOut.length === 0) return [];
  const names = leftOut.flatMap((name, index) => [index > 0 ? ', ' : '', quoted(name)]);
  return [h('p', { className: 'hint' }, 'Docker has no place for names without a repository and a tag: ', ...names, '.')];
}

/** Writes through the handle, which keeps the old file until all is written. */
async function writeTo(handle: FileSystemFileHandle, { blob, size }: Saved, { signal, onProgress }: Required<CallOptions>): Promise<void> {
  let done = 0;
  const counter = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
    transform(chunk, queue) {
      done += chunk.byteLength;
      onProgress({ phase: 'write', done, total: size });
      queue.enqueue(chunk);
    },
  });
  await blob.stream().pipeThrough(counter).pipeTo(await handle.createWritable(), { signal });
}
