/** What the page's parts that talk to registries share: who asks, and whether this page may ask at all. */
import { LongshoreError, parseReference, type Credentials } from '../../lib/index.js';
import { h, newId } from '../dom.js';

/** Who asks. It is kept nowhere but in these fields, and goes with the page. */
export interface Login {
  element: HTMLElement;
  credentials(): { credentials?: Credentials };
}

export function login(): Login {
  const off = { spellcheck: false, autocomplete: 'off' } as const;
  const user = h('input', { id: newId(), type: 'text', ...off });
  const password = h('input', { id: newId(), type: 'password', autocomplete: 'off' });
  return {
    element: h(
      'div',
      { className: 'fields login' },
      h('label', { htmlFor: user.id }, 'User'),
      user,
      h('label', { htmlFor: password.id }, 'Password or token'),
      password,
    ),
    credentials: () => (user.value === '' && password.value === '' ? {} : { credentials: { user: user.value, password: password.value } }),
  };
}

/** The registry's host of a name of an image. Fails with `invalid-reference`. */
export async function hostOf(name: string): Promise<string> {
  return (await parseReference(name)).domain;
}

/**
 * Fails where this page's own policy keeps it from a registry: a browser says no more than that nothing answered. What the
 * policy says stands in the page.
 */
export function assertAllowed(host: string): void {
  const policy = document.querySelector<HTMLMetaElement>('meta[http-equiv="Content-Security-Policy"]')?.content ?? '';
  const allowed = /connect-src ([^;]*)/.exec(policy)?.[1]?.split(' ') ?? ['*'];
  const is = (source: string) => source === '*' || source === 'https:' || source.replace(/^https?:\/\//, '') === host;
  if (allowed.some(is) || location.host === host) return;
  const sentence =
    `This page was not served so that it can talk to ${host}. ` +
    `Serve it with: npm start -- --registry ${isLocal(host) ? 'http' : 'https'}://${host}`;
  throw new LongshoreError('unreachable', sentence, { host });
}

function isLocal(host: string): boolean {
  return /^(localhost|127\.[\d.]+|\[::1\])(:\d+)?$/.test(host);
}
