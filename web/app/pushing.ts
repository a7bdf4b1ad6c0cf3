/** Pushing images to a registry: a section whose form is loaded when it is first opened. */
import type { Archive, Image } from '../lib/index.js';
import { unfolding } from './unfolding.js';

/** What has images that can be pushed: an open archive, or the shelf. */
export type Origin = Pick<Archive, 'name' | 'push' | 'mirror'>;

/** An image by what it is called. */
export type Pushable = Pick<Image, 'id' | 'references'>;

export interface Pushing {
  element: HTMLElement;
  /** The images that can be pushed are these now. */
  update(images: readonly Pushable[]): void;
  stop(): void;
}

export function pushing(origin: Origin): Pushing {
  let images: readonly Pushable[] = [];
  let form: Pushing | undefined;
  const element = unfolding('pushing', 'Push to a registry', async () => {
    const { pushForm } = await import('./registry/push-form.js');
    form = pushForm(origin);
    form.update(images);
    return form.element;
  });
  return {
    element,
    update(now) {
      images = now;
      form?.update(now);
    },
    stop: () => form?.stop(),
  };
}
