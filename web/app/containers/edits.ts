/** Changing a container's files: by buttons, by questions, and by dropping files on the tree. */
import type { Container, FileToWrite } from '../../lib/index.js';
import { ask, field } from '../asking.js';
import { h, newId, visible } from '../dom.js';
import { droppedFolder } from '../dropped.js';
import type { Item } from '../files/branches.js';
import * as problems from '../problems.js';
import { task } from '../task.js';

/** A file up to this size can be edited as text. */
const TEXT = 1 << 20;

/** What the edits are made in. */
export interface Place {
  read(path: string): Promise<Blob>;
  /** The folder that new files go to. */
  folder(): string;
  /** A change was made, of which this is the most interesting path. */
  done(path: string | undefined, sentence: string): Promise<void>;
}

export interface Edits {
  element: HTMLElement;
  readonly isRunning: boolean;
  /** Which file the buttons are about. */
  choose(item: Item | undefined): void;
  /** Takes what is dropped there. */
  listen(target: HTMLElement): void;
}

export function edits(container: Container, place: Place): Edits {
  let item: Item | undefined;
  const button = (text: string, work: () => Promise<void>) => {
    const one = h('button', { type: 'button' }, text);
    one.onclick = () => void run(work);
    return one;
  };
  const picker = (text: string, taken: (files: File[]) => Promise<void>, props: Partial<HTMLInputElement> = {}) => {
    const input = h('input', { id: newId(), type: 'file', ...props });
    input.onchange = () => {
      const files = [...(input.files ?? [])];
      input.value = '';
      if (files.length > 0) void run(() => taken(files));
    };
    return { label: h('label', { className: 'button', htmlFor: input.id }, text), input };
  };

  const upload = picker('Upload files', (files) => write(files.map((file) => ({ path: inside(file.name), content: file }))), { multiple: true });
  const folder = picker(
    'Upload a folder',
    (files) => write(files.map((file) => ({ path: inside(file.webkitRelativePath || file.name), content: file }))),
    { webkitdirectory: true },
  );
  const tar = picker('Unpack a tar here', async ([file]) => {
    if (!file) return;
    const path = place.folder();
    await working.run((options) => container.apply(file, { path, ...options }));
    await place.done(path, `Unpacked ${file.name} in /${path}.`);
  });
  const working = task('Writing', upload.input);

  const edit = button('Edit as text', async () => {
    if (!item) return;
    const { path } = item.file;
    const bytes = new Uint8Array(await (await place.read(path)).arrayBuffer());
    let text;
    try {
      text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      await ask('No text', 'Close', h('p', {}, 'The file is no text in UTF-8. Replace it instead.'));
      return;
    }
    const input = h('textarea', { rows: 16, defaultValue: text, spellcheck: false, className: 'code' });
    await typed(`Edit ${visible(`/${path}`)}`, [field('Content', input)], async () => ({ path, content: input.value }));
  });
  const replace = picker('Replace', async ([file]) => {
    if (file && item) await write([{ path: item.file.path, content: file }]);
  });
  const move = button('Move', async () => {
    if (!item) return;
    const { path } = item.file;
    const input = pathInput(path);
    if (!(await ask('Move', 'Move', field('To', input)))) return;
    const to = bare(input.value);
    await container.move(path, to);
    await place.done(to, `Moved /${path} to /${to}.`);
  });
  const attributes = button('Mode and owner', async () => {
    if (!item) return;
    const { path, mode, uid, gid } = item.file;
    const bits = h('input', { type: 'text', value: mode.toString(8).padStart(4, '0'), pattern: '[0-7]{1,4}', required: true });
    const numbers = [uid, gid].map((value) => h('input', { type: 'number', value: String(value), min: '0', required: true }));
    const [user, group] = numbers as [HTMLInputElement, HTMLInputElement];
    if (!(await ask(`Mode and owner of ${visible(`/${path}`)}`, 'Set', field('Mode', bits, 'octal'), field('User', user), field('Group', group)))) return;
    const wanted = parseInt(bits.value, 8);
    if (user.valueAsNumber !== uid || group.valueAsNumber !== gid) await container.chown(path, user.valueAsNumber, group.valueAsNumber);
    if (wanted !== mode) await container.chmod(path, wanted);
    await place.done(path, `Set mode and owner of /${path}.`);
  });
  const remove = button('Delete', async () => {
    if (!item) return;
    const { path } = item.file;
    await container.remove(path);
    await place.done(path, `Deleted /${path}: Undo brings it back.`);
  });

  const newFile = button('New file', async () => {
    const path = pathInput(inside(''));
    const content = h('textarea', { rows: 8, spellcheck: false, className: 'code' });
    await typed('New file', [field('Path', path), field('Content', content)], async () => {
      const file = { path: bare(path.value), content: content.value };
      const isThere = await place.read(file.path).then(() => true, () => false);
      if (isThere) throw new Error(`/${file.path} is there already: choose it in the tree to edit or to replace it.`);
      return file;
    });
  });
  const newFolder = button('New folder', async () => {
    const input = pathInput(inside(''));
    if (!(await ask('New folder', 'Make', field('Path', input)))) return;
    const path = bare(input.value);
    await container.mkdir(path);
    await place.done(path, `Made /${path}.`);
  });
  const link = button('New link', async () => {
    const path = pathInput(inside(''));
    const target = h('input', { type: 'text', required: true, spellcheck: false });
    if (!(await ask('New symbolic link', 'Make', field('Path', path), field('Leads to', target)))) return;
    await container.symlink(bare(path.value), target.value);
    await place.done(bare(path.value), `Made /${bare(path.value)}.`);
  });

  /** Asks for a file, and writes it. Where that is refused, what was typed is there again. */
  async function typed(title: string, fields: Node[], file: () => Promise<FileToWrite>): Promise<void> {
    const refused = h('p', { className: 'wrong', attrs: { role: 'alert' } });
    while (await ask(title, 'Write', ...fields, refused)) {
      try {
        await write([await file()]);
        return;
      } catch (thrown) {
        refused.textContent = visible((thrown as Error).message);
      }
    }
  }

  async function write(files: FileToWrite[]): Promise<void> {
    await working.run((options) => container.write(files, options));
    const [first] = files;
    await place.done(first?.path, files.length === 1 ? `Wrote /${first?.path}.` : `Wrote ${files.length} files.`);
  }

  let running = 0;
  async function run(work: () => Promise<void>): Promise<void> {
    running += 1;
    try {
      await work();
      problems.clear();
    } catch (thrown) {
      problems.show(thrown);
    }
    running -= 1;
  }

  /** A path in the folder that new files go to. */
  function inside(name: string): string {
    const folder = place.folder();
    return folder === '' ? name : `${folder}/${name}`;
  }

  const own = h('div', { className: 'row', role: 'group', ariaLabel: 'Chosen file' }, edit, replace.label, replace.input, move, attributes, remove);

  return {
    element: h(
      'div',
      { className: 'edits' },
      h(
        'div',
        { className: 'row', role: 'group', ariaLabel: 'New files' },
        newFile,
        newFolder,
        link,
        ...[upload, folder, tar].flatMap(({ label, input }) => [label, input]),
        working.element,
      ),
      own,
    ),
    get isRunning() {
      return running > 0;
    },
    choose(now) {
      item = now?.change === 'deleted' ? undefined : now;
      const isFile = item?.file.kind === 'file';
      edit.disabled = !isFile || (item?.file.size ?? 0) > TEXT;
      replace.input.disabled = !isFile;
      for (const one of [move, attributes, remove]) one.disabled = item === undefined;
    },
    listen(target) {
      target.addEventListener('drop', (event) => {
        const items = [...(event.dataTransfer?.items ?? [])].filter(({ kind }) => kind === 'file');
        if (items.length === 0) return;
        // The page would open it, or keep it on the shelf.
        event.preventDefault();
        event.stopPropagation();
        dispatchEvent(new DragEvent('dragleave'));
        // They are gone when this is over.
        const dropped = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
        void run(async () => write((await Promise.all(dropped.map((one) => (one ? filesOf(one, inside(one.name)) : [])))).flat()));
      });
    },
  };
}

function pathInput(path: string): HTMLInputElement {
  return h('input', { type: 'text', value: `/${path}`, required: true, spellcheck: false, autocomplete: 'off' });
}

/** A path as it was typed, as the tree has it. */
function bare(path: string): string {
  const names: string[] = [];
  for (const name of path.trim().split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names.join('/');
}

/** A file, or all files of a folder. */
async function filesOf(entry: FileSystemEntry | File, path: string): Promise<FileToWrite[]> {
  if (entry instanceof File) return [{ path, content: entry }];
  if (entry.isFile) {
    const content = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path, content }];
  }
  const files: FileToWrite[] = [];
  const walk = async (folder: ReturnType<typeof droppedFolder>, path: string): Promise<void> => {
    for await (const [name, handle] of folder.entries()) {
      if (handle.kind === 'directory') await walk(handle as unknown as typeof folder, `${path}/${name}`);
      else files.push({ path: `${path}/${name}`, content: await (handle as FileSystemFileHandle).getFile() });
    }
  };
  await walk(droppedFolder(entry as FileSystemDirectoryEntry), path);
  return files;
}

