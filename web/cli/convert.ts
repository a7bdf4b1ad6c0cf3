import type { Archive, LayerPacking, SaveFormat } from '../lib/node.js';
import { LIMIT_HELP, LIMIT_OPTIONS, Usage, limitsOf, parse, printBeside, withArchive, write, type Command } from './command.js';

const FORMATS = ['same', 'docker', 'docker-legacy', 'oci'];
const LAYERS = ['none', 'gzip', 'zstd'];

export const convert: Command = {
  usage: '[OPTIONS] ARCHIVE FILE',
  summary: 'Write an archive in another format, or some of its images',
  help: `  --format FORMAT       ${FORMATS.join(', ')}; its own unless said otherwise
  --layers PACKING      ${LAYERS.join(', ')}
  --image IMAGE         only this one; may be given several times
  --platform PLATFORM   only for this one; may be given several times
  --gzip                pack the whole file
${LIMIT_HELP}
ARCHIVE and FILE may be -, for standard input and output.`,
  async run(args, signal) {
    const options = {
      format: { type: 'string' },
      layers: { type: 'string' },
      image: { type: 'string', multiple: true },
      platform: { type: 'string', multiple: true },
      gzip: { type: 'boolean' },
      ...LIMIT_OPTIONS,
    } as const;
    const { values, words } = parse(args, ['ARCHIVE', 'FILE'], options);
    const [path, file] = words as [string, string];
    const { format, layers, image, platform, gzip } = values;
    if (format !== undefined && !FORMATS.includes(format)) throw new Usage(`${format} is no format`);
    if (layers !== undefined && !LAYERS.includes(layers)) throw new Usage(`${layers} is no packing`);
    const limits = limitsOf(values);
    const print = printBeside(file);
    const make = async (archive: Archive) => {
      const saved = await archive.save({
        limits,
        ...(format && { format: format as SaveFormat }),
        ...(layers && { layers: layers as LayerPacking }),
        ...(image && { images: image }),
        ...(platform && { platforms: platform }),
        ...(gzip && { gzip }),
        signal,
      });
      await write(saved, file, signal);
      print(`${file}: ${saved.size} bytes`);
      const incomplete = archive.findings.filter(({ code }) => code === 'incomplete-image');
      if (format !== undefined && format !== 'same') for (const { message } of incomplete) print(`${file}: something is left out. ${message}`);
      for (const name of saved.leftOut) print(`${file}: without the name ${name}, which Docker has no place for`);
    };
    await withArchive(path, signal, make, limits);
    return 0;
  },
};
