/** An open archive on the page. */
import type { Archive, NameChange } from '../lib/index.js';
import { announce, h, quoted, visible } from './dom.js';
import { describe, type Editor } from './editor.js';
import { findingList } from './findings.js';
import { bytes, count, format } from './format.js';
import { imageList } from './image-list.js';
import { imageView } from './image-view.js';
import { otherList } from './others.js';
import * as problems from './problems.js';
import { pushing } from './pushing.js';
import { readers } from './readers.js';
import type { RenameForm } from './renaming/form.js';
import { repairs } from './repairs.js';
import { saving } from './saving.js';
import { unfolding } from './unfolding.js';
import { verifying } from './verifying.js';

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
  #rename: RenameForm | undefined;
  readonly #verifying;
  readonly #readers;
  readonly #repairs;
  readonly #pushing;
  readonly #others = h('div');
  readonly #images;
  readonly #closing = new AbortController();
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
    this.#verifying = verifying(archive, (isCurrent) => this.#readers.refresh(isCurrent));
    this.#readers = readers(archive, this.#saving.choose);
    this.#repairs = repairs(archive, ({ repair, message }) =>
      this.change(async () => {
        await archive.repair([repair]);
        return `Done: ${message}`;
      }),
    );
    this.#pushing = pushing(archive);
    this.#images = imageList((image) => imageView(this, image, this.#closing.signal), this.heading);
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
      unfolding('rename-all', 'Rename all', async () => {
        const { renameForm } = await import('./renaming/form.js');
        return (this.#rename = renameForm(this)).element;
      }),
      h('section', { className: 'odd', ariaLabel: 'What is odd' }, this.#findingsHeading, this.#findings),
      this.#verifying.element,
      this.#repairs.element,
      this.#readers.element,
      this.#pushing.element,
      this.#images.element,
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
  }

  /** Whether there are edits that no saved file has, or one is being saved. */
  get unsaved(): boolean {
    return this.#isEdited || this.#saving.isRunning;
  }

  get #isEdited(): boolean {
    return !this.#kept.has(this.state);
  }

  /** A number for what the archive is now, which no other state of any archive has. */
  get state(): number {
    return this.#states[this.archive.undoable] ?? 0;
  }

  async edit(work: (archive: Archive) => Promise<NameChange[]>): Promise<boolean> {
    return this.#run(async () => {
      const changes = await work(this.archive);
      if (changes.length > 0) this.#mark();
      return describe(changes);
    });
  }

  async change(work: () => Promise<string>): Promise<boolean> {
    return this.#run(async () => {
      const text = await work();
      this.#mark();
      return text;
    });
  }

  /** What the archive is now is a state of its own. */
  #mark(): void {
    this.#states.splice(this.archive.undoable, Infinity, ++lastState);
  }

  async undo(): Promise<void> {
    if (this.archive.undoable === 0) return;
    await this.#run(async () => (await this.archive.undo(), 'Undone.'));
  }

  async redo(): Promise<void> {
    if (this.archive.redoable === 0) return;
    await this.#run(async () => (await this.archive.redo(), 'Done again.'));
  }

  save(): Promise<void> {
    return this.#saving.save();
  }

  /** Shows what came of it, and what the archive is now. */
  async #run(work: () => Promise<string>): Promise<boolean> {
    const before = this.state;
    try {
      const text = await work();
      problems.clear();
      this.#refresh();
      if (this.state !== before) {
        this.#saving.outdate();
        this.#rename?.outdate();
        this.#verifying.outdate();
        this.#readers.refresh();
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
    this.#images.update(archive.images);
  }

  #showState(text: string): void {
    this.#state.replaceChildren(this.#isEdited ? 'Unsaved edits. ' : '', h('span', { className: 'change' }, visible(text)));
  }
}
