/** What a verification found, image by image and blob by blob. */
import type { Archive, BlobReport, Verdict, VerifyReport } from '../../lib/index.js';
import { digest, fill, h, quoted, table, visible } from '../dom.js';
import { download } from '../files/downloads.js';
import { findingList } from '../findings.js';
import { bytes, count } from '../format.js';

const WORDS: Record<Verdict, string> = {
  intact: 'Intact',
  unproven: 'Cannot be told',
  ambiguous: 'Ambiguous',
  damaged: 'Damaged',
};

const SENTENCES: Record<Verdict, string> = {
  intact: 'Every digest, size and diff ID holds.',
  unproven: 'A layer has no digest, or one of a kind that is not known, is encrypted, or could not be unpacked: damage could not be told.',
  ambiguous: 'Two readers would see two different images in these bytes.',
  damaged: 'Something is not what its digest says.',
};

const ROLES: Record<BlobReport['role'], string> = {
  config: 'config',
  layer: 'layer',
  other: 'manifest or other',
  unreferenced: 'nothing leads to it',
};

/** The verdict in a line. */
export function verdictOf({ verdict }: VerifyReport): string {
  return `${WORDS[verdict]}. ${SENTENCES[verdict]}`;
}

export function reportNodes(archive: Archive, report: VerifyReport): Node[] {
  const { images, blobs, findings } = report;
  const imageList = h('ul', { className: 'verdicts', ariaLabel: 'Verdict on each image' });
  const moreImages = fill(imageList, images, ({ id, references, verdict }) =>
    h('li', {}, badge(verdict), ' ', quoted(references.join(', ') || id)),
  );
  const rows = h('tbody');
  const moreBlobs = fill(rows, blobs, (blob) =>
    h(
      'tr',
      {},
      h('td', {}, badge(blob.verdict)),
      h('td', {}, h('code', {}, quoted(blob.path)), h('span', { className: 'hint' }, ` ${ROLES[blob.role]}`)),
      h('td', { className: 'size' }, bytes(blob.size)),
      h('td', {}, digest(blob.digest, 'digest')),
    ),
  );
  const save = h('button', { type: 'button' }, 'Save the report as JSON');
  save.onclick = () =>
    download(new Blob([JSON.stringify(report, undefined, 2)], { type: 'application/json' }), `${archive.name}.report.json`);
  const odd = findings.filter(({ severity }) => severity !== 'info');
  return [
    h('p', {}, badge(report.verdict), ' ', SENTENCES[report.verdict], ` ${bytes(report.bytes)} were read.`),
    imageList,
    ...(moreImages ? [moreImages] : []),
    ...(odd.length > 0 ? [findingList(odd)] : []),
    h(
      'details',
      {},
      h('summary', {}, `Each of ${count(blobs.length, 'blob')}`),
      table('Verdict on each blob', ['Verdict', 'Member', 'Size', 'Digest'], rows, { more: moreBlobs }),
    ),
    h('div', { className: 'row' }, save),
  ];
}

function badge(verdict: Verdict): HTMLElement {
  return h('strong', { className: `badge ${verdict}` }, visible(WORDS[verdict]));
}
