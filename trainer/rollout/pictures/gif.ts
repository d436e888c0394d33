/**
 * Animated GIF. Source: GIF89a specification (CompuServe, 1990), with the looping extension of Netscape 2.0.
 *
 * Our own, since no package is both light and typed: gifenc (1.0.3) declares no types, modern-gif (2.1.0) brings a decoder and a package
 * of palettes.
 */

import { createPalette, indexPixels } from './palette.ts';
import type { Picture } from './render.ts';

const codeSize = 8;
const clearCode = 1 << codeSize;
const endCode = clearCode + 1;
const codeCountMax = 4096;
/** Pictures that the palette is made from. */
const paletteSampleCount = 8;

/**
 * Encodes pictures of one size as an animation that repeats for ever.
 * @param delayMs time of each picture, rounded to 10 ms; viewers show less than 20 ms as more
 */
export function encodeGif(pictures: readonly Picture[], delayMs: number): Uint8Array {
  const [first] = pictures;
  if (first === undefined) throw new RangeError('encodeGif: expected at least one picture, got none');
  const stride = Math.ceil(pictures.length / paletteSampleCount);
  const palette = createPalette(pictures.filter((_, i) => i % stride === 0));
  const delay = Math.max(2, Math.round(delayMs / 10));
  const parts: Uint8Array[] = [
    Buffer.from('GIF89a'),
    words(first.width, first.height),
    // A global palette of 256 entries, background 0, square pixels.
    Uint8Array.of(0xf7, 0, 0),
    palette.colours,
    Uint8Array.of(0x21, 0xff, 11),
    Buffer.from('NETSCAPE2.0'),
    Uint8Array.of(3, 1, 0, 0, 0),
  ];
  for (const picture of pictures) {
    parts.push(Uint8Array.of(0x21, 0xf9, 4, 0), words(delay), Uint8Array.of(0, 0));
    parts.push(Uint8Array.of(0x2c), words(0, 0, first.width, first.height), Uint8Array.of(0, codeSize));
    parts.push(blocks(compress(indexPixels(picture, palette))));
  }
  parts.push(Uint8Array.of(0x3b));
  return Buffer.concat(parts);
}

/** Little-endian 16-bit numbers. */
const words = (...values: number[]): Uint8Array =>
  Uint8Array.from(values.flatMap((value) => [value & 255, value >> 8]));

/** LZW with codes of growing width, least significant bit first. */
function compress(indices: Uint8Array): Uint8Array {
  const out = new Uint8Array(indices.length * 2 + 16);
  let size = 0;
  let pending = 0;
  let pendingBits = 0;
  let width = codeSize + 1;
  const emit = (code: number) => {
    pending |= code << pendingBits;
    for (pendingBits += width; pendingBits >= 8; pendingBits -= 8) {
      out[size++] = pending & 255;
      pending >>>= 8;
    }
  };
  // Code of (prefix code, next index); 0 if there is none yet, which no pair has.
  const table = new Uint16Array(codeCountMax << codeSize);
  let next = endCode + 1;
  emit(clearCode);
  let prefix = indices[0]!;
  for (let i = 1; i < indices.length; i++) {
    const index = indices[i]!;
    const pair = (prefix << codeSize) | index;
    const known = table[pair]!;
    if (known !== 0) {
      prefix = known;
      continue;
    }
    emit(prefix);
    prefix = index;
    if (next === codeCountMax) {
      emit(clearCode);
      table.fill(0);
      next = endCode + 1;
      width = codeSize + 1;
      continue;
    }
    // The decoder is one entry behind, so the width grows when the new code itself no longer fits.
    if (next === 1 << width) width++;
    table[pair] = next++;
  }
  emit(prefix);
  emit(endCode);
  if (pendingBits > 0) out[size++] = pending & 255;
  return out.subarray(0, size);
}

/** Blocks of at most 255 bytes, each with its length first, and an empty one at the end. */
function blocks(data: Uint8Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < data.length; at += 255) {
    const block = data.subarray(at, at + 255);
    parts.push(Uint8Array.of(block.length), block);
  }
  return Buffer.concat([...parts, Uint8Array.of(0)]);
}
