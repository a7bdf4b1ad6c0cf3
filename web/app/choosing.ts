/** What to save: the format, the layers' packing, and which images. */
import { openArchive, type Archive, type Image, type LayerPacking, type SaveFormat, type SaveOptions } from '../lib/index.js';
import { fill, h, newId, quoted } from './dom.js';
import { bytes, platform, shortDigest } from './format.js';
import * as problems from './problems.js';

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
  /** What is chosen. */
  options(): SaveOptions<Archive>;
  /** Chooses a format. */
  choose(format: SaveFormat): void;
  /** The images are these now. */
  update(images: readonly Image[]): void;
}

/** `changed` is called with every choice: what was saved before is no longer what is chosen. */
export function choosing(archive: Archive, changed: () => void): Choosing {
  const format = select(FORMATS);
  const layers = select(PACKINGS);
  const gzip = h('input', { id: newId(), type: 'checkbox' });
  const boxes = new Map<number, HTMLInputElement>();
  const images = h('ul', { className: 'choices', ariaLabel: 'Images to save' });
  const pictures = h('details', {}, h('summary', {}, 'Which images'), images);
  const added: Archive[] = [];
  const addedList = h('ul', { className: 'choices', ariaLabel: 'Archives to add' });
  const add = h('input', { id: newId(), type: 'file', multiple: true });

  add.onchange = async () => {
    for (const file of add.files ?? []) {
      try {
        const other = await openArchive(file);
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
    add.value = '';
  };
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
      add,
    ),
    addedList,
    pictures,
  );

  return {
    element,
    options() {
      const chosen = [...boxes].filter(([, box]) => box.checked).map(([index]) => archive.images[index]).filter((image) => image !== undefined);
      const packing = layers.input.value as LayerPacking | '';
      return {
        format: format.input.value as SaveFormat,
        ...(packing && { layers: packing }),
        ...(gzip.checked && { gzip: true }),
        ...(chosen.length < boxes.size && { images: chosen.map(({ id, digest }) => digest ?? id) }),
        ...(added.length > 0 && { add: added }),
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
      if (boxes.size === now.length) return;
      boxes.clear();
      images.replaceChildren();
      fill(images, now, (image, index) => {
        const box = h('input', { id: newId(), type: 'checkbox', checked: true, onchange: () => changed() });
        boxes.set(index, box);
        const label = h('label', { htmlFor: box.id, className: 'check' }, box, ' ', quoted(image.references[0] ?? shortDigest(image.id)));
        return h('li', {}, label, h('span', { className: 'hint' }, ` ${platform(image.platform)}, ${bytes(image.size)}`));
      });
    },
  };
}

function select<T extends string>(choices: readonly (readonly [T, string])[]) {
  const options = choices.map(([value, text]) => h('option', { value }, text));
  return { input: h('select', { id: newId() }, ...options) };
}
