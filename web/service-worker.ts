/**
 * Lets the page work without its server: what it is made of is kept in the browser, and taken from there where the server does
 * not answer. As long as it answers, nothing is taken from anywhere else, so no visitor sees an old page.
 */
// The build makes it: when a file has changed, so has this, and the browser installs the worker anew.
import { files, version } from './precache.js';

interface Lasting extends Event {
  waitUntil(work: Promise<unknown>): void;
}

interface Fetching extends Lasting {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

// TypeScript's libraries for pages and Workers do not mix.
declare const clients: { claim(): Promise<void> };
declare function skipWaiting(): Promise<void>;

const PREFIX = `longshore-page ${location.href} `;
const NAME = PREFIX + version;
/** By address; that of the folder is its index's. */
const KEPT = new Map([['./', 'index.html'], ...files.map((path) => [path, path] as const)].map(([url, path]) => [new URL(url, location.href).href, path]));

addEventListener('install', (event) => {
  const requests = files.map((path) => new Request(path, { cache: 'no-cache' }));
  const keep = async () => {
    await (await caches.open(NAME)).addAll(requests);
    // The page that brought it is as new: the one before has other files.
    await skipWaiting();
  };
  (event as Lasting).waitUntil(keep());
});

addEventListener('activate', (event) => {
  const remove = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith(PREFIX) && name !== NAME);
    await Promise.all(old.map((name) => caches.delete(name)));
    // The first page is there before it.
    await clients.claim();
  };
  (event as Lasting).waitUntil(remove());
});

addEventListener('fetch', (event) => {
  const fetching = event as Fetching;
  const { request } = fetching;
  const url = new URL(request.url);
  url.search = url.hash = '';
  const path = KEPT.get(url.href);
  // What people open and save is none of its business.
  if (request.method !== 'GET' || path === undefined) return;
  const kept = async (thrown: unknown) => {
    const response = await (await caches.open(NAME)).match(path);
    if (!response) throw thrown;
    return response;
  };
  fetching.respondWith(fetch(request).catch(kept));
});
