/** The form that pushes images to a registry, one or all. */
import type { CallOptions, MirrorReport } from '../../lib/index.js';
import { announce, h, newId, visible } from '../dom.js';
import { bytes, count, shortDigest } from '../format.js';
import { journal } from '../journal.js';
import * as problems from '../problems.js';
import type { Origin, Pushing } from '../pushing.js';
import { assertAllowed, hostOf, login } from './registries.js';
import { task } from '../task.js';

export function pushForm(origin: Origin): Pushing {
  const who = login();
  const image = h('select', { id: newId() });
  const off = { spellcheck: false, autocomplete: 'off' } as const;
  const to = h('input', { id: newId(), type: 'text', placeholder: 'registry.local/team/app:1', ...off });
  const push = h('button', { type: 'submit' }, 'Push');
  const mirror = h('input', { id: newId(), type: 'text', placeholder: 'registry.local/mirror', ...off });
  const list = h('button', { type: 'button' }, 'List what would be pushed');
  const all = h('button', { type: 'submit' }, 'Push all');
  const work = task('Pushing', push, all, list);
  const log = journal();

  const none = h('p', { className: 'hint' }, 'Choose images first.');
  const one = h(
    'form',
    { className: 'fields' },
    h('label', { htmlFor: image.id }, 'Image'),
    image,
    h('label', { htmlFor: to.id }, 'Name in the registry'),
    h('div', { className: 'row' }, to, push),
  );
  const many = h(
    'form',
    { className: 'fields' },
    h('label', { htmlFor: mirror.id }, 'All of them, in place of their registry'),
    h('div', { className: 'row' }, mirror, list, all),
  );

  one.onsubmit = (event) => {
    event.preventDefault();
    const name = to.value.trim() || image.value;
    void answered(`docker push ${name}`, async (calls, say) => {
      assertAllowed(await hostOf(name));
      await origin.push(image.value, { to: name, ...who.credentials(), ...calls, onLine: say });
      announce('Pushed.');
    });
  };
  list.onclick = () => void mirrorAll(true);
  many.onsubmit = (event) => {
    event.preventDefault();
    void mirrorAll(false);
  };

  function mirrorAll(dryRun: boolean): Promise<void> {
    const place = mirror.value.trim().replace(/\/+$/, '');
    return answered(`longshore mirror ${dryRun ? '--dry-run ' : ''}${origin.name} ${place}`, async (calls, say) => {
      const host = await hostOf(`${place}/x`);
      if (!dryRun) assertAllowed(host);
      tell(await origin.mirror({ to: place, dryRun, ...who.credentials(), ...calls, onLine: say }), dryRun, say);
    });
  }

  /** Runs a command, and notes what it says and what ended it. */
  async function answered(command: string, push: (calls: Required<CallOptions>, say: (line: string) => void) => Promise<void>): Promise<void> {
    const lines: string[] = [];
    const say = (line: string) => void lines.push(line);
    try {
      await work.run((calls) => push(calls, say));
      problems.clear();
    } catch (thrown) {
      say(problems.sentence(thrown instanceof Error ? thrown.message : String(thrown)));
      problems.show(thrown);
    }
    log.add(command, lines);
  }

  return {
    element: h(
      'div',
      {},
      h('p', { className: 'hint' }, 'The registry has to let this page talk to it. Passwords stay in this page’s memory, and go to that registry only.'),
      who.element,
      none,
      one,
      many,
      h('div', { className: 'row' }, work.element),
      log.element,
    ),
    update(images) {
      none.hidden = images.length > 0;
      one.hidden = many.hidden = images.length === 0;
      const chosen = image.value;
      const named = images.flatMap(({ id, references }) => (references.length > 0 ? references.map((name) => [name, visible(name)] as const) : [[id, shortDigest(id)] as const]));
      // The same name may stand for several platforms.
      image.replaceChildren(...[...new Map(named)].map(([value, text]) => h('option', { value }, text)));
      if ([...image.options].some(({ value }) => value === chosen)) image.value = chosen;
    },
    stop: work.stop,
  };
}

function tell({ planned, pushed, failed, skipped }: MirrorReport, dryRun: boolean, say: (line: string) => void): void {
  if (dryRun) for (const { from, to, size } of planned) say(`${from} -> ${to} (${bytes(size)})`);
  for (const { from, to, message } of failed) say(`${from} -> ${to} failed: ${message}`);
  if (skipped.length > 0) say(`Without a name, and left out: ${skipped.map(shortDigest).join(', ')}`);
  say(dryRun ? `${count(planned.length, 'name')} would be pushed.` : `${count(pushed.length, 'name')} pushed, ${failed.length} failed.`);
}
