/** What the index lists beside the images. */
import type { Other } from '../lib/index.js';
import { digest, fill, h, quoted } from './dom.js';
import { count, platform } from './format.js';

const KINDS: Record<Other['kind'], string> = {
  absent: 'not in this archive',
  attestation: 'attestation',
  signature: 'signature',
  artifact: 'artefact',
};

export function otherList(others: readonly Other[]): HTMLDetailsElement {
  const list = h('ul', { className: 'others', ariaLabel: 'Beside the images' });
  const more = fill(list, others, (other) =>
    h(
      'li',
      {},
      digest(other.digest, 'digest'),
      ' ',
      h('span', {}, KINDS[other.kind]),
      ' ',
      quoted([other.platform && platform(other.platform), ...other.references].filter(Boolean).join(', ')),
      ' ',
      other.subject !== undefined && h('span', { className: 'hint' }, 'of ', digest(other.subject, 'digest')),
    ),
  );
  return h('details', { hidden: others.length === 0 }, h('summary', {}, `Beside the images (${count(others.length, 'entry', 'entries')})`), list, more);
}
