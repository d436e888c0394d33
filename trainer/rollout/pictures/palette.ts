/** At most 256 colours that stand for all colours of some pictures: median cut over colours of 5 bits a channel. */

import type { Picture } from './render.ts';

export type Palette = {
  /** RGB of each entry, 256 of them. */
  readonly colours: Uint8Array;
  /** Entry of each colour of 5 bits a channel. */
  readonly entries: Uint8Array;
};

const entryCountMax = 256;
const bits = 5;
const levels = 1 << bits;

const keyOf = (red: number, green: number, blue: number): number =>
  ((red >> 3) << (2 * bits)) | ((green >> 3) << bits) | (blue >> 3);

const channel = (key: number, k: number): number => (key >> (bits * (2 - k))) & (levels - 1);

/** The colours of the given pictures. */
export function createPalette(pictures: readonly Picture[]): Palette {
  const counts = new Uint32Array(levels ** 3);
  // Of the true colours of each key: a key alone is up to 4 off.
  const sums = new Float64Array(levels ** 3 * 3);
  for (const { pixels } of pictures) {
    for (let i = 0; i < pixels.length; i += 3) {
      const key = keyOf(pixels[i]!, pixels[i + 1]!, pixels[i + 2]!);
      counts[key]!++;
      for (let k = 0; k < 3; k++) sums[key * 3 + k]! += pixels[i + k]!;
    }
  }
  const used = Array.from(counts.keys()).filter((key) => counts[key]! > 0);
  const boxes = cut(used, counts);
  const colours = new Uint8Array(entryCountMax * 3);
  boxes.forEach((box, entry) => {
    const total = box.reduce((sum, key) => sum + counts[key]!, 0);
    for (let k = 0; k < 3; k++) {
      const sum = box.reduce((part, key) => part + sums[key * 3 + k]!, 0);
      colours[entry * 3 + k] = Math.round(sum / total);
    }
  });
  const entries = nearest(colours, boxes.length);
  boxes.forEach((box, entry) => {
    for (const key of box) entries[key] = entry;
  });
  return { colours, entries };
}

/** Splits the box that varies most, at its median, until there are enough. */
function cut(used: number[], counts: Uint32Array): number[][] {
  const boxes = used.length === 0 ? [] : [measure(used, counts)];
  while (boxes.length < entryCountMax) {
    const widest = boxes.reduce((best, box, i) => (box.score > boxes[best]!.score ? i : best), 0);
    const box = boxes[widest];
    if (box === undefined || box.score === 0) break;
    const sorted = [...box.keys].sort((a, b) => channel(a, box.axis) - channel(b, box.axis));
    const half = sorted.reduce((sum, key) => sum + counts[key]!, 0) / 2;
    let at = 0;
    for (let sum = 0; at < sorted.length - 1 && sum < half; at++) sum += counts[sorted[at]!]!;
    boxes.splice(widest, 1, measure(sorted.slice(0, at), counts), measure(sorted.slice(at), counts));
  }
  return boxes.map(({ keys }) => keys);
}

type Box = { readonly keys: number[]; readonly axis: number; readonly score: number };

function measure(keys: number[], counts: Uint32Array): Box {
  const spans = [0, 1, 2].map((k) => {
    const values = keys.map((key) => channel(key, k));
    return Math.max(...values) - Math.min(...values);
  });
  const span = Math.max(...spans);
  // Many pixels of nearly one colour deserve fewer entries than their number: hence the root.
  const weight = Math.sqrt(keys.reduce((sum, key) => sum + counts[key]!, 0));
  return { keys, axis: spans.indexOf(span), score: span * weight };
}

/** For colours that none of the pictures had: the nearest entry to the middle of their 8 values a channel. */
function nearest(colours: Uint8Array, count: number): Uint8Array {
  return Uint8Array.from({ length: levels ** 3 }, (_, key) => {
    let best = 0;
    let least = Infinity;
    for (let entry = 0; entry < count; entry++) {
      let distance = 0;
      for (let k = 0; k < 3; k++) distance += (channel(key, k) * 8 + 4 - colours[entry * 3 + k]!) ** 2;
      if (distance < least) [best, least] = [entry, distance];
    }
    return best;
  });
}

/** Palette entry of each pixel. */
export function indexPixels({ pixels }: Picture, { entries }: Palette): Uint8Array {
  const indices = new Uint8Array(pixels.length / 3);
  for (let i = 0; i < indices.length; i++) {
    indices[i] = entries[keyOf(pixels[3 * i]!, pixels[3 * i + 1]!, pixels[3 * i + 2]!)]!;
  }
  return indices;
}
