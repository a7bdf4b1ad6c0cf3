/** What went wrong, on the page: a code, a sentence, and what to do about it. */
import { LongshoreError, type ErrorCode } from '../lib/index.js';
import { byId, h, quoted, visible } from './dom.js';

const ADVICE: Partial<Record<ErrorCode, string>> = {
  'empty-file': 'The download or copy may not have finished. Get the file again.',
  'not-a-tar': 'Choose the file that docker save wrote. A Dockerfile or a single layer is not an image.',
  compressed: 'Unpack the file first (gunzip, xz -d, zstd -d), then open what is inside.',
  truncated: 'The download or copy may not have finished. Get the file again, and compare its size.',
  'invalid-tar': 'The file is damaged. Get it again, and compare its checksum.',
  'not-an-image-archive': 'This looks like a file system (docker export) or any other tar. Use docker save for images.',
  'missing-entry': 'The archive is incomplete. Save it again where it came from.',
  'invalid-json': 'The archive is damaged, or another program wrote it. Save it again where it came from.',
  'invalid-manifest': 'The archive is damaged, or another program wrote it. Save it again where it came from.',
  'invalid-config': 'The archive is damaged, or another program wrote it. Save it again where it came from.',
  'invalid-compression': 'It was damaged on its way, or the tool that packed it broke off. Ask for it again.',
  'limit-exceeded': 'No known tool writes such a file, and Docker would hardly load it.',
  'read-failed': 'Check that the file is still there and that you may read it, then open it again.',
  'duplicate-reference': 'Choose another name, or remove this one from the image that has it.',
  'source-changed': 'Another program wrote to the file, or moved it. Open it again.',
  'worker-failed': 'Reload the page. The file itself is untouched.',
  'write-failed': 'Make room on the disk, then try again. A private window has little room of its own.',
};

/** Where the browser keeps nothing on disk, what is unpacked has to fit into memory. */
const NO_STORAGE = 'Use a window that is not private, or unpack the file first.';

/** The browser's own failures, when it writes a file that is made of parts of another one. */
const BROWSER: Record<string, ErrorCode> = {
  NotReadableError: 'source-changed',
  NotFoundError: 'source-changed',
  QuotaExceededError: 'write-failed',
  NotAllowedError: 'write-failed',
  NoModificationAllowedError: 'write-failed',
};

/** Above and below it. */
const MARGIN = 24;

/** Shows a failure until the next success. A call that the person stopped is no failure. */
export function show(thrown: unknown, fileName?: string): void {
  // What is no Error may be anything, DOMExceptions among them in some engines.
  const { name, message } = Object(thrown) as Partial<Error>;
  const code = thrown instanceof LongshoreError ? thrown.code : BROWSER[thrown instanceof DOMException ? thrown.name : ''];
  if (code === 'aborted' || name === 'AbortError') return;
  const isMemory = thrown instanceof LongshoreError && thrown.detail['limit'] === 'memory';
  const advice = isMemory ? NO_STORAGE : code && ADVICE[code];
  put(message ?? String(thrown), advice, h('code', {}, code ?? 'unexpected'), fileName !== undefined && quoted(fileName));
}

/** Shows why something is not done that nothing went wrong with. */
export function say(message: string): void {
  put(message, undefined);
}

function put(message: string, advice: string | undefined, ...code: (Node | false)[]): void {
  const before = document.activeElement;
  const dismiss = h('button', { type: 'button' }, 'Dismiss');
  dismiss.onclick = () => {
    clear();
    const back = before instanceof HTMLElement && before !== document.body && before.isConnected;
    (back ? before : byId('file', HTMLElement)).focus();
  };
  byId('problem', HTMLElement).replaceChildren(
    h(
      'div',
      { className: 'problem' },
      h('p', {}, h('strong', {}, sentence(message))),
      advice !== undefined && h('p', {}, advice),
      h('p', { className: 'code' }, ...code, dismiss),
    ),
  );
  // It stays in sight, so it must not cover what the person is at.
  document.documentElement.style.scrollPaddingTop = `${byId('problem', HTMLElement).offsetHeight + MARGIN}px`;
  if (before !== document.body) before?.scrollIntoView({ block: 'nearest' });
}

export function clear(): void {
  byId('problem', HTMLElement).replaceChildren();
  document.documentElement.style.scrollPaddingTop = '';
}

/** A message of Docker's as a sentence: they begin small, unless with an address, and end without a stop. */
export function sentence(message: string): string {
  const text = visible(/^https?:/.test(message) ? message : message.charAt(0).toUpperCase() + message.slice(1));
  return /[.!?]$/.test(text) ? text : `${text}.`;
}

/** Failures that nobody waits for appear on the page too. */
export function showUnhandled(): void {
  addEventListener('error', (event) => show(event.error ?? event.message));
  addEventListener('unhandledrejection', (event) => show(event.reason));
}
