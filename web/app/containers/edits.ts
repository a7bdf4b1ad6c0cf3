/** Changing a container's files: by buttons, by questions, and by dropping files on the tree. */
import type { Container, FileToWrite } from '../../lib/index.js';
import { ask, field } from '../asking.js';
import { h, newId, visible } from '../dom.js';
import { droppedFolder } from '../dropped.js';
import type { Item } from '../files/branches.js';
import { count } from '../format.js';
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
  /** Nothing runs any more, whatever came of it. */
  idle(): void;
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
  let isPressed = false;
  const button = (text: string, work: () => Promise<void>) => {
    const one = h('button', { type: 'button' }, text);
    one.onclick = async () => {
      // The second of two clicks may come before the question that the first one asks.
      if (isPressed) return;
      isPressed = true;
      await run(work);
      isPressed = false;
    };
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
    // A text field has one kind of line ends, LF: others are put back, if all are the same.
    const end = text.includes('\r') ? '\r\n' : '\n';
    const lines = text.split(end);
    if (lines.some((line) => /[\r\n]/.test(line))) {
      await ask('Several line ends', 'Close', h('p', {}, 'The lines of the file end in several ways, which a text field would not keep. Replace it instead.'));
      return;
    }
    const input = h('textarea', { rows: 16, defaultValue: lines.join('\n'), spellcheck: false, className: 'code' });
    await asked(`Edit ${visible(`/${path}`)}`, 'Write', [field('Content', input)], async () => {
      if (input.value !== input.defaultValue) await write([{ path, content: input.value.replaceAll('\n', end) }]);
    });
  });
  const replace = picker('Replace', async ([file]) => {
    if (file && item) await write([{ path: item.file.path, content: file }]);
  });
  const move = button('Move', async () => {
    if (!item) return;
    const { path } = item.file;
    const input = pathInput(path);
    // As it is there: a field drops line breaks.
    const { value } = input;
    await asked('Move', 'Move', [field('To', input)], async () => {
      const to = bare(input.value);
      if (input.value === value || to === path) return;
      await assertFree(to);
      await container.move(path, to);
      await place.done(to, `Moved /${path} to /${to}.`);
    });
  });
  const attributes = button('Mode and owner', async () => {
    if (!item) return;
    const { path, mode, uid, gid } = item.file;
    const bits = h('input', { type: 'text', value: mode.toString(8).padStart(4, '0'), pattern: '[0-7]{1,4}', required: true });
    const numbers = [uid, gid].map((value) => h('input', { type: 'number', value: String(value), min: '0', required: true }));
    const [user, group] = numbers as [HTMLInputElement, HTMLInputElement];
    const fields = [field('Mode', bits, 'octal'), field('User', user), field('Group', group)];
    await asked(`Mode and owner of ${visible(`/${path}`)}`, 'Set', fields, async () => {
      const wanted = parseInt(bits.value, 8);
      const isAnother = user.valueAsNumber !== uid || group.valueAsNumber !== gid;
      if (isAnother) await container.chown(path, user.valueAsNumber, group.valueAsNumber);
      // With another owner, a program has lost its set-user-ID bit.
      if (isAnother || wanted !== mode) await container.chmod(path, wanted);
      await place.done(path, `Set mode and owner of /${path}.`);
    });
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
    await asked('New file', 'Write', [field('Path', path), field('Content', content)], async () => {
      const to = bare(path.value);
      await assertFree(to);
      await write([{ path: to, content: content.value }]);
    });
  });
  const newFolder = button('New folder', async () => {
    const input = pathInput(inside(''));
    await asked('New folder', 'Make', [field('Path', input)], async () => {
      const path = bare(input.value);
      await container.mkdir(path);
      await place.done(path, `Made /${path}.`);
    });
  });
  const link = button('New link', async () => {
    const path = pathInput(inside(''));
    const target = h('input', { type: 'text', required: true, spellcheck: false });
    await asked('New symbolic link', 'Make', [field('Path', path), field('Leads to', target)], async () => {
      const at = bare(path.value);
      await container.symlink(at, target.value);
      await place.done(at, `Made /${at}.`);
    });
  });

  /** Asks, and does what is wanted. Where that is refused, what was typed is there again. */
  async function asked(title: string, yes: string, fields: Node[], work: () => Promise<void>): Promise<void> {
    const refused = h('p', { className: 'wrong', attrs: { role: 'alert' } });
    while (await ask(title, yes, ...fields, refused)) {
      try {
        await work();
        return;
      } catch (thrown) {
        refused.textContent = visible((thrown as Error).message);
      }
    }
  }

  /** Fails where a file would be replaced without a word. */
  async function assertFree(path: string): Promise<void> {
    const isThere = await place.read(path).then(() => true, () => false);
    if (isThere) throw new Error(`/${path} is there already: choose another path, or delete it first.`);
  }

  /** Writes files, and makes the folders that nothing is in. */
  async function write(files: FileToWrite[], folders: string[] = []): Promise<void> {
    await working.run(async (options) => {
      if (files.length > 0) await container.write(files, options);
      for (const path of folders) await container.mkdir(path, { parents: true });
    });
    const path = files[0]?.path ?? folders[0];
    const empty = folders.length > 0 ? ` and ${count(folders.length, 'empty folder')}` : '';
    await place.done(path, files.length + folders.length === 1 ? `Wrote /${path}.` : `Wrote ${count(files.length, 'file')}${empty}.`);
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
    if (running === 0) place.idle();
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
      for (const one of [move, remove]) one.disabled = item === undefined;
      // What a link leads to would get them.
      attributes.disabled = item === undefined || item.file.kind === 'symlink';
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
        void run(async () => {
          const found: Found = { files: [], folders: [] };
          for (const one of dropped) if (one) await gather(one, inside(one.name), found);
          await write(found.files, found.folders);
        });
      });
    },
  };
}

function pathInput(path: string): HTMLInputElement {
  return h('input', { type: 'text', value: `/${path}`, required: true, spellcheck: false, autocomplete: 'off' });
}

/** A path as it was typed, as the tree has it. A name may begin and end with spaces. */
function bare(path: string): string {
  const names: string[] = [];
  for (const name of path.split('/')) {
    if (name === '..') names.pop();
    else if (name !== '' && name !== '.') names.push(name);
  }
  return names.join('/');
}

/** What was dropped: files, and the folders that nothing is in. */
interface Found {
  files: FileToWrite[];
  folders: string[];
}

/** Finds a file, or all that is in a folder. */
async function gather(entry: FileSystemEntry | File, path: string, found: Found): Promise<void> {
  const walk = async (folder: ReturnType<typeof droppedFolder>, path: string): Promise<void> => {
    let isEmpty = true;
    for await (const [name, handle] of folder.entries()) {
      isEmpty = false;
      if (handle.kind === 'directory') await walk(handle as unknown as typeof folder, `${path}/${name}`);
      else found.files.push({ path: `${path}/${name}`, content: await (handle as FileSystemFileHandle).getFile() });
    }
    if (isEmpty) found.folders.push(path);
  };
  if (!(entry instanceof File) && entry.isDirectory) return walk(droppedFolder(entry as FileSystemDirectoryEntry), path);
  const content = entry instanceof File ? entry : await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
  found.files.push({ path, content });
}
