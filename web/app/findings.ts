/** What is odd about the archive. */
import type { Finding } from '../lib/index.js';
import { fill, h, quoted } from './dom.js';

const WORDS = { info: 'Note', warning: 'Warning', error: 'Damage' };

export function findingList(findings: readonly Finding[]): HTMLElement {
  const list = h('ul', { className: 'findings', ariaLabel: 'Findings' });
  const more = fill(list, findings, ({ severity, message, code }) =>
    h(
      'li',
      { className: severity },
      h('strong', {}, WORDS[severity]),
      ' ',
      quoted(message),
      ' ',
      h('code', { className: 'hint' }, code),
    ),
  );
  return h('div', {}, list, more);
}
