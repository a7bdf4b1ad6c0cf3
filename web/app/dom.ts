/** Making elements. Text only ever becomes text nodes: what stands in an archive is anybody's. */

type Props<T> = { [Key in keyof T]?: T[Key] } & { attrs?: Record<string, string> };
type Child = Node | string | false | undefined;

/** An element with properties, attributes and children. */
export function h<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props<HTMLElementTagNameMap[Tag]> = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const { attrs = {}, ...properties } = props;
  const element = document.createElement(tag);
  Object.assign(element, properties);
  for (const [name, value] of Object.entries(attrs)) element.setAttribute(name, value);
  element.append(...children.filter((child) => child !== false && child !== undefined));
  return element;
}

/** The element with that id, which index.html has. */
export function byId<T extends HTMLElement>(id: string, type: new () => T): T {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no #${id}`);
  return element;
}

/** An id that no other element has, to tie labels and descriptions to what they are about. */
export function newId(): string {
  return `n${++ids}`;
}
let ids = 0;

/** Control characters, and those that turn or hide the text around them. */
const TREACHEROUS = /[\p{Cc}\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Text of an archive as it is safe to look at: such characters as escapes. */
export function visible(text: string): string {
  return text.replace(TREACHEROUS, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Text of an archive, kept from turning the direction of the text around it. */
export function quoted(text: string): HTMLElement {
  return h('bdi', {}, visible(text));
}

/** A digest or an ID: short to look at, whole to copy. */
export function digest(text: string, what: string): HTMLElement {
  const short = text.replace(/^sha256:/, '').slice(0, 12);
  const button = h('button', { type: 'button', className: 'copy', title: `Copy ${text}` }, h('code', {}, short));
  button.ariaLabel = `Copy the ${what} ${short}`;
  button.onclick = async () => {
    await navigator.clipboard.writeText(text);
    announce(`Copied the ${what}.`);
  };
  return button;
}

let pending: ReturnType<typeof setTimeout> | undefined;
let lastAnnounced = 0;

/** Says something to screen readers: at most once a second, the newest wins. */
export function announce(text: string): void {
  clearTimeout(pending);
  const wait = Math.max(0, lastAnnounced + 1000 - performance.now());
  pending = setTimeout(() => {
    lastAnnounced = performance.now();
    byId('status', HTMLElement).textContent = text;
  }, wait);
}
