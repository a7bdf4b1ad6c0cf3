/** Repairs: what can be done, what it would change, and doing it. */
import type { Archive, RepairProposal } from '../lib/index.js';
import { fill, h, quoted, renew } from './dom.js';
import * as problems from './problems.js';

export interface Repairs {
  element: HTMLElement;
  /** What was listed is of an archive that is no longer this one. */
  outdate(): void;
}

/** `repair` makes one repair of the archive. */
export function repairs(archive: Archive, repair: (proposal: RepairProposal) => Promise<unknown>): Repairs {
  const list = h('ul', { className: 'repairs', ariaLabel: 'Repairs' });
  const summary = h('summary', {}, 'Repairs');
  const element = h('details', {}, summary, list);
  let round = 0;

  async function show(): Promise<void> {
    const own = ++round;
    try {
      const proposals = await archive.repairs();
      if (own !== round) return;
      const nothing = h('li', { className: 'hint' }, 'There is nothing to repair.');
      renew(list, proposals.length > 0 ? proposals.map(item) : [nothing], summary);
    } catch (thrown) {
      if (own === round && element.isConnected) problems.show(thrown);
    }
  }

  function item(proposal: RepairProposal): HTMLElement {
    const entries = h('ul', {});
    const more = fill(entries, proposal.entries, (entry) => h('li', {}, h('code', {}, quoted(entry))));
    const button = h('button', { type: 'button' }, proposal.message);
    let isRunning = false;
    button.onclick = async () => {
      // Disabled, it would lose the focus.
      if (isRunning) return;
      isRunning = true;
      await repair(proposal);
      isRunning = false;
    };
    return h('li', {}, button, h('details', {}, h('summary', {}, 'What it changes'), entries, more));
  }

  element.ontoggle = () => {
    if (element.open) void show();
  };
  return { element, outdate: () => element.open && void show() };
}
