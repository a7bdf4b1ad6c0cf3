/** What was done, as commands and their answers: the newest first. */
import { LongshoreError, type ErrorCode } from '../lib/index.js';
import { announce, h, visible } from './dom.js';

/** So many answers stay. */
const KEPT = 50;

/** What Docker refuses, in its words. All else is Longshore's own. */
const DOCKERS: readonly ErrorCode[] = [
  'ambiguous-container',
  'ambiguous-image',
  'image-in-use',
  'invalid-argument',
  'invalid-reference',
  'name-in-use',
  'no-such-container',
  'no-such-image',
];

export interface Journal {
  element: HTMLElement;
  /** Notes a command, the lines that it printed, and what else there is to show. */
  add(command: string, lines: readonly string[], ...more: HTMLElement[]): void;
  /** Notes a command and what came of it, or what Docker would refuse it with; other failures are the caller's. */
  answered(command: string, work: () => Promise<Answer>): Promise<void>;
  /** Notes a sentence. */
  say(sentence: string): void;
}

/** What a command printed, and what else there is to show. */
export interface Answer {
  lines: readonly string[];
  more?: HTMLElement[];
}

/** Docker's refusal, as its command line prints it. */
export function refusal(message: string): HTMLElement {
  announce(visible(message));
  return h('span', { className: 'wrong' }, `Error response from daemon: ${visible(message)}`);
}

export function journal(): Journal {
  const element = h('div', { className: 'journal', ariaLabel: 'What was done', tabIndex: 0, attrs: { role: 'log' } });

  function put(...nodes: (Node | false)[]): void {
    element.prepend(h('div', {}, ...nodes));
    while (element.children.length > KEPT) element.lastElementChild?.remove();
  }

  function add(command: string, lines: readonly string[], ...more: HTMLElement[]): void {
    put(
      h('code', { className: 'command' }, `$ ${visible(command)}`),
      lines.length > 0 && h('pre', {}, lines.map(visible).join('\n')),
      ...more,
    );
  }

  return {
    element,
    add,
    async answered(command, work) {
      try {
        const { lines, more = [] } = await work();
        add(command, lines, ...more);
      } catch (thrown) {
        if (!(thrown instanceof LongshoreError && DOCKERS.includes(thrown.code))) throw thrown;
        add(command, [], refusal(thrown.message));
      }
    },
    say: (sentence) => put(document.createTextNode(visible(sentence))),
  };
}
