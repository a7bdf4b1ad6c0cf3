/** The files of an image: a section whose panes, with all that belongs to them, are loaded when it is first opened. */
import type { Archive, Image } from '../lib/index.js';
import { h } from './dom.js';
import * as problems from './problems.js';

/** `closed` says that the archive goes. */
export function filesSection(archive: Archive, image: Image, shortId: string, closed: AbortSignal): HTMLElement {
  const element = h('details', { className: 'files' }, h('summary', {}, 'Files'));
  let begun = false;
  element.ontoggle = async () => {
    if (!element.open || begun) return;
    begun = true;
    try {
      const { panes } = await import('./files/panes.js');
      if (!closed.aborted) element.append(panes(archive, image, shortId, closed));
    } catch (thrown) {
      // The next opening tries again.
      begun = false;
      problems.show(thrown);
    }
  };
  return element;
}
