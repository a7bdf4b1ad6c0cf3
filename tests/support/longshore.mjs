// The built package, as a Node program uses it.
import { existsSync } from 'node:fs';

const entry = new URL('../../dist/lib/node.js', import.meta.url);

/** The package's exports. */
export function longshore() {
  if (!existsSync(entry)) throw new Error('dist/lib is not built: npm run build');
  return import(entry.href);
}

/** Opens `input`, lets `edit` change it, and writes the result to `output`. */
export async function rewrite(input, output, edit) {
  const { openArchive } = await longshore();
  const archive = await openArchive(input);
  try {
    await edit(archive);
    const saved = await archive.save();
    await saved.writeTo(output);
  } finally {
    await archive.close();
  }
}
