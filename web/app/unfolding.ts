/** Sections whose content, with the scripts that make it, is loaded when they are first opened. */
import { h } from './dom.js';
import * as problems from './problems.js';

/** A section that can be opened. `load` gives its content, or nothing where that is no longer wanted. */
export function unfolding(className: string, title: string, load: () => Promise<HTMLElement | undefined>): HTMLDetailsElement {
  const element = h('details', { className }, h('summary', {}, title));
  let begun = false;
  element.ontoggle = async () => {
    if (!element.open || begun) return;
    begun = true;
    try {
      const content = await load();
      if (content) element.append(content);
    } catch (thrown) {
      // The next opening tries again.
      begun = false;
      problems.show(thrown);
    }
  };
  return element;
}
