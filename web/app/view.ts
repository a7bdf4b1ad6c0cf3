/** An open archive on the page. */
import type { Archive, ConfigChanges, Image, NameChange } from '../lib/index.js';
import { configForm } from './config-form.js';
import { configTable } from './config.js';
import { announce, digest, h, quoted, renew, visible } from './dom.js';
import { describe, type Editor } from './editor.js';
import { filesSection } from './files.js';
import { findingList } from './findings.js';
import { bytes, count, format, platform, when } from './format.js';
import { layerTable } from './layers.js';
import { names } from './names.js';
import { otherList } from './others.js';
import * as problems from './problems.js';
import { pushing } from './pushing.js';
import { readers } from './readers.js';
import { renameForm } from './rename.js';
import { repairs } from './repairs.js';
import { saving } from './saving.js';
import { verifying } from './verifying.js';

/** Beyond so many images, only what is asked for is laid out at once. */
const FEW = 3;

/** So many images are added to the page before it gets a breath. */
const BATCH = 50;

let lastState = 0;

export class ArchiveView implements Editor {
  readonly element: HTMLElement;
  readonly heading: HTMLElement;
  readonly archive: Archive;
  taken: ReadonlySet<string> = new Set();
  readonly #undo = h('button', { type: 'button', title: 'Ctrl+Z' }, 'Undo');
  readonly #redo = h('button', { type: 'button', title: 'Ctrl+Y' }, 'Redo');
  readonly #state = h('p', { className: 'state' });
  readonly #facts = h('p', { className: 'hint' });
  readonly #findings = h('div');
  readonly #findingsHeading = h('h3');
  readonly #saving;
  readonly #rename = renameForm(this);
  readonly #verifying;
  readonly #readers;
  readonly #repairs;
  readonly #pushing;
  readonly #others = h('div');
  readonly #images = h('section', { ariaLabel: 'Images' });
  /** The images that are laid out. */
  #shown: string | undefined;
  readonly #closing = new AbortController();
  readonly #updates: ((images: readonly Image[]) => void)[] = [];
  /** A number for each state that undo and redo lead through, and those that some file has: the opened one first. */
  readonly #states = [++lastState];
  readonly #kept = new Set(this.#states);

