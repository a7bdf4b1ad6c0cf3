import type { Archive, ImageReport } from '../lib/node.js';
import { parse, print, withArchive, type Command } from './command.js';

export const verify: Command = {
  usage: 'ARCHIVE',
  summary: 'Check every digest of an archive; fails where it is damaged or ambiguous',
  help: 'ARCHIVE may be -, for standard input.',
  async run(args, signal) {
    const { words } = parse(args, ['ARCHIVE'], {});
    return withArchive(words[0] as string, signal, async (archive) => {
      const report = await archive.verify({ signal });
      for (const { code, severity, message } of report.findings) print(`${severity}: ${message} (${code})`);
      for (const image of report.images) print(`${nameOf(image, archive)}: ${image.verdict}`);
      print(report.verdict);
      return report.verdict === 'intact' || report.verdict === 'unproven' ? 0 : 1;
    });
  },
};

/** What an image is called, with its platform where others are called so too. */
function nameOf({ id, references }: ImageReport, { images }: Archive): string {
  const names = references.join(', ');
  if (names === '') return id;
  const alike = images.filter((image) => image.references.join(', ') === names);
  const { os, architecture, variant } = alike.find((image) => image.id === id)?.platform ?? {};
  return alike.length > 1 ? `${names} (${[os, architecture, variant].filter(Boolean).join('/')})` : names;
}
