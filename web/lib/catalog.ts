/** A store's catalog as it is now, whoever else changes it: asked about, changed, and changed back. */
import { newHandle } from './checks.js';
import { LongshoreError } from './errors.js';
import type { Keeping } from './keeping.js';
import type { Backend, EngineChange, Question, RowChange, Verb, Verbs } from './protocol.js';

/** How often something begins again because others changed the store meanwhile. */
export const TRIES = 1000;
/** How many changes can be undone. */
const UNDOABLE = 100;

/** The verbs whose result is a change. */
export type ChangeVerb = { [V in Verb]: Verbs[V]['result'] extends EngineChange ? V : never }[Verb];

/** A change that can be undone: `before` and `after` are the catalog's revisions. */
interface Undo {
  before: number;
  after: number;
  inverse: RowChange;
}

/** The engine has the rules, what keeps the rows has the revision: this brings the two together. */
export class LiveCatalog {
  readonly #handle = newHandle();
  readonly #backend: Backend;
  readonly #keeping: Keeping<unknown>;
  readonly #told: (revision: number) => void;
  #undo: Undo[] = [];
  #isShut = false;

  /** `told` is called with each revision that is made here. */
  constructor(backend: Backend, keeping: Keeping<unknown>, told: (revision: number) => void) {
    this.#backend = backend;
    this.#keeping = keeping;
    this.#told = told;
  }

  /** Asks the engine about the catalog as it is now; fails with `closed` where it is shut. */
  async asked<V extends Verb>(verb: V, args: Verbs[V]['args']): Promise<{ revision: number; result: Verbs[V]['result'] }> {
    if (this.#isShut) throw new LongshoreError('closed', 'The store is closed.');
    const question = { verb, args } as Question;
    const catalog = this.#handle;
    const revision = await this.#keeping.revision();
    const answer = await this.#backend.call('engine', { catalog, revision, question });
    if (!answer.stale) return { revision, result: answer.result as Verbs[V]['result'] };
    const read = await this.#keeping.rows();
    const second = await this.#backend.call('engine', { catalog, ...read, question });
    if (second.stale) throw contended();
    return { revision: read.revision, result: second.result as Verbs[V]['result'] };
  }

  /** The same, where the revision is of no interest. */
  async ask<V extends Verb>(verb: V, args: Verbs[V]['args']): Promise<Verbs[V]['result']> {
    return (await this.asked(verb, args)).result;
  }

  /** Asks the engine for a change, and makes it. */
  async change<V extends ChangeVerb>(verb: V, args: Verbs[V]['args']): Promise<Verbs[V]['result']> {
    for (let tries = 0; tries < TRIES; tries += 1) {
      const { revision, result } = await this.asked(verb, args);
      if (await this.make(revision, result)) return result;
    }
    throw contended();
  }

  /** Makes a change that was planned for a revision; `false` where the catalog is of another by now, or a blob is not here. */
  async make(revision: number, change: EngineChange): Promise<boolean> {
    if (isEmpty(change)) return true;
    const outcome = await this.#keeping.commit(revision, change, change.needs);
    if (typeof outcome !== 'number') return false;
    if (this.#undo.at(-1)?.after !== revision) this.#undo = [];
    this.#undo.push({ before: revision, after: outcome, inverse: change.inverse });
    if (this.#undo.length > UNDOABLE) this.#undo.shift();
    await this.#applied(revision, change, outcome);
    return true;
  }

  /** How many changes can be taken back. */
  get undoable(): number {
    return this.#undo.length;
  }

  /** Nothing can be taken back any more. */
  forget(): void {
    this.#undo = [];
  }

  /** Takes the last change back; fails with `store-changed` where that cannot be any more. */
  async undo(): Promise<void> {
    const last = this.#undo.at(-1);
    if (!last) return;
    const outcome = await this.#keeping.commit(last.after, last.inverse, []);
    if (typeof outcome !== 'number') {
      this.forget();
      throw new LongshoreError('store-changed', 'The store was changed meanwhile: this can no longer be undone.');
    }
    this.#undo.pop();
    // The catalog is again what it was before.
    const before = this.#undo.at(-1);
    if (before?.after === last.before) before.after = outcome;
    else this.forget();
    await this.#applied(last.after, last.inverse, outcome);
  }

  /** Blobs were removed, which made another revision; `isOwn`: those of a load that failed, so nothing that was here before it. */
  async swept(before: number, after: number, isOwn: boolean): Promise<void> {
    if (after === before) return;
    const last = this.#undo.at(-1);
    if (isOwn && last?.after === before) last.after = after;
    else this.forget();
    await this.#applied(before, { put: [], delete: [] }, after);
  }

  /** Lets the engine forget it. */
  async shut(): Promise<void> {
    this.#isShut = true;
    this.#keeping.close();
    await this.#backend.call('shut', { catalog: this.#handle });
  }

  /** Tells the engine and everybody else of a change that was made. */
  async #applied(before: number, { put, delete: gone }: RowChange, after: number): Promise<void> {
    const question: Question = { verb: 'apply', args: [{ put, delete: gone }, after] };
    this.#keeping.announce(after);
    await this.#backend.call('engine', { catalog: this.#handle, revision: before, question });
    this.#told(after);
  }
}

function isEmpty(change: RowChange): boolean {
  return change.put.length === 0 && change.delete.length === 0;
}

/** What fails that was tried often enough. */
export function contended(): LongshoreError {
  return new LongshoreError('store-changed', 'The store is changed all the time by others. Try again.');
}
