// One piece of work as a whole process: node work.mjs verify INPUT | node work.mjs save FORMAT INPUT OUTPUT. Prints what
// memory it took.
import { openArchive } from '../../dist/lib/node.js';

const [what, ...args] = process.argv.slice(2);
const archive = await openArchive(args.at(what === 'verify' ? 0 : 1));
if (what === 'verify') {
  const { verdict } = await archive.verify();
  if (verdict !== 'intact') throw new Error(`the archive is ${verdict}`);
} else {
  const saved = await archive.save({ format: args[0] });
  await saved.writeTo(args[2]);
}
console.log(JSON.stringify({ rss: process.resourceUsage().maxRSS * 1024 }));
await archive.close();
