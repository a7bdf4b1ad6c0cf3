/** A long call with its progress and a way to stop it. */
import type { CallOptions, Progress } from '../lib/index.js';
import { announce, h } from './dom.js';
import { bytes } from './format.js';

export interface Task {
  element: HTMLElement;
  readonly isRunning: boolean;
  /** Runs the call, beside others that run still; what could begin it again waits meanwhile. */
  run<T>(call: (options: Required<CallOptions>) => Promise<T>): Promise<T>;
  /** Stops all that runs, as the task's own button does. */
  stop(): void;
}

/** What the call is named, and what begins it: the first of these gets the focus back. */
export function task(what: string, ...starters: [HTMLButtonElement | HTMLInputElement, ...HTMLButtonElement[]]): Task {
  const bar = h('progress', { max: 1, ariaLabel: what });
  const text = h('span', {});
  const cancel = h('button', { type: 'button', onclick: () => stop() }, 'Cancel');
  const element = h('span', { className: 'task row', hidden: true }, bar, text, cancel);
  const running = new Set<AbortController>();
  let starter: HTMLElement | undefined;

  function show({ done, total }: Progress): void {
    bar.max = Math.max(1, total);
    bar.value = done;
    text.textContent = total > 0 ? `${what}: ${bytes(done)} of ${bytes(total)}` : what;
    announce(text.textContent);
  }

  function stop(): void {
    for (const one of running) one.abort();
  }

  function end(): void {
    for (const one of starters) one.disabled = false;
    // A button that waits, or is gone, has lost the focus.
    if (element.contains(document.activeElement)) (starter ?? starters[0]).focus();
    else if (document.activeElement === document.body) starter?.focus();
    element.hidden = true;
    starter = undefined;
  }

  return {
    element,
    stop,
    get isRunning() {
      return running.size > 0;
    },
    async run(call) {
      const own = new AbortController();
      const { signal } = own;
      running.add(own);
      starter ??= starters.find((one) => one === document.activeElement);
      bar.removeAttribute('value');
      text.textContent = what;
      for (const one of starters) one.disabled = true;
      // What is done at once needs no bar that flashes up.
      const timer = setTimeout(() => (element.hidden = false), 200);
      try {
        return await call({ signal, onProgress: (progress) => signal.aborted || show(progress) });
      } finally {
        clearTimeout(timer);
        running.delete(own);
        if (running.size === 0) end();
      }
    },
  };
}
