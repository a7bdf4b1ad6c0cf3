import { parseReference } from '../lib/node.js';
import { parse, print, withArchive, type Command } from './command.js';
import { REGISTRY_HELP, REGISTRY_OPTIONS, access } from './credentials.js';

export const mirror: Command = {
  usage: '[OPTIONS] ARCHIVE REGISTRY[/PATH]',
  summary: 'Push all images of an archive to a registry, under their own names there',
  help: `  --dry-run             only say what would be pushed\n${REGISTRY_HELP}`,
  async run(args, signal) {
    const options = { ...REGISTRY_OPTIONS, 'dry-run': { type: 'boolean' } } as const;
    const { values, words } = parse(args, ['ARCHIVE', 'REGISTRY'], options);
    const [path, to] = words as [string, string];
    const dryRun = values['dry-run'] ?? false;
    const { domain } = await parseReference(`${to.replace(/\/+$/, '')}/image`);
    const registry = dryRun ? {} : await access(values, domain, signal, path);
    return withArchive(path, signal, async (archive) => {
      const report = await archive.mirror({ ...registry, to, dryRun, signal, onLine: print });
      if (dryRun) for (const { from, to, size } of report.planned) print(`${from} -> ${to} (${size} bytes of layers)`);
      for (const id of report.skipped) print(`${id} has no name: skipped`);
      for (const { to, message, code } of report.failed) print(`${to}: ${message} (${code})`);
      if (!dryRun) print(`${report.pushed.length} of ${report.planned.length} pushed`);
      return report.failed.length === 0 ? 0 : 1;
    });
  },
};
