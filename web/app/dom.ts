/** Making elements. Text only ever becomes text nodes: what stands in an archive is anybody's. */
import { visible } from '../lib/visible.js';

export { visible };

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

/** A table that is scrolled by itself where it is wider than the page; `more` comes below its rows. */
export function table(
  label: string,
  heads: readonly (string | HTMLTableCellElement)[],
  rows: HTMLTableSectionElement,
  { className, more }: { className?: string; more?: Node | undefined } = {},
): HTMLElement {
  const cells = heads.map((head) => (typeof head === 'string' ? h('th', { scope: 'col' }, head) : head));
  return h(
    'div',
    { className: 'scroll', tabIndex: 0, role: 'region', ariaLabel: label },
    h('table', className === undefined ? {} : { className }, h('thead', {}, h('tr', {}, ...cells)), rows),
    more,
  );
}

/** Text of an archive, kept from turning the direction of the text around it. */
export function quoted(text: string): HTMLElement {
  return h('bdi', {}, visible(text));
}

/** A term and what it is here, as a part of a description list. */
export function fact(name: string, value: Node | string): HTMLElement {
  return h('div', {}, h('dt', {}, name), h('dd', {}, value));
}

/** A digest or an ID: short to look at, whole to copy. */
export function digest(text: string, what: string): HTMLElement {
  const short = visible(text.replace(/^sha256:/, '')).slice(0, 12);
  const button = h('button', { type: 'button', className: 'copy', title: `Copy ${visible(text)}` }, h('code', {}, short));
  button.ariaLabel = `Copy the ${what} ${short}`;
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.dataset['copied'] = 'Copied';
      setTimeout(() => delete button.dataset['copied'], 2000);
      announce(`Copied the ${what}.`);
    } catch {
      // No clipboard here, as on a page without https: then the whole is there to be selected.
      const whole = h('code', { tabIndex: -1 }, visible(text));
      button.replaceWith(whole);
      whole.focus();
      getSelection()?.selectAllChildren(whole);
    }
  };
  return button;
}

/** So many rows are laid out at once; the others wait until they are asked for. */
const MANY = 500;

/** Fills a list from items. Where there are too many, the answer is a button that brings the others, to stand after it. */
export function fill<T>(list: HTMLElement, items: readonly T[], row: (item: T, index: number) => Node): HTMLElement | undefined {
  let done = 0;
  const more = h('button', { type: 'button' });
  const next = (count: number) => {
    list.append(...items.slice(done, done + count).map((item, index) => row(item, done + index)));
    done += count;
    more.textContent = `Show more (${items.length - done})`;
    more.hidden = done >= items.length;
  };
  more.onclick = () => {
    const had = document.activeElement === more;
    const at = list.children.length;
    next(10 * MANY);
    // The button that goes leaves the focus to what it brought.
    const first = list.children[at];
    if (!had || !more.hidden || !(first instanceof HTMLElement)) return;
    first.tabIndex = -1;
    first.focus();
  };
  next(MANY);
  return more.hidden ? undefined : more;
}

/** Makes these the children of a list. Those that stay are not moved, because what is moved loses the focus. */
export function align(list: HTMLElement, wanted: readonly Element[]): void {
  const stay = new Set(wanted);
  for (const child of [...list.children]) if (!stay.has(child)) child.remove();
  let place = list.firstElementChild;
  for (const child of wanted) {
    if (child === place) place = place.nextElementSibling;
    else list.insertBefore(child, place);
  }
}

/** Puts other nodes into a list. If one of the old ones had the focus, `heir` gets it. */
export function renew(list: HTMLElement, nodes: readonly Node[], heir: HTMLElement): void {
  const had = list.contains(document.activeElement);
  list.replaceChildren(...nodes);
  if (had) heir.focus();
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
