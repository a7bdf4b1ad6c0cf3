/** What the page is made of, for the service worker: made by web/build.mjs. */

/** One digest of it all. */
export const version: string;
/** Paths from the page's folder. */
export const files: string[];
