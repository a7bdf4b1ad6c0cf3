import { parseReference } from '../lib/node.js';
import { parse, print, withArchive, type Command } from './command.js';
import { REGISTRY_HELP, REGISTRY_OPTIONS, access } from './credentials.js';

export const push: Command = {
  usage: '[OPTIONS] ARCHIVE IMAGE [TARGET]',
  summary: 'Push an image of an archive to a registry, under its own name or TARGET',
  help: `  --platform PLATFORM   only the image for this platform: linux/amd64; may stand several times\n${REGISTRY_HELP}`,
  async run(args, signal) {
    const options = { ...REGISTRY_OPTIONS, platform: { type: 'string', multiple: true } } as const;
    const { values, words } = parse(args, ['ARCHIVE', 'IMAGE', 'TARGET?'], options);
    const [path, image, to = image] = words as [string, string, string?];
    const { domain } = await parseReference(to);
    const registry = await access(values, domain, signal, path);
    const platforms = values.platform ? { platforms: values.platform } : {};
    await withArchive(path, signal, (archive) => archive.push(image, { ...registry, ...platforms, to, signal, onLine: print }));
    return 0;
  },
};
