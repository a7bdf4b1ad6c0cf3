import type { Archive } from '../lib/node.js';
import { LIMIT_HELP, LIMIT_OPTIONS, limitsOf, parse, print, withArchive, type Command } from './command.js';

export const inspect: Command = {
  usage: '[OPTIONS] ARCHIVE [IMAGE]',
  summary: 'Show what is in an archive, or one image as docker image inspect does, as JSON',
  help: LIMIT_HELP,
  async run(args, signal) {
    const { values, words } = parse(args, ['ARCHIVE', 'IMAGE?'], LIMIT_OPTIONS);
    const [path, image] = words as [string, string?];
    const show = async (archive: Archive) => {
      const { format, packing, size, images, others, findings } = archive;
      const shown = image === undefined ? { format, packing, size, images, others, findings } : [await archive.inspect(image)];
      for (const line of JSON.stringify(shown, null, 2).split('\n')) print(line);
    };
    await withArchive(path, signal, show, limitsOf(values));
    return 0;
  },
};
