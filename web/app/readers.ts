/** Which of the readers at the other end would load the archive. */
import type { Archive, Compatibility, WriteFormat } from '../lib/index.js';
import { h, quoted, renew, table } from './dom.js';
import { shortDigest } from './format.js';
import * as problems from './problems.js';

const READERS: Record<Compatibility['reader'], string> = {
  'docker-24': 'Docker up to 24',
  'docker-25': 'Docker 25 and later',
  containerd: 'containerd, and Docker with its store',
  podman: 'Podman',
  skopeo: 'skopeo',
  crane: 'crane',
};

const VERDICTS: Record<Compatibility['verdict'], string> = { loads: 'Loads', broken: 'Loads, but broken', refuses: 'Refuses' };

export interface Readers {
  element: HTMLElement;
  /** More is known, with what layers hold where it is verified, or what was said is of an archive that is no longer this one. */
  refresh(isVerified?: boolean): void;
}

/** `choose` sets the format that the archive will be saved in. */
export function readers(archive: Archive, choose: (format: WriteFormat) => void): Readers {
  const rows = h('tbody');
  const summary = h('summary', {}, 'Will it load?');
  const hint = h('p', { className: 'hint' }, 'What layers hold only counts after “Verify every byte”.');
  const details = h(
    'details',
    { className: 'readers' },
    summary,
    table('Who would load it', ['Reader', 'Verdict', 'As'], rows),
    hint,
  );
  let round = 0;

  async function show(): Promise<void> {
    const own = ++round;
    try {
      const all = await archive.compatibility();
      if (own === round) renew(rows, all.map((one) => row(one, choose)), summary);
    } catch (thrown) {
      if (own === round && details.isConnected) problems.show(thrown);
    }
  }

  details.ontoggle = () => {
    if (details.open) void show();
  };
  return {
    element: details,
    refresh(isVerified = false) {
      hint.hidden = isVerified;
      if (details.open) void show();
    },
  };
}

function row({ reader, verdict, images, reason, remedy }: Compatibility, choose: (format: WriteFormat) => void): HTMLElement {
  const names = images.map(({ id, names }) => names.join(', ') || (id === undefined ? 'without a name' : shortDigest(id)));
  const mend = remedy !== undefined && h('button', { type: 'button', onclick: () => choose(remedy) }, `Save as ${remedy}`);
  return h(
    'tr',
    {},
    h('th', { scope: 'row' }, READERS[reader]),
    h('td', {}, h('strong', { className: `badge ${verdict}` }, VERDICTS[verdict])),
    h('td', {}, reason === undefined ? quoted(names.join('; ')) : quoted(reason), ' ', mend),
  );
}
