import { parseReference, registry } from '../lib/node.js';
import { parse, print, type Command } from './command.js';
import { REGISTRY_HELP, REGISTRY_OPTIONS, access } from './credentials.js';

export const tags: Command = {
  usage: '[OPTIONS] REPOSITORY',
  summary: 'List the tags of a repository of a registry',
  help: REGISTRY_HELP,
  async run(args, signal) {
    const { values, words } = parse(args, ['REPOSITORY'], REGISTRY_OPTIONS);
    const { domain, path } = await parseReference(words[0] as string);
    const found = await (await registry(domain, await access(values, domain, signal))).tags(path, { signal });
    for (const tag of found) print(tag);
    return 0;
  },
};
