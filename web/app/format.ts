/** Sizes, times and formats as people read them. */
import type { FileEntry, FileKind, Format, Platform } from '../lib/index.js';

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
  // As Docker counts: whole ones.
  return relative.format(Math.trunc(seconds / length), unit);
}

/** Seconds since 1970, which in an archive may be any number, as a time of this place. */
export function moment(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? `${seconds} s since 1970` : date.format(time);
}

const TYPES: Record<FileKind, string> = {
  file: '-',
  directory: 'd',
  symlink: 'l',
  'hard-link': '-',
  'character-device': 'c',
  'block-device': 'b',
  fifo: 'p',
};

/** Kind and mode, as `ls -l` prints them. */
export function permissions({ kind, mode }: FileEntry): string {
  const triple = (shift: number, special: number, [set, bare]: [string, string]) => {
    const bits = mode >> shift;
    const run = bits & 1;
    const last = mode & special ? (run ? set : bare) : run ? 'x' : '-';
    return `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${last}`;
  };
  return TYPES[kind] + triple(6, 0o4000, ['s', 'S']) + triple(3, 0o2000, ['s', 'S']) + triple(0, 0o1000, ['t', 'T']);
}

/** Owner and group: names where the layer has them, and numbers. */
export function owner({ uid, gid, user, group }: FileEntry): string {
  const one = (name: string | undefined, id: number) => (name ? `${name} (${id})` : String(id));
  return `${one(user, uid)}:${one(group, gid)}`;
}

/** A number and what it counts. */
export function count(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
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

/** Whether that is an ID as a whole. Its beginning might be another image's name. */
export function isId(text: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(text);
}

/** A name or an ID as it is shown. */
export function shortened(asked: string): string {
  return isId(asked) ? shortDigest(asked) : asked;
}
