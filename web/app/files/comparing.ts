/** Two images side by side: files, config and layers. */
import { openArchive, type Archive, type Comparison, type FileDifference, type Image } from '../../lib/index.js';
import { identity } from '../choosing.js';
import { announce, fill, h, newId, quoted, table } from '../dom.js';
import { WORDS, differences } from './differences.js';
import { download } from './downloads.js';
import { count, platform, shortDigest } from '../format.js';
import * as problems from '../problems.js';
import { task } from '../task.js';

/** `image` is what the archive calls the image, `described` what it says of it; with `closed`, the other file is let go of. */
export function comparing(archive: Archive, image: string, described: Image, closed: AbortSignal): HTMLElement {
  const other = h('select', { id: newId() });
  const own = layerChoice('Of this image', described);
  const theirs = layerChoice('Of the other');
  const file = h('input', { id: newId(), type: 'file' });
  const begin = h('button', { type: 'button' }, 'Compare');
  const work = task('Comparing', file, begin);
  const result = h('div', { className: 'report' });
  const none = h('p', { className: 'hint' }, 'Choose a file with the image to compare with.');
  const element = h(
    'details',
    { className: 'comparing' },
    h('summary', {}, 'Compare with…'),
    h(
      'div',
      { className: 'fields' },
      h('label', { htmlFor: file.id }, 'Images of another file'),
      h('div', { className: 'row' }, file),
      h('label', { htmlFor: other.id }, 'Compare with'),
      h('div', { className: 'row' }, other, begin, work.element),
      h('span', {}, 'Layers'),
      h('div', { className: 'row' }, own.element, theirs.element),
    ),
    none,
    result,
  );
  /** The archive of the other file. */
  let opened: Archive | undefined;
  let choices: { from: Archive; image: Image }[] = [];

  function offer(): void {
    const others = archive.images.filter((one) => identity(one) !== image);
    // The image itself, too, for two of its layers.
    const own = [...others, ...(described.layers.length > 1 ? [described] : [])].map((one) => ({ from: archive, image: one }));
    choices = [...(opened?.images.map((one) => ({ from: opened as Archive, image: one })) ?? []), ...own];
    const chosen = other.selectedIndex;
    other.replaceChildren(...choices.map(({ from, image }) => h('option', {}, nameOf(image), from === archive ? '' : ` of ${from.name}`)));
    if (chosen > 0 && chosen < choices.length) other.selectedIndex = chosen;
    begin.disabled = other.disabled = choices.length === 0;
    none.hidden = choices.length > 0;
    theirs.offer(choices[other.selectedIndex]?.image);
  }

  file.onchange = async () => {
    const [chosen] = file.files ?? [];
    if (!chosen) return;
    try {
      const now = await work.run((options) => openArchive(chosen, options));
      if (closed.aborted) {
        void now.close();
        return;
      }
      void opened?.close();
      opened = now;
      result.replaceChildren();
      problems.clear();
      other.selectedIndex = 0;
    } catch (thrown) {
      file.value = '';
      if (element.isConnected) problems.show(thrown, chosen.name);
    }
    offer();
  };

  other.onchange = () => theirs.offer(choices[other.selectedIndex]?.image);
  begin.onclick = async () => {
    const choice = choices[other.selectedIndex];
    if (!choice) return;
    result.replaceChildren();
    try {
      const comparison = await work.run((options) =>
        archive.compare(image, choice.from, identity(choice.image), { ...options, ...own.of('layer'), ...theirs.of('otherLayer') }),
      );
      result.replaceChildren(...nodes(comparison, `${archive.name}.comparison.json`));
      problems.clear();
      announce(summary(comparison));
    } catch (thrown) {
      if (element.isConnected) problems.show(thrown);
    }
  };

  element.ontoggle = () => {
    if (element.open) offer();
  };
  closed.addEventListener('abort', () => {
    work.stop();
    void opened?.close();
  });
  return element;
}

/** Whether all layers of an image are meant, or those up to one. */
function layerChoice(ariaLabel: string, image?: Image) {
  const element = h('select', { ariaLabel });
  const offer = (image: Image | undefined) => {
    const upTo = (image?.layers ?? []).slice(0, -1).map((_, layer) => h('option', { value: String(layer) }, `up to layer ${layer + 1}`));
    element.replaceChildren(h('option', { value: '' }, 'all'), ...upTo);
  };
  offer(image);
  const of = <Key extends string>(key: Key) => (element.value === '' ? {} : { [key]: Number(element.value) }) as { [K in Key]?: number };
  return { element, offer, of };
}

function nameOf({ id, references, platform: made }: Image): string {
  return `${references[0] ?? shortDigest(id)} (${platform(made)})`;
}

function summary({ files, config, sharedLayers }: Comparison): string {
  const number = (change: FileDifference['change']) => files.filter((one) => one.change === change).length;
  const parts = (['added', 'changed', 'deleted'] as const).map((change) => `${number(change).toLocaleString('en')} ${WORDS[change]}`);
  const names = files.length === 0 ? 'All files are the same' : `Files of the other image: ${parts.join(', ')}`;
  const fields = config.length === 0 ? 'the config is the same' : count(config.length, 'field of the config differs', 'fields of the config differ');
  return `${names}; ${fields}; ${count(sharedLayers.length, 'layer')} shared.`;
}

function nodes(comparison: Comparison, name: string): Node[] {
  const { files, config } = comparison;
  const save = h('button', { type: 'button' }, 'Save the comparison as JSON');
  save.onclick = () => download(new Blob([JSON.stringify(comparison, undefined, 2)], { type: 'application/json' }), name);
  const fields = h('tbody');
  const moreFields = fill(fields, config, ({ field, before, after }) =>
    h('tr', {}, h('th', { scope: 'row' }, quoted(field)), h('td', {}, value(before)), h('td', {}, value(after))),
  );
  const differing = () => table('Differences of the config', ['Field', 'This image', 'The other'], fields, { className: 'fields-differ', more: moreFields });
  return [
    h('p', {}, summary(comparison)),
    ...(files.length > 0 ? [differences(files)] : []),
    ...(config.length > 0 ? [differing()] : []),
    h('div', { className: 'row' }, save),
  ];
}

function value(of: unknown): Node | string {
  return of === undefined ? 'not stated' : h('code', {}, quoted(JSON.stringify(of)));
}
