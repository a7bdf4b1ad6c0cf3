/** Pictures of an image's files. They are drawn on a canvas: no address of anything is given to the browser. */
import { h } from '../dom.js';

/** So many pixels are decoded. A small file may claim to be billions. */
const LARGEST = 32_000_000;

interface Kind {
  type: string;
  size: [number, number];
}

/** What the beginning of a file says that it is: a picture, and how large; nothing where it is none that is shown. */
export function pictureKind(bytes: Uint8Array): Kind | undefined {
  const kind = read(bytes);
  if (!kind) return undefined;
  const [width, height] = kind.size;
  return width > 0 && height > 0 && width * height <= LARGEST ? kind : undefined;
}

function read(bytes: Uint8Array): Kind | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const is = (at: number, text: string) => [...text].every((char, index) => bytes[at + index] === char.charCodeAt(0));
  if (bytes.length >= 24 && is(0, '\x89PNG\r\n\x1a\n')) return { type: 'image/png', size: [view.getUint32(16), view.getUint32(20)] };
  if (bytes.length >= 10 && is(0, 'GIF8')) return { type: 'image/gif', size: [view.getUint16(6, true), view.getUint16(8, true)] };
  if (bytes.length >= 30 && is(0, 'RIFF') && is(8, 'WEBP')) {
    const three = (at: number) => view.getUint16(at, true) + (view.getUint8(at + 2) << 16);
    if (is(12, 'VP8X')) return { type: 'image/webp', size: [three(24) + 1, three(27) + 1] };
    if (is(12, 'VP8 ')) return { type: 'image/webp', size: [view.getUint16(26, true) & 0x3fff, view.getUint16(28, true) & 0x3fff] };
    const bits = view.getUint32(21, true);
    return { type: 'image/webp', size: [(bits & 0x3fff) + 1, ((bits >> 14) & 0x3fff) + 1] };
  }
  return bytes[0] === 0xff && bytes[1] === 0xd8 ? jpeg(view) : undefined;
}

/** Tables and comments: what may come before the frame, beside what applications put there. */
const SEGMENTS = [0xc4, 0xcc, 0xdb, 0xdc, 0xdd, 0xfe];

/** A JPEG says its size in the frame header, behind segments of any length. */
function jpeg(view: DataView): Kind | undefined {
  for (let at = 2; at + 9 <= view.byteLength && view.getUint8(at) === 0xff; ) {
    const marker = view.getUint8(at + 1);
    const length = view.getUint16(at + 2);
    const isFrame = marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);
    if (isFrame) return { type: 'image/jpeg', size: [view.getUint16(at + 7), view.getUint16(at + 5)] };
    // Any number of fill bytes comes before a marker, and some markers stand alone.
    if (marker === 0xff) at += 1;
    else if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else if ((SEGMENTS.includes(marker) || marker >> 4 === 0xe) && length >= 2) at += 2 + length;
    else return undefined;
  }
  return undefined;
}

/** The picture, drawn. Fails where the browser cannot decode it. */
export async function picture(bytes: Uint8Array, { type, size }: Kind, label: string): Promise<HTMLElement> {
  const bitmap = await createImageBitmap(new Blob([bytes as Uint8Array<ArrayBuffer>], { type }));
  const canvas = h('canvas', { className: 'picture', width: bitmap.width, height: bitmap.height, role: 'img', ariaLabel: label });
  canvas.getContext('2d')?.drawImage(bitmap, 0, 0);
  bitmap.close();
  return h('figure', {}, canvas, h('figcaption', { className: 'hint' }, `${size[0]} × ${size[1]}`));
}
