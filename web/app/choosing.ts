/** What to save: the format, the layers' packing, and which images. */
import { LongshoreError, openArchive, type Archive, type Image, type LayerPacking, type SaveFormat, type SaveOptions } from '../lib/index.js';
import { fill, h, newId, quoted } from './dom.js';
import { bytes, platform, shortDigest } from './format.js';
import * as problems from './problems.js';
import { task } from './task.js';

const FORMATS: [SaveFormat, string][] = [
  ['same', 'As it is'],
  ['docker', 'docker: what Docker 25 and later save'],
  ['docker-legacy', 'docker-legacy: for Docker up to 24'],
  ['oci', 'oci: an OCI image layout'],
];

const PACKINGS: [LayerPacking | '', string][] = [
  ['', 'As they are'],
  ['none', 'Not compressed'],
  ['gzip', 'gzip'],
  ['zstd', 'zstd'],
];

export interface Choosing {
  element: HTMLElement;
  /** What is chosen; fails where that is nothing. */
  options(): SaveOptions<Archive>;
  /** Chooses a format. */
  choose(format: SaveFormat): void;
  /** Whether the whole file is to be packed. */
  isPacked(): boolean;
  /** The images are these now. */
  update(images: readonly Image[]): void;
  /** Stops what runs; what it gives lets go of the archives that were added. */
  close(): () => void;
}

/** `changed` is called with every choice: what was saved before is no longer what is chosen. */
export function choosing(archive: Archive, changed: () => void): Choosing {
  const format = select(FORMATS);
  const layers = select(PACKINGS);
  const gzip = h('input', { id: newId(), type: 'checkbox' });
  /** The images that are left out, by what they are called in {@link identity}. */
  const left = new Set<string>();
  let former: string[] = [];
  let shown = '';
  const images = h('ul', { className: 'choices', ariaLabel: 'Images to save' });
  const pictures = h('details', {}, h('summary', {}, 'Which images'));
  const added: Archive[] = [];
  const addedList = h('ul', { className: 'choices', ariaLabel: 'Archives to add' });
  const add = h('input', { id: newId(), type: 'file', multiple: true });
  const work = task('Reading', add);
  let isClosed = false;

  add.onchange = async () => {
    const files = [...(add.files ?? [])];
    add.value = '';
    for (const file of files) {
      if (isClosed) return;
      try {
        const other = await work.run((options) => openArchive(file, options));
        if (isClosed) {
          void other.close();
          return;
        }
        added.push(other);
        const remove = h('button', { type: 'button', ariaLabel: `Leave out ${other.name}` }, '×');
        const item = h('li', {}, quoted(other.name), ' ', remove);
        remove.onclick = () => {
          item.remove();
          added.splice(added.indexOf(other), 1);
          void other.close();
          add.focus();
          changed();
        };
        addedList.append(item);
        problems.clear();
        changed();
      } catch (thrown) {
        problems.show(thrown, file.name);
      }
    }
  };
  /** An image that was edited is another one, in the same place: it is left out where that was. */
  function carry(now: string[]): void {
    const known = new Set(now.length === former.length ? former : now);
    for (const [index, name] of now.entries()) {
      if (known.has(name)) continue;
      if (left.has(former[index] ?? '')) left.add(name);
      else left.delete(name);
    }
    former = now;
  }

  for (const input of [format.input, layers.input, gzip]) input.onchange = () => changed();

  const element = h(
    'details',
    { className: 'choosing' },
    h('summary', {}, 'Format and images'),
    h(
      'div',
      { className: 'fields' },
      h('label', { htmlFor: format.input.id }, 'Format'),
      format.input,
      h('label', { htmlFor: layers.input.id }, 'Layers'),
      layers.input,
      h('span', {}),
      h('label', { htmlFor: gzip.id, className: 'check' }, gzip, ' gzip the whole file'),
      h('label', { htmlFor: add.id }, 'Add the images of'),
      h('div', { className: 'row' }, add, work.element),
    ),
    addedList,
    pictures,
  );

  return {
    element,
    options() {
      const all = archive.images.map(identity);
      const chosen = all.filter((name) => !left.has(name));
      if (chosen.length === 0) throw new LongshoreError('no-such-image', 'No image is chosen.');
      const packing = layers.input.value as LayerPacking | '';
      return {
        format: format.input.value as SaveFormat,
        ...(packing && { layers: packing }),
        ...(gzip.checked && { gzip: true }),
        ...(chosen.length < all.length && { images: chosen }),
        ...(added.length > 0 && { add: [...added] }),
      };
    },
    choose(value) {
      format.input.value = value;
      (element as HTMLDetailsElement).open = true;
      format.input.focus();
      changed();
    },
    update(now) {
      pictures.hidden = now.length < 2;
      carry(now.map(identity));
      const labels = now.map((image) => image.references[0] ?? shortDigest(image.id));
      const wanted = now.map((image, index) => `${identity(image)} ${labels[index]}`).join('\n');
      if (wanted === shown) return;
      shown = wanted;
      const focused = [...images.children].findIndex((item) => item.contains(document.activeElement));
      images.replaceChildren();
      const more = fill(images, now, (image, index) => {
        const name = identity(image);
        const box = h('input', { id: newId(), type: 'checkbox', checked: !left.has(name) });
        box.onchange = () => {
          if (box.checked) left.delete(name);
          else left.add(name);
          changed();
        };
        const label = h('label', { htmlFor: box.id, className: 'check' }, box, ' ', quoted(labels[index] ?? ''));
        return h('li', {}, label, h('span', { className: 'hint' }, ' ', quoted(platform(image.platform)), `, ${bytes(image.size)}`));
      });
      pictures.replaceChildren(h('summary', {}, 'Which images'), images, ...(more ? [more] : []));
      images.children[focused]?.querySelector('input')?.focus();
    },
    isPacked: () => gzip.checked,
    close() {
      isClosed = true;
      work.stop();
      return () => added.forEach((other) => void other.close());
    },
  };
}

/** What is only this image, whatever it is tagged. */
export function identity({ id, digest }: Image): string {
  return digest ?? id;
}

function select<T extends string>(choices: readonly (readonly [T, string])[]) {
  const options = choices.map(([value, text]) => h('option', { value }, text));
  return { input: h('select', { id: newId() }, ...options) };
}
