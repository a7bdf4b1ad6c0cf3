/** What went wrong, on the page: a code, a sentence, and what to do about it. */
import { LongshoreError, type ErrorCode } from '../lib/index.js';
import { byId, h, visible } from './dom.js';

const ADVICE: Partial<Record<ErrorCode, string>> = {
  'empty-file': 'The download or copy may not have finished. Get the file again.',
  'not-a-tar': 'Choose the file that docker save wrote. A Dockerfile or a single layer is not an image.',
  compressed: 'Unpack the file first (gunzip, xz -d, zstd -d), then open the tar.',
  truncated: 'The download or copy may not have finished. Get the file again, and compare its size.',
  'invalid-tar': 'The file is damaged. Get it again, and compare its checksum.',
  'not-an-image-archive': 'This looks like a file system (docker export) or any other tar. Use docker save for images.',
  'unsupported-format': 'Write it again with docker save of Docker 25 or later, or skopeo copy … docker-archive:….',
  'missing-entry': 'The archive is incomplete. Save it again where it came from.',
  'source-changed': 'Another program wrote to the file, or moved it. Open it again.',
  'worker-failed': 'Reload the page. The file itself is untouched.',
  'write-failed': 'Check the space on the disk, and save again.',
};

/** Shows a failure until the next success. A call that the person stopped is no failure. */
export function show(thrown: unknown): void {
  const error = thrown instanceof LongshoreError ? thrown : undefined;
  if (error?.code === 'aborted' || (thrown instanceof DOMException && thrown.name === 'AbortError')) return;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const advice = error && ADVICE[error.code];
  const dismiss = h('button', { type: 'button', onclick: clear }, 'Dismiss');
  byId('problem', HTMLElement).replaceChildren(
    h(
      'div',
      { className: 'problem' },
      h('p', {}, h('strong', {}, sentence(message))),
      advice !== undefined && h('p', {}, advice),
      h('p', { className: 'code' }, h('code', {}, error?.code ?? 'unexpected'), ' ', dismiss),
    ),
  );
}

export function clear(): void {
  byId('problem', HTMLElement).replaceChildren();
}

/** A message of Docker's as a sentence: they begin small and end without a stop. */
export function sentence(message: string): string {
  const text = visible(message.charAt(0).toUpperCase() + message.slice(1));
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Failures that nobody waits for appear on the page too. */
export function showUnhandled(): void {
  addEventListener('error', (event) => show(event.error ?? event.message));
  addEventListener('unhandledrejection', (event) => show(event.reason));
}
