/** An open archive on the page. */
import type { Archive, Image, NameChange } from '../lib/index.js';
import { configTable } from './config.js';
import { announce, digest, h, quoted, visible } from './dom.js';
import { describe, type Editor } from './editor.js';
import { findingList } from './findings.js';
import { bytes, count, format, platform, when } from './format.js';
import { layerTable } from './layers.js';
import { names } from './names.js';
import * as problems from './problems.js';
import { renameForm } from './rename.js';
import { saving } from './saving.js';

/** Beyond so many images, only what is asked for is laid out at once. */
const FEW = 3;

export class ArchiveView implements Editor {
  readonly element: HTMLElement;
  readonly heading: HTMLElement;
  readonly archive: Archive;
  readonly #undo = h('button', { type: 'button' }, 'Undo');
  readonly #redo = h('button', { type: 'button' }, 'Redo');
  readonly #state = h('p', { className: 'state' });
  readonly #facts = h('p', { className: 'hint' });
  readonly #findings = h('div');
  readonly #findingsHeading = h('h3');
  readonly #saving;
  readonly #updates: ((images: readonly Image[]) => void)[] = [];
  #unsaved = false;

  constructor(archive: Archive) {
    this.archive = archive;
    this.heading = h('h2', { tabIndex: -1 }, quoted(archive.name));
    this.#saving = saving(archive, () => {
      this.#unsaved = false;
      this.#refresh();
    });
    this.#undo.onclick = () => void this.undo();
    this.#redo.onclick = () => void this.redo();
    const images = archive.images.map((image, index) => this.#image(image, index));
    this.element = h(
      'section',
      { className: 'archive', ariaLabel: `Archive ${visible(archive.name)}` },
      this.heading,
      this.#facts,
      h('div', { className: 'toolbar' }, this.#saving.element, h('div', { className: 'row' }, this.#undo, this.#redo, this.#state)),
      h('details', { className: 'rename-all' }, h('summary', {}, 'Rename all'), renameForm(this)),
      h('section', { className: 'odd', ariaLabel: 'What is odd' }, this.#findingsHeading, this.#findings),
      h('section', { ariaLabel: 'Images' }, ...images),
    );
    this.#refresh();
  }

  /** Whether there are edits that no saved file has. */
  get unsaved(): boolean {
    return this.#unsaved;
  }

  async edit(work: (archive: Archive) => Promise<NameChange[]>): Promise<boolean> {
    return this.#change(async () => {
      const changes = await work(this.archive);
      return { text: describe(changes), changed: changes.length > 0 };
    });
  }

  async undo(): Promise<void> {
    if (this.archive.undoable === 0) return;
    await this.#change(async () => (await this.archive.undo(), { text: 'Undone.', changed: true }));
  }

  async redo(): Promise<void> {
    if (this.archive.redoable === 0) return;
    await this.#change(async () => (await this.archive.redo(), { text: 'Done again.', changed: true }));
  }

  save(): Promise<void> {
    return this.#saving.save();
  }

  async #change(work: () => Promise<{ text: string; changed: boolean }>): Promise<boolean> {
    try {
      const { text, changed } = await work();
      problems.clear();
      this.#unsaved ||= changed;
      this.#refresh();
      this.#state.append(' ', h('span', { className: 'change' }, visible(text)));
      announce(text);
      return true;
    } catch (thrown) {
      problems.show(thrown);
      return false;
    }
  }

  #refresh(): void {
    const { archive } = this;
    const had = document.activeElement;
    this.#undo.disabled = archive.undoable === 0;
    this.#redo.disabled = archive.redoable === 0;
    // A button that was just pressed for the last time leaves the focus with its neighbour, not with nobody.
    if (had === this.#undo && this.#undo.disabled) this.#redo.focus();
    if (had === this.#redo && this.#redo.disabled) this.#undo.focus();
    if (archive.undoable === 0) this.#unsaved = false;
    this.#state.replaceChildren(this.#unsaved ? 'Unsaved edits.' : '');
    this.#facts.textContent =
      `${format(archive.format)}, ${count(archive.images.length, 'image')}, ${bytes(archive.size)}. ` +
      `Read ${bytes(archive.reads.bytes)} of it in ${count(archive.reads.count, 'read')}.`;
    this.#findingsHeading.textContent = `What is odd (${archive.findings.length})`;
    this.#findingsHeading.hidden = archive.findings.length === 0;
    this.#findings.replaceChildren(findingList(archive.findings));
    for (const update of this.#updates) update(archive.images);
  }

  #image(image: Image, index: number): HTMLElement {
    const shortId = image.id.replace('sha256:', '').slice(0, 12);
    const nameList = names(this, image, shortId);
    const title = h('h3');
    const setTitle = ({ references }: Image) => title.replaceChildren(references[0] === undefined ? shortId : quoted(references[0]));
    setTitle(image);
    this.#updates.push((images) => {
      const now = images[index];
      if (!now) return;
      setTitle(now);
      nameList.update(now);
    });
    const few = this.archive.images.length <= FEW;
    return h(
      'article',
      { className: 'image', ariaLabel: `Image ${shortId}` },
      title,
      nameList.element,
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
      section(`Layers and history (${count(image.layers.length, 'layer')}, ${bytes(image.size)})`, few, () => layerTable(image, shortId)),
    );
  }
}

function fact(name: string, value: Node | string): HTMLElement {
  return h('div', {}, h('dt', {}, name), h('dd', {}, value));
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
