/** An image of an open archive on the page: its names, its facts, and sections for all else, laid out when they are opened. */
import type { Image } from '../lib/index.js';
import { configTable } from './config.js';
import { digest, fact, h, quoted } from './dom.js';
import type { Editor } from './editor.js';
import { filesSection } from './files.js';
import { bytes, count, platform, shortDigest, when } from './format.js';
import type { ImageView } from './image-list.js';
import { layerTable } from './layers.js';
import { names } from './names.js';
import { unfolding } from './unfolding.js';

/** Of an archive with more images than this, only what is asked for is laid out. */
const FEW = 3;

/** `closed` says that the archive goes. */
export function imageView(editor: Editor, image: Image, closed: AbortSignal): ImageView {
  const { archive } = editor;
  const shortId = shortDigest(image.id);
  const nameList = names(editor, image, shortId);
  const title = h('h3');
  const remove = h('button', { type: 'button', onclick: () => void removeIt(), ariaLabel: `Remove from the archive: image ${shortId}` }, 'Remove from the archive');
  const removing = h('p', { className: 'row' }, remove);
  let now: Image;

  function update(image: Image): void {
    now = image;
    removing.hidden = archive.images.length < 2;
    const [name] = now.references;
    title.replaceChildren(name === undefined ? shortId : quoted(name));
    nameList.update(now);
  }

  const removeIt = () =>
    editor.change(async () => {
      // By ID it is this one, unless others share its names: then by one of those.
      await archive.remove((now.index !== undefined && now.references[0]) || now.id);
      return `Removed the image ${shortId} and what only it needed.`;
    });
  const few = archive.images.length <= FEW;
  const configSection = unfolding('config', 'Edit the config', async () => {
    const { configForm } = await import('./config-form.js');
    return configForm(image, (changes) =>
      editor.change(async () => {
        const [changed = image.id] = await archive.edit(image.id, changes);
        return `Changed the config: the image is ${shortDigest(changed)} now.`;
      }),
    );
  });
  update(image);
  const element = h(
    'article',
    { className: 'image', ariaLabel: `Image ${shortId}` },
    title,
    nameList.element,
    removing,
    h(
      'dl',
      { className: 'facts short' },
      fact('ID', digest(image.id, 'image ID')),
      image.digest !== undefined && fact('Manifest digest', digest(image.digest, 'manifest digest')),
      fact('Platform', quoted(platform(image.platform))),
      fact('Created', when(image.created)),
      fact('Size', bytes(image.size)),
      image.author !== undefined && fact('Author', quoted(image.author)),
    ),
    section('Config', few, () => configTable(image.config)),
    archive.format !== 'docker-v1' && configSection,
    section(`Layers and history (${count(image.layers.length, 'layer')}, ${bytes(image.size)})`, few, () => layerTable(image, shortId)),
    filesSection(archive, image, shortId, closed, (work) => editor.change(work)),
  );
  whenNear(element, nameList.suggest);
  return { element, update };
}

/** Calls back once, when an element is in sight or some screens away. */
function whenNear(element: HTMLElement, callback: () => void): void {
  const observer = new IntersectionObserver(
    (entries) => {
      if (!entries.some(({ isIntersecting }) => isIntersecting)) return;
      observer.disconnect();
      callback();
    },
    { rootMargin: '4000px' },
  );
  observer.observe(element);
}

/** A part that is laid out when it is first opened. */
function section(title: string, open: boolean, content: () => HTMLElement): HTMLElement {
  const details = h('details', {}, h('summary', {}, title));
  const fill = () => {
    if (details.open && details.children.length === 1) details.append(content());
  };
  details.ontoggle = fill;
  details.open = open;
  fill();
  return details;
}
