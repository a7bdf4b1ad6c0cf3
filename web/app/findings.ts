/** What is odd about the archive. */
import type { Finding } from '../lib/index.js';
import { h, quoted } from './dom.js';

const WORDS = { info: 'Note', warning: 'Warning', error: 'Damage' };

export function findingList(findings: readonly Finding[]): HTMLElement {
  if (findings.length === 0) return h('p', { className: 'hint' }, 'Nothing odd was found.');
  return h(
    'ul',
    { className: 'findings', ariaLabel: 'Findings' },
    ...findings.map(({ severity, message, code }) =>
      h(
        'li',
        { className: severity },
        h('strong', {}, WORDS[severity]),
        ' ',
        quoted(message),
        ' ',
        h('code', { className: 'hint' }, code),
      ),
    ),
  );
}
