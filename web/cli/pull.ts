import { parseReference, pull as pullImage, type SaveFormat } from '../lib/node.js';
import { Usage, parse, printBeside, write, type Command } from './command.js';
import { REGISTRY_HELP, REGISTRY_OPTIONS, access } from './credentials.js';

const FORMATS = ['docker', 'docker-legacy', 'oci'];

export const pull: Command = {
  usage: '[OPTIONS] IMAGE FILE',
  summary: 'Pull an image from a registry into an archive',
  help: `  --format FORMAT       ${FORMATS.join(', ')}; docker unless said otherwise
  --platform PLATFORM   linux/arm64, linux/arm/v7; all for all of them;
                        linux/amd64, or the only one, unless said otherwise
${REGISTRY_HELP}
FILE may be -, for standard output.`,
  async run(args, signal) {
    const options = { ...REGISTRY_OPTIONS, platform: { type: 'string' }, format: { type: 'string' } } as const;
    const { values, words } = parse(args, ['IMAGE', 'FILE'], options);
    const [image, file] = words as [string, string];
    const { platform, format = 'docker' } = values;
    if (!FORMATS.includes(format)) throw new Usage(`${format} is no format`);
    const registry = await access(values, (await parseReference(image)).domain, signal);
    const archive = await pullImage(image, { ...registry, ...(platform && { platform }), signal, onLine: printBeside(file) });
    try {
      await write(await archive.save({ format: format as SaveFormat, signal }), file, signal);
    } finally {
      await archive.close();
    }
    return 0;
  },
};
