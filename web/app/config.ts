/** What a container made from an image starts with: only what the config says. */
import type { ContainerConfig, HealthCheck } from '../lib/index.js';
import { fill, h, quoted } from './dom.js';
import { duration } from './format.js';

export function configTable(config: ContainerConfig): HTMLElement {
  const rows: [string, string[]][] = [
    ['Entrypoint', command(config.entrypoint)],
    ['Command', command(config.cmd)],
    ['Environment', config.env],
    ['User', one(config.user)],
    ['Working directory', one(config.workingDir)],
    ['Ports', config.exposedPorts],
    ['Volumes', config.volumes],
    ['Labels', Object.entries(config.labels).map(([key, value]) => `${key}=${value}`)],
    ['Health check', health(config.healthcheck)],
    ['Stop signal', one(config.stopSignal)],
    ['Shell', command(config.shell)],
    ['On build', config.onBuild],
  ];
  const stated = rows.filter(([, values]) => values.length > 0);
  if (stated.length === 0) return h('p', { className: 'hint' }, 'The config states nothing.');
  return h(
    'dl',
    { className: 'facts' },
    ...stated.map(([name, values]) => {
      const entry = h('div', {}, h('dt', {}, name));
      const more = fill(entry, values, (value) => h('dd', {}, code(value)));
      if (more) entry.append(h('dd', {}, more));
      return entry;
    }),
  );
}

function code(text: string): HTMLElement {
  return h('code', {}, quoted(text));
}

function one(text: string | undefined): string[] {
  return text === undefined ? [] : [text];
}

/** A command as JSON, which is how it is written in a Dockerfile and what tells one argument from two. */
function command(parts: string[] | undefined): string[] {
  return parts === undefined ? [] : [JSON.stringify(parts)];
}

function health(check: HealthCheck | undefined): string[] {
  if (!check) return [];
  const times: [string, number | undefined][] = [
    ['every', check.interval],
    ['timeout', check.timeout],
    ['start period', check.startPeriod],
    ['start interval', check.startInterval],
  ];
  const stated = times.filter(([, value]) => value !== undefined && value > 0);
  const retries = check.retries ? [`retries ${check.retries}`] : [];
  const details = [...stated.map(([name, value]) => `${name} ${duration(value ?? 0)}`), ...retries];
  return [JSON.stringify(check.test), ...(details.length > 0 ? [details.join(', ')] : [])];
}
