/** A long call with its progress and a way to stop it. */
import type { CallOptions, Progress } from '../lib/index.js';
import { announce, h } from './dom.js';
import { bytes } from './format.js';

export interface Task {
  element: HTMLElement;
  /** Runs the call; the button that began it waits meanwhile. */
  run<T>(call: (options: CallOptions) => Promise<T>): Promise<T>;
}

export function task(what: string, button: HTMLButtonElement): Task {
  const bar = h('progress', { max: 1, ariaLabel: what });
  const text = h('span', {});
  const cancel = h('button', { type: 'button' }, 'Cancel');
  const element = h('span', { className: 'task row', hidden: true }, bar, text, cancel);

  function show({ done, total }: Progress): void {
    bar.max = Math.max(1, total);
    bar.value = done;
    text.textContent = total > 0 ? `${what}: ${bytes(done)} of ${bytes(total)}` : what;
    announce(text.textContent);
  }

  return {
    element,
    async run(call) {
      const controller = new AbortController();
      const { signal } = controller;
      cancel.onclick = () => controller.abort();
      bar.removeAttribute('value');
      text.textContent = what;
      button.disabled = true;
      element.hidden = false;
      try {
        return await call({ signal, onProgress: (progress) => signal.aborted || show(progress) });
      } finally {
        const had = element.contains(document.activeElement) || document.activeElement === document.body;
        element.hidden = true;
        button.disabled = false;
        if (had) button.focus();
      }
    },
  };
}
