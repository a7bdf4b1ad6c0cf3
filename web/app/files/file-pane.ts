/** One file of an image: what is said of it, what it holds, and a copy to keep. */
import type { Archive, Image } from '../../lib/index.js';
import { nameOf, type Item } from './branches.js';
import { look, type View } from './content.js';
import { download } from './downloads.js';
import { announce, fact, h, quoted, renew, visible } from '../dom.js';
import { bytes, moment, owner, permissions } from '../format.js';
import { layerName } from './layer-list.js';
import { pictureKind } from './pictures.js';
import { dropping, type Edit } from './rewriting.js';
import * as problems from '../problems.js';
import { task } from '../task.js';

/** So much of a file is shown at first, and so many times more whenever more is asked for. */
const PART = 64 << 10;
const MORE = 16;

/** Beyond this, a file is for other programs: as bytes, and as a picture. */
const MOST = 1 << 20;
const MOST_OF_A_PICTURE = 16 << 20;

/** A person who goes through a list looks at nothing on the way, in milliseconds. */
const PAUSE = 150;

const KINDS = {
  file: 'file',
  directory: 'folder',
  symlink: 'symbolic link',
  'hard-link': 'hard link',
  'character-device': 'character device',
  'block-device': 'block device',
  fifo: 'pipe',
};

const CHANGES = { added: 'added by this layer', changed: 'changed by this layer', deleted: 'deleted by this layer: this is what was there' };

const VIEWS: Record<View, string> = { text: 'Text', json: 'JSON', picture: 'Picture', hex: 'Hex' };

export interface FilePane {
  element: HTMLElement;
  show(item: Item): void;
  clear(): void;
  /** Stops what changes the archive. */
  stop(): void;
}

