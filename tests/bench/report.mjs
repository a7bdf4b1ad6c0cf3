// What the benchmarks print, and how they take turns.

/** A Markdown table. */
export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |`;
  console.log([line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n') + '\n');
}

export function goal(text, met) {
  return `${text}: ${met ? 'met' : '**missed**'}`;
}

export function ms(time) {
  return time < 1000 ? `${time.toFixed(1)} ms` : `${(time / 1000).toFixed(2)} s`;
}

export function median(list) {
  const sorted = list.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/**
 * The fastest time of each contender, in milliseconds. They take turns, each turn begins with another one, and `before` is
 * called before each run. A contender may measure itself: then what it resolves to is its time.
 */
export async function fastest(contenders, runs, before = async () => {}) {
  const times = Object.fromEntries(Object.keys(contenders).map((name) => [name, []]));
  for (let turn = 0; turn < runs; turn += 1) {
    const order = Object.entries(contenders);
    order.push(...order.splice(0, turn % order.length));
    for (const [name, work] of order) {
      await before(name);
      const start = performance.now();
      const own = await work();
      times[name].push(typeof own === 'number' ? own : performance.now() - start);
    }
  }
  return Object.fromEntries(Object.entries(times).map(([name, list]) => [name, Math.min(...list)]));
}
