/** Whether every byte of the archive is what its digests say. */
import type { Archive } from '../lib/index.js';
import { announce, h } from './dom.js';
import * as problems from './problems.js';
import { task } from './task.js';

export interface Verifying {
  element: HTMLElement;
  /** Takes away a verdict on an archive that is no longer this one. */
  outdate(): void;
  stop(): void;
}

/** `verified` is called when there is a report, with whether it is of the archive as it is now. */
export function verifying(archive: Archive, verified: (isCurrent: boolean) => void): Verifying {
  const button = h('button', { type: 'button' }, 'Verify every byte');
  const result = h('div', { className: 'report' });
  const work = task('Verifying', button);
  let round = 0;

  button.onclick = async () => {
    const own = ++round;
    result.replaceChildren();
    try {
      const report = await work.run((options) => archive.verify(options));
      const { reportNodes, verdictOf } = await import('./verifying/report.js');
      const note = own !== round && h('p', { className: 'hint' }, 'This is of the archive as it was before it was edited.');
      result.replaceChildren(...(note ? [note] : []), ...reportNodes(archive, report));
      verified(own === round);
      problems.clear();
      announce(verdictOf(report));
    } catch (thrown) {
      problems.show(thrown);
    }
  };

  return {
    element: h('section', { className: 'verify', ariaLabel: 'Verify' }, h('div', { className: 'row' }, button, work.element), result),
    outdate() {
      round += 1;
      result.replaceChildren();
    },
    stop: work.stop,
  };
}
