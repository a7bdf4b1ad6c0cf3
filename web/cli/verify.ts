import type { Archive, ImageReport } from '../lib/node.js';
import { LIMIT_HELP, LIMIT_OPTIONS, limitsOf, parse, print, withArchive, type Command } from './command.js';

export const verify: Command = {
  usage: '[OPTIONS] ARCHIVE',
  summary: 'Check every digest of an archive; fails where it is damaged or ambiguous',
  help: `${LIMIT_HELP}\nARCHIVE may be -, for standard input.`,
  async run(args, signal) {
    const { values, words } = parse(args, ['ARCHIVE'], LIMIT_OPTIONS);
    const limits = limitsOf(values);
    const check = async (archive: Archive) => {
      const report = await archive.verify({ signal, limits });
      for (const { code, severity, message } of report.findings) print(`${severity}: ${message} (${code})`);
      for (const image of report.images) print(`${nameOf(image, archive)}: ${image.verdict}`);
      print(report.verdict);
      return report.verdict === 'intact' || report.verdict === 'unproven' ? 0 : 1;
    };
    return withArchive(words[0] as string, signal, check, limits);
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
