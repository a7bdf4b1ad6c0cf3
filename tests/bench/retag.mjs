// One retag as a whole process: node retag.mjs INPUT SOURCE TARGET [OUTPUT]. Without OUTPUT the new archive is composed, not
// written. Prints what was read and what memory it took.
import { openArchive } from '../../dist/lib/node.js';

const [input, source, target, output] = process.argv.slice(2);
const archive = await openArchive(input);
await archive.tag(source, target);
const saved = await archive.save();
if (output) await saved.writeTo(output);
console.log(JSON.stringify({ reads: archive.reads, rss: process.resourceUsage().maxRSS * 1024 }));
await archive.close();
