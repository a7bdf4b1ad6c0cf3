/** The images of an open archive, each laid out once: what is open or typed in one outlives the edits of the others. */
import type { Image } from '../lib/index.js';
import { align, h } from './dom.js';

/** So many images are added to the page before it gets a breath. */
const BATCH = 50;

/** An image on the page. */
export interface ImageView {
  element: HTMLElement;
  /** Shows other names of the same image. */
  update(image: Image): void;
}

export interface ImageList {
  element: HTMLElement;
  update(images: readonly Image[]): void;
}

/** `view` lays an image out; `heir` gets the focus when the image that has it goes and none takes its place. */
export function imageList(view: (image: Image) => ImageView, heir: HTMLElement): ImageList {
  const element = h('section', { ariaLabel: 'Images' });
  let views = new Map<string, ImageView>();
  let rounds = 0;

  async function update(images: readonly Image[]): Promise<void> {
    const round = ++rounds;
    const former = [...element.children];
    const focused = element.contains(document.activeElement) ? document.activeElement : null;
    const wanted = keyed(images);
    views = new Map([...views].filter(([key]) => wanted.has(key)));
    for (const [key, image] of wanted) views.get(key)?.update(image);
    const show = () => align(element, [...wanted.keys()].flatMap((key) => views.get(key)?.element ?? []));
    let added = 0;
    for (const [key, image] of wanted) {
      if (views.has(key)) continue;
      views.set(key, view(image));
      added += 1;
      if (added % BATCH > 0) continue;
      show();
      await new Promise((resolve) => setTimeout(resolve));
      if (!element.isConnected || round !== rounds) return;
    }
    show();
    for (const [index, old] of former.entries()) {
      const now = element.children[index];
      if (!old.isConnected && now && !former.includes(now)) inherit(now, old, focused);
    }
    if (focused && document.activeElement === document.body) heir.focus();
  }

  return { element, update: (images) => void update(images) };
}

/** An image that was edited is another one, in the same place: it is open, and has the focus, where that had it. */
function inherit(now: Element, old: Element, focused: Element | null): void {
  const sections = now.querySelectorAll<HTMLDetailsElement>(':scope > details');
  for (const [index, one] of old.querySelectorAll<HTMLDetailsElement>(':scope > details').entries()) {
    const section = sections[index];
    if (!section) return;
    section.open = one.open;
    if (one.contains(focused)) section.querySelector('summary')?.focus();
  }
}

/** Images by what tells them apart, names aside: the same image may be there more than once. */
function keyed(images: readonly Image[]): Map<string, Image> {
  const seen = new Map<string, number>();
  return new Map(
    images.map((image) => {
      const key = `${image.id} ${image.digest} ${image.layers.length}`;
      const times = (seen.get(key) ?? 0) + 1;
      seen.set(key, times);
      return [`${key} ${times}`, image];
    }),
  );
}
