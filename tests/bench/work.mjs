// One piece of work as a whole process: node work.mjs WHAT ARGUMENTS... Prints what was read and what memory it took.
import { createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { openArchive } from '../../dist/lib/node.js';

const WORK = {
  export: (archive, image, output) => pipeline(archive.exportFiles(image), createWriteStream(output)),
  /** Without OUTPUT the new archive is composed, not written. */
  retag: async (archive, source, target, output) => {
    await archive.tag(source, target);
    const saved = await archive.save();
    if (output) await saved.writeTo(output);
  },
  save: async (archive, format, output) => {
    const saved = await archive.save({ format });
    await saved.writeTo(output);
  },
  verify: async (archive) => {
    const { verdict } = await archive.verify();
    if (verdict !== 'intact') throw new Error(`the archive is ${verdict}`);
  },
};

const [what, input, ...args] = process.argv.slice(2);
const archive = await openArchive(input);
await WORK[what](archive, ...args);
console.log(JSON.stringify({ reads: archive.reads, rss: process.resourceUsage().maxRSS * 1024 }));
await archive.close();
