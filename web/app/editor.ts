/** What the parts of the page need to change the archive. */
import type { Archive, NameChange } from '../lib/index.js';

export interface Editor {
  readonly archive: Archive;
  /** The names that some image has. */
  readonly taken: ReadonlySet<string>;
  /** Makes an edit, shows what it changed or why it failed, and says whether it was made. */
  edit(work: (archive: Archive) => Promise<NameChange[]>): Promise<boolean>;
  /** Makes an edit of more than names, which gives the sentence that says what it did. */
  change(work: () => Promise<string>): Promise<boolean>;
}

/** What an edit changed, in a sentence. */
export function describe(changes: readonly NameChange[]): string {
  if (changes.length === 0) return 'Nothing changed: no name fits.';
  const [first] = changes;
  if (changes.length > 2 || !first) return `${changes.length} names changed.`;
  const removed = changes.find(({ to }) => to === undefined)?.from;
  const moved = changes.find(({ from, to }) => from === undefined && to === removed);
  if (removed !== undefined && moved) return `${removed} moved here from another image.`;
  return changes.map(one).join(' ');
}

function one({ from, to }: NameChange): string {
  if (from === undefined) return `Added ${to}.`;
  if (to === undefined) return `Removed ${from}.`;
  return `Renamed ${from} to ${to}.`;
}