  /** `keep` puts the archive as it is then on the shelf. */
  constructor(archive: Archive, keep: () => Promise<void>) {
    this.archive = archive;
    this.heading = h('h2', { tabIndex: -1 }, quoted(archive.name));
    this.#saving = saving(archive, () => {
      const { state } = this;
      return () => {
        this.#kept.add(state);
        this.#showState('');
      };
    });
    this.#verifying = verifying(archive);
    this.#readers = readers(archive, this.#saving.choose);
    this.#repairs = repairs(archive, ({ repair, message }) =>
      this.#change(async () => {
        await archive.repair([repair]);
        this.#mark();
        return `Done: ${message}`;
      }),
    );
    this.#pushing = pushing(archive);
    this.#undo.onclick = () => void this.undo();
    this.#redo.onclick = () => void this.redo();
    const shelve = h('button', { type: 'button' }, 'Keep on the shelf');
    shelve.onclick = () => void keep();
    this.element = h(
      'section',
      { className: 'archive', ariaLabel: `Archive ${visible(archive.name)}` },
      this.heading,
      this.#facts,
      this.#saving.element,
      h('div', { className: 'row' }, shelve),
      h('div', { className: 'bar row' }, this.#undo, this.#redo, this.#state),
      h('details', { className: 'rename-all' }, h('summary', {}, 'Rename all'), this.#rename.element),
      h('section', { className: 'odd', ariaLabel: 'What is odd' }, this.#findingsHeading, this.#findings),
      this.#verifying.element,
      this.#repairs.element,
      this.#readers.element,
      this.#pushing.element,
      this.#images,
      this.#others,
    );
    this.#refresh();
  }

  /** Stops what runs and lets go of the archive. */
  close(): void {
    this.#closing.abort();
    this.#verifying.stop();
    this.#pushing.stop();
    this.#saving.close();
    this.archive.close().catch(() => {});
  }

  /** Lays the images out, and again where a repair changed more of them than their names. */
  #layOut(): void {
    const shown = this.archive.images.map(({ id, digest, layers }) => `${id} ${digest} ${layers.length}`).join('\n');
    if (shown === this.#shown) return;
    this.#shown = shown;
    this.#updates.length = 0;
    renew(this.#images, [], this.heading);
    void this.#addImages(shown);
  }

  async #addImages(shown: string): Promise<void> {
    for (let start = 0; start < this.archive.images.length; start += BATCH) {
      // Edits may have been made since the last batch.
      const batch = this.archive.images.slice(start, start + BATCH);
      this.#images.append(...batch.map((image, index) => this.#image(image, start + index)));
      await new Promise((resolve) => setTimeout(resolve));
      if (!this.element.isConnected || this.#shown !== shown) return;
    }
  }

  /** Whether there are edits that no saved file has. */
  get unsaved(): boolean {
    return !this.#kept.has(this.state);
  }

  /** A number for what the archive is now, which no other state of any archive has. */
  get state(): number {
    return this.#states[this.archive.undoable] ?? 0;
  }

  async edit(work: (archive: Archive) => Promise<NameChange[]>): Promise<boolean> {
    return this.#change(async () => {
      const changes = await work(this.archive);
      if (changes.length > 0) this.#mark();
      return describe(changes);
    });
  }

  /** What the archive is now is a state of its own. */
  #mark(): void {
    this.#states.splice(this.archive.undoable, Infinity, ++lastState);
  }

  async undo(): Promise<void> {
    if (this.archive.undoable === 0) return;
    await this.#change(async () => (await this.archive.undo(), 'Undone.'));
  }

  async redo(): Promise<void> {
    if (this.archive.redoable === 0) return;
    await this.#change(async () => (await this.archive.redo(), 'Done again.'));
  }

  save(): Promise<void> {
    return this.#saving.save();
  }

  async #change(work: () => Promise<string>): Promise<boolean> {
    const before = this.state;
    try {
      const text = await work();
      problems.clear();
      this.#refresh();
      if (this.state !== before) {
        this.#saving.outdate();
        this.#rename.outdate();
        this.#verifying.outdate();
        this.#readers.outdate();
        this.#repairs.outdate();
      }
      this.#showState(text);
      announce(visible(text));
      return true;
    } catch (thrown) {
      problems.show(thrown);
      return false;
    }
  }

  #configure({ id }: Image, changes: ConfigChanges): Promise<boolean> {
    return this.#change(async () => {
      const [now = id] = await this.archive.edit(id, changes);
      this.#mark();
      return `Changed the config: the image is ${now.replace('sha256:', '').slice(0, 12)} now.`;
    });
  }

  #refresh(): void {
    const { archive } = this;
    const had = document.activeElement;
    this.#undo.disabled = archive.undoable === 0;
    this.#redo.disabled = archive.redoable === 0;
    // A button that was just pressed for the last time leaves the focus with its neighbour, not with nobody.
    if (had === this.#undo && this.#undo.disabled) this.#redo.focus();
    if (had === this.#redo && this.#redo.disabled) this.#undo.focus();
    this.taken = new Set(archive.images.flatMap(({ references }) => references));
    this.#facts.textContent =
      `${format(archive.format)}, ${count(archive.images.length, 'image')}, ${bytes(archive.size)}. ` +
      `${bytes(archive.reads.bytes)} were read, in ${count(archive.reads.count, 'piece')}.`;
    this.#findingsHeading.textContent = `What is odd (${archive.findings.length})`;
    this.#findingsHeading.hidden = archive.findings.length === 0;
    this.#findings.replaceChildren(findingList(archive.findings));
    const others = otherList(archive.others);
    others.open = this.#others.querySelector('details')?.open ?? false;
    this.#others.replaceChildren(others);
    this.#saving.update(archive.images);
    this.#pushing.update(archive.images);
    this.#layOut();
    for (const update of this.#updates) update(archive.images);
  }

  #showState(text: string): void {
    this.#state.replaceChildren(this.unsaved ? 'Unsaved edits. ' : '', h('span', { className: 'change' }, visible(text)));
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
    const remove = h('button', { type: 'button' }, 'Remove from the archive');
    remove.ariaLabel = `Remove from the archive: image ${shortId}`;
    remove.onclick = () =>
      void this.#change(async () => {
        // By ID it is this one, unless others share its names: then by one of those.
        const now = this.archive.images[index] ?? image;
        await this.archive.remove((now.index !== undefined && now.references[0]) || now.id);
        this.#mark();
        return `Removed the image ${shortId} and what only it needed.`;
      });
    const article = h(
      'article',
      { className: 'image', ariaLabel: `Image ${shortId}` },
      title,
      nameList.element,
      this.archive.images.length > 1 && h('p', { className: 'row' }, remove),
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
      this.archive.format !== 'docker-v1' && section('Edit the config', false, () => configForm(image, (changes) => this.#configure(image, changes))),
      section(`Layers and history (${count(image.layers.length, 'layer')}, ${bytes(image.size)})`, few, () => layerTable(image, shortId)),
      filesSection(this.archive, image, shortId, this.#closing.signal, (work) =>
        this.#change(async () => {
          const text = await work();
          this.#mark();
          return text;
        }),
      ),
    );
    whenNear(article, nameList.suggest);
    return article;
  }
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
