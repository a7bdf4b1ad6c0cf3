/** Archives that are compressed as a whole: `docker save IMAGE | gzip`. */
import { LongshoreError } from './errors.js';
import type { ArchiveView, Finding, Packing } from './types.js';

/** How often a file may be compressed. */
const MOST = 3;

const EXTENSION = /\.(gz|gzip|bz2|bzip2|xz|zst|zstd|lz4)$/i;
const SHORT_EXTENSION = /\.(tgz|tbz|tbz2|txz|tzst)$/i;

/** What was around an archive. */
export interface Outer {
  /** From outside in. */
  packing: Packing[];
  findings: Finding[];
  /** Lets go of where the unpacked bytes are. */
  release(): Promise<void>;
}

/** What was in a compressed file. */
export interface Inner<Source> {
  source: Source;
  trailing: number;
  release(): Promise<void>;
}

/** Opens what may be compressed, by its first bytes and never by its name: what is not a tar says itself what it is. */
export async function openPacked<Source>(
  source: Source,
  open: (source: Source) => Promise<ArchiveView>,
  unpack: (source: Source) => Promise<Inner<Source>>,
): Promise<{ view: ArchiveView; source: Source; outer: Outer }> {
  const packing: Packing[] = [];
  const findings: Finding[] = [];
  let inner: Inner<Source> | undefined;
  try {
    for (let current = source; ; current = inner.source) {
      let compression: Packing;
      try {
        const view = await open(current);
        const kept = inner;
        return { view, source: current, outer: { packing, findings, release: async () => kept?.release() } };
      } catch (thrown) {
        if (!(thrown instanceof LongshoreError) || thrown.code !== 'compressed') throw thrown;
        if (packing.length === MOST) throw tooDeep(thrown);
        compression = thrown.detail['compression'] as Packing;
      }
      const outside: Inner<Source> | undefined = inner;
      inner = await unpack(current);
      await outside?.release();
      packing.push(compression);
      if (inner.trailing > 0) findings.push(trailingBytes(compression, inner.trailing));
    }
  } catch (thrown) {
    await inner?.release();
    throw thrown;
  }
}

/** The name of what is in a file of that name. */
export function nameInside(name: string, { packing }: Outer): string {
  return packing.reduce((name) => name.replace(SHORT_EXTENSION, '.tar').replace(EXTENSION, ''), name) || name;
}

function tooDeep({ detail }: LongshoreError): LongshoreError {
  return new LongshoreError('compressed', `The file is compressed more than ${MOST} times. Unpack it first, then open what is inside.`, detail);
}

function trailingBytes(compression: Packing, actual: number): Finding {
  return {
    code: 'trailing-bytes',
    severity: 'warning',
    message: `${actual} bytes follow the ${compression} data of the file: Docker takes it only if it is gzip and unpigz is there, other tools refuse it.`,
    detail: { compression, actual },
  };
}
