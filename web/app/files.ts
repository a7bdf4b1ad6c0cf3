/** The files of an image: a section whose panes, with all that belongs to them, are loaded when it is first opened. */
import type { Archive, Image } from '../lib/index.js';
import type { Edit } from './files/rewriting.js';
import { unfolding } from './unfolding.js';

/** `closed` says that the archive goes; `edit` makes an edit of it. */
export function filesSection(archive: Archive, image: Image, shortId: string, closed: AbortSignal, edit: Edit): HTMLElement {
  return unfolding('files', 'Files', async () => {
    const { panes } = await import('./files/panes.js');
    return closed.aborted ? undefined : panes(archive, image, shortId, closed, edit);
  });
}