/** `image` is what the archive calls the image, `described` what it says of it; `edit` makes an edit of it, where it may be edited. */
export function filePane(archive: Archive, image: string, described: Image, edit?: Edit): FilePane {
  const title = h('h4');
  const facts = h('div');
  const save = h('button', { type: 'button' });
  const saving = task('Reading', save);
  const views = h('div', { className: 'row views', role: 'group', ariaLabel: 'Show as' });
  const content = h('div');
  const part = h('p', { className: 'row hint', hidden: true });
  let shown = '';
  const drop = edit && archive.format !== 'docker-v1' ? dropping(archive, described, () => shown, edit) : undefined;
  const actions = h('div', { className: 'row' }, save, saving.element, drop?.element);
  const hint = h('p', { className: 'hint' }, 'Choose a file to see what is in it.');
  const element = h('div', { className: 'pane file-pane', role: 'group', ariaLabel: 'File' }, hint);
  let reading = new AbortController();
  /** The view that the person chose last, where a file has it. */
  let wanted: View | undefined;

  function place({ file, layer }: Item): { path: string; layer?: number } {
    return { path: file.path, ...(layer !== undefined && { layer }) };
  }

  async function keep(item: Item): Promise<void> {
    const { path, ...from } = place(item);
    const isFolder = item.file.kind === 'directory';
    const name = nameOf(path);
    try {
      const blob = await saving.run((options) =>
        isFolder ? archive.exportFiles(image, { path, ...from, ...options }) : archive.readFile(image, path, { ...from, ...options }),
      );
      download(blob, isFolder ? `${name}.tar` : name);
      problems.clear();
      announce(`Saved ${visible(name)}.`);
    } catch (thrown) {
      if (element.isConnected) problems.show(thrown);
    }
  }

  /** Shows what a regular file holds, up to a limit. */
  async function open(item: Item, limit: number): Promise<void> {
    reading.abort();
    const { signal } = (reading = new AbortController());
    try {
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      if (signal.aborted) return;
      const { path, ...from } = place(item);
      const begin = (limit: number) => beginning(archive.streamFile(image, path, { ...from, signal }), limit, signal);
      const first = await begin(limit);
      const isPicture = pictureKind(first) !== undefined && item.file.size <= MOST_OF_A_PICTURE;
      const read = isPicture && first.length < item.file.size ? await begin(item.file.size) : first;
      if (signal.aborted) return;
      const isWhole = read.length >= item.file.size;
      const found = look(read, isWhole, visible(nameOf(path)));
      const show = async (view: View) => {
        for (const button of views.querySelectorAll('button')) button.ariaPressed = String(button.value === view);
        try {
          const shown = await found.show(view);
          if (!signal.aborted) content.replaceChildren(shown);
        } catch {
          // The browser cannot decode it: then it is but bytes.
          if (!signal.aborted) await show('hex');
        }
      };
      views.replaceChildren(
        ...found.views.map((view) => {
          const button = h('button', { type: 'button', value: view }, VIEWS[view]);
          button.onclick = () => void show((wanted = view));
          return button;
        }),
      );
      const [best = 'hex'] = found.views;
      await show(wanted && found.views.includes(wanted) ? wanted : best);
      if (signal.aborted) return;
      const more = h('button', { type: 'button' }, 'Show more');
      more.onclick = () => void open(item, limit * MORE);
      const isMore = !isWhole && limit < MOST;
      const said = document.createTextNode(`The first ${bytes(read.length)} of ${bytes(item.file.size)}.`);
      renew(part, [said, ...(isMore ? [more] : [])], isMore ? more : (content.querySelector<HTMLElement>('.content') ?? save));
      part.hidden = isWhole;
    } catch (thrown) {
      if (!signal.aborted && element.isConnected) content.replaceChildren(h('p', { className: 'wrong' }, sentence(thrown)));
    }
  }

  return {
    element,
    show(item) {
      reading.abort();
      const { file, change } = item;
      shown = file.path;
      const isFolder = file.kind === 'directory';
      title.replaceChildren(quoted(nameOf(file.path)));
      const from = file.layer === undefined ? undefined : layerName(described, file.layer);
      facts.replaceChildren(
        h(
          'dl',
          { className: 'facts short' },
          fact('Path', h('code', {}, quoted(`/${file.path}`))),
          fact('Kind', KINDS[file.kind]),
          change && fact('Change', h('span', { className: change }, CHANGES[change])),
          file.kind === 'file' && fact('Size', `${bytes(file.size)}${file.size >= 1000 ? ` (${file.size.toLocaleString('en')} bytes)` : ''}`),
          file.link !== undefined && fact('Leads to', h('code', {}, quoted(file.link))),
          file.device && fact('Device', file.device.join(', ')),
          fact('Mode', h('code', {}, `${permissions(file)} ${file.mode.toString(8).padStart(4, '0')}`)),
          fact('Owner', quoted(owner(file))),
          fact('Time', moment(file.mtime)),
          from !== undefined && fact('Layer', from),
          file.links > 1 && fact('Names', String(file.links)),
          ...(file.xattrs ?? []).map(({ name, value }) => fact('Attribute', h('code', {}, quoted(`${name} = ${value}`)))),
        ),
      );
      save.textContent = isFolder ? 'Save this folder as a tar' : 'Save this file';
      save.hidden = !isFolder && file.kind !== 'file' && file.kind !== 'hard-link';
      save.onclick = () => void keep(item);
      views.replaceChildren();
      content.replaceChildren();
      part.hidden = true;
      element.replaceChildren(title, facts, actions, views, content, part);
      if (file.kind === 'file' && file.size > 0) void open(item, PART);
    },
    clear() {
      reading.abort();
      element.replaceChildren(hint);
    },
    stop: () => drop?.stop(),
  };
}

function sentence(thrown: unknown): string {
  return problems.sentence(thrown instanceof Error ? thrown.message : String(thrown));
}

/** The first bytes of a stream; the rest is not asked for. */
async function beginning(stream: ReadableStream<Uint8Array>, limit: number, signal: AbortSignal): Promise<Uint8Array> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let length = 0;
  try {
    while (length < limit && !signal.aborted) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value.subarray(0, limit - length));
      length += Math.min(value.length, limit - length);
    }
  } finally {
    void reader.cancel().catch(() => {});
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
