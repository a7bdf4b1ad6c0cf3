/** Files that the page gives to keep. */
import { h, visible } from '../dom.js';

/** So many stay: nothing tells whether a download is through, and one that has begun needs its link no more. */
const KEPT = 3;
const kept: string[] = [];

/** Gives a file. The name may be from an archive. */
export function download(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob);
  kept.push(url);
  if (kept.length > KEPT) URL.revokeObjectURL(kept.shift() ?? '');
  h('a', { href: url, download: visible(name) }).click();
}
