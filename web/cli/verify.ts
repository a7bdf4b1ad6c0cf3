import { parse, print, withArchive, type Command } from './command.js';

export const verify: Command = {
  usage: 'ARCHIVE',
  summary: 'Check every digest of an archive; fails where it is damaged or ambiguous',
  async run(args, signal) {
    const { words } = parse(args, ['ARCHIVE'], {});
    return withArchive(words[0] as string, signal, async (archive) => {
      const report = await archive.verify({ signal });
      for (const { code, severity, message } of report.findings) print(`${severity}: ${message} (${code})`);
      for (const { references, id, verdict } of report.images) print(`${references.join(', ') || id}: ${verdict}`);
      print(report.verdict);
      return report.verdict === 'intact' || report.verdict === 'unproven' ? 0 : 1;
    });
  },
};
