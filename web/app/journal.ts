/** What was done, as commands and their answers: the newest first. */
import { h, visible } from './dom.js';

/** So many answers stay. */
const KEPT = 50;

export interface Journal {
  element: HTMLElement;
  /** Notes a command, the lines that it printed, and what else there is to show. */
  add(command: string, lines: readonly string[], ...more: HTMLElement[]): void;
  /** Notes a sentence. */
  say(sentence: string): void;
}

export function journal(): Journal {
  const element = h('div', { className: 'journal', ariaLabel: 'What was done', tabIndex: 0, attrs: { role: 'log' } });

  function put(...nodes: (Node | false)[]): void {
    element.prepend(h('div', {}, ...nodes));
    while (element.children.length > KEPT) element.lastElementChild?.remove();
  }

  return {
    element,
    add(command, lines, ...more) {
      put(
        h('code', { className: 'command' }, `$ ${visible(command)}`),
        lines.length > 0 && h('pre', {}, lines.map(visible).join('\n')),
        ...more,
      );
    },
    say: (sentence) => put(document.createTextNode(visible(sentence))),
  };
}
