import type { Archive, NameChange } from '../lib/node.js';
import { LIMIT_HELP, LIMIT_OPTIONS, Usage, limitsOf, parse, printBeside, withArchive, write, type Command } from './command.js';

const EDITS: Record<string, (archive: Archive, value: string) => Promise<NameChange[]>> = {
  tag: (archive, value) => archive.tag(...pair(value, 'tag')),
  untag: (archive, value) => archive.untag(value),
  rename: (archive, value) => {
    const [from, to] = pair(value, 'rename');
    return archive.rename([{ from, to }]);
  },
};

export const retag: Command = {
  usage: '[OPTIONS] ARCHIVE FILE',
  summary: 'Change the names in an archive, and write it',
  help: `  --tag IMAGE=NAME      give an image one more name, as docker tag does
  --untag NAME          take a name away
  --rename FROM=TO      change all names that are FROM or begin with it: a registry, a repository, a whole name
${LIMIT_HELP}
Names may be changed several times; that is done in order. FILE may be the archive itself. Either may be -, for standard
input and output: docker save app | longshore retag --tag app=registry.local/app - - | docker load`,
  async run(args, signal) {
    const several = { type: 'string', multiple: true } as const;
    const options = { tag: several, untag: several, rename: several, ...LIMIT_OPTIONS } as const;
    const { values, words, given } = parse(args, ['ARCHIVE', 'FILE'], options);
    const [path, file] = words as [string, string];
    const edits = given.filter(([option]) => option in EDITS);
    if (edits.length === 0) throw new Usage('there is nothing to change');
    const print = printBeside(file);
    const change = async (archive: Archive) => {
      for (const [edit, value] of edits) {
        for (const { image, from, to } of (await EDITS[edit]?.(archive, value)) ?? []) print(`${from ?? image} -> ${to ?? 'no name'}`);
      }
      const saved = await archive.save({ signal });
      await write(saved, file, signal);
      print(`${file}: ${saved.size} bytes`);
    };
    await withArchive(path, signal, change, limitsOf(values));
    return 0;
  },
};

/** Both sides of the first `=`, which no name has. */
function pair(value: string, option: string): [string, string] {
  const at = value.indexOf('=');
  if (at < 0) throw new Usage(`--${option} takes two names with = between`);
  return [value.slice(0, at), value.slice(at + 1)];
}
