/** A list of any length, of which only what is in sight is laid out. All rows are of one height. */
import { h } from '../dom.js';

/** Browsers end an element at some 17 million pixels. Beyond this, a list scrolls by more than one row's height for each row. */
const TALLEST = 8_000_000;

/** So many rows are laid out above and below what is in sight. */
const SPARE = 6;

/** The height of a row, in rem: as the style sheet has it. */
const ROW = 1.75;

export interface Virtual<T> {
  /** Shows these. What stays in sight keeps its element. */
  update(items: readonly T[]): void;
  /** Brings an item's element up to date, where it has one. */
  render(): void;
  /** Scrolls as little as it takes for the item to be in sight. */
  reveal(index: number): void;
  /** How many rows fit. */
  fitting(): number;
}

/** `make` lays an item out; `refresh` is called whenever it is shown again, with its place in the list. */
export function virtual<T extends object>(
  scroller: HTMLElement,
  make: (item: T) => HTMLElement,
  refresh: (item: T, element: HTMLElement) => void,
): Virtual<T> {
  const canvas = h('div', { className: 'canvas', role: 'presentation' });
  let items: readonly T[] = [];
  let elements = new Map<T, HTMLElement>();
  let row = 28;

  /** Where in the list the top of what is in sight is, in pixels. */
  function top(): number {
    const [whole, laid, seen] = [items.length * row, canvas.clientHeight, scroller.clientHeight];
    return whole > laid && laid > seen ? (scroller.scrollTop * (whole - seen)) / (laid - seen) : scroller.scrollTop;
  }

  function render(): void {
    const from = top();
    const first = Math.max(0, Math.floor(from / row) - SPARE);
    const last = Math.min(items.length, Math.ceil((from + scroller.clientHeight) / row) + SPARE);
    const shown = new Map<T, HTMLElement>();
    for (let index = first; index < last; index += 1) {
      const item = items[index];
      if (!item) continue;
      const element = elements.get(item) ?? make(item);
      element.style.top = `${scroller.scrollTop + index * row - from}px`;
      shown.set(item, element);
    }
    for (const [item, element] of elements) if (!shown.has(item)) element.remove();
    elements = shown;
    let before: Element | null = null;
    for (const [item, element] of shown) {
      const next: Element | null = before ? before.nextElementSibling : canvas.firstElementChild;
      // What is in its place stays untouched: it may be between a press and its release.
      if (next !== element) canvas.insertBefore(element, next);
      before = element;
      refresh(item, element);
    }
  }

  function measure(): void {
    row = ROW * parseFloat(getComputedStyle(document.documentElement).fontSize);
    canvas.style.height = `${Math.min(TALLEST, items.length * row)}px`;
    render();
  }

  scroller.append(canvas);
  scroller.addEventListener('scroll', render, { passive: true });
  new ResizeObserver(measure).observe(scroller);

  return {
    update(now) {
      items = now;
      measure();
    },
    render,
    reveal(index) {
      const [from, seen] = [top(), scroller.clientHeight];
      const wanted = Math.min(Math.max(from, (index + 1) * row - seen), index * row);
      if (wanted === from) return;
      const [whole, laid] = [items.length * row, canvas.clientHeight];
      scroller.scrollTop = whole > laid ? (wanted * (laid - seen)) / (whole - seen) : wanted;
      render();
    },
    fitting: () => Math.max(1, Math.floor(scroller.clientHeight / row) - 1),
  };
}
