import { parse, print, withArchive, type Command } from './command.js';

export const inspect: Command = {
  usage: 'ARCHIVE [IMAGE]',
  summary: 'Show what is in an archive, or one image as docker image inspect does, as JSON',
  async run(args, signal) {
    const { words } = parse(args, ['ARCHIVE', 'IMAGE?'], {});
    const [path, image] = words as [string, string?];
    await withArchive(path, signal, async (archive) => {
      const { format, packing, size, images, others, findings } = archive;
      const shown = image === undefined ? { format, packing, size, images, others, findings } : [await archive.inspect(image)];
      for (const line of JSON.stringify(shown, null, 2).split('\n')) print(line);
    });
    return 0;
  },
};
