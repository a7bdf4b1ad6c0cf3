/** Sizes, times and formats as people read them. */
import type { Format, Platform } from '../lib/index.js';

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** Decimal units and three digits, as Docker prints sizes. */
export function bytes(size: number): string {
  let unit = 0;
  let value = size;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))} ${UNITS[unit]}`;
}

const date = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'short' });
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });
const STEPS = [
  ['year', 31_557_600],
  ['month', 2_629_800],
  ['week', 604_800],
  ['day', 86_400],
  ['hour', 3600],
  ['minute', 60],
] as const;

/** A time of a config: when, and how long ago. Builds that are to be the same every time state 1970 or year 1. */
export function when(text: string | undefined): string {
  const time = stated(text);
  return typeof time === 'string' ? time : `${date.format(time)} (${since(time)})`;
}

/** How long ago a time of a config is. */
export function ago(text: string | undefined): string {
  const time = stated(text);
  return typeof time === 'string' ? time : since(time);
}

function stated(text: string | undefined): number | string {
  const time = text === undefined ? NaN : Date.parse(text);
  if (Number.isNaN(time)) return 'not stated';
  return time <= 86_400_000 ? 'not stated (the epoch)' : time;
}

function since(time: number): string {
  const seconds = (time - Date.now()) / 1000;
  const [unit, length] = STEPS.find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1];
  return relative.format(Math.round(seconds / length), unit);
}

/** A number and what it counts. */
export function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`;
}

/** Nanoseconds, as Docker's configs have them. */
export function duration(nanoseconds: number): string {
  return `${Number((nanoseconds / 1e9).toFixed(3))} s`;
}

export function platform({ os, architecture, variant }: Platform): string {
  return [os, architecture, variant].filter(Boolean).join('/') || 'not stated';
}

const FORMATS: Record<Format, string> = {
  docker: 'Docker archive',
  'docker-oci': 'Docker archive with an OCI layout',
  oci: 'OCI layout',
  'docker-v1': 'Docker archive of version 1.0',
};

export function format(format: Format): string {
  return FORMATS[format];
}

/** The beginning of a digest or an ID, which is enough to know it again. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 12);
}
