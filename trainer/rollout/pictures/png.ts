/**
 * PNG of 8-bit RGB. Source: Portable Network Graphics specification, W3C, third edition.
 *
 * Our own, since Node has the compression: fast-png (8.0.0) brings a compressor and buffers of its own.
 */

import { crc32, deflateSync } from 'node:zlib';
import type { Picture } from './render.ts';

const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);

/** Encodes a picture. */
export function encodePng({ width, height, pixels }: Picture): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // 8 bits a channel, RGB.
  header.set([8, 2, 0, 0, 0], 8);
  const rowSize = width * 3;
  const rows = Buffer.alloc(height * (rowSize + 1));
  for (let row = 0; row < height; row++) {
    // Byte 0 of a row is its filter: none.
    rows.set(pixels.subarray(row * rowSize, (row + 1) * rowSize), row * (rowSize + 1) + 1);
  }
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(rows, { level: 9 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

/** Pixels between two pictures. */
const gap = 4;

/** Pictures of one height side by side, with white between them. */
export function joinPictures(pictures: readonly Picture[]): Picture {
  const height = pictures[0]!.height;
  const width = pictures.reduce((sum, picture) => sum + picture.width + gap, -gap);
  const pixels = new Uint8Array(width * height * 3).fill(255);
  let left = 0;
  for (const picture of pictures) {
    const rowSize = picture.width * 3;
    for (let row = 0; row < height; row++) {
      pixels.set(picture.pixels.subarray(row * rowSize, (row + 1) * rowSize), (row * width + left) * 3);
    }
    left += picture.width + gap;
  }
  return { width, height, pixels };
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const body = Buffer.concat([Buffer.from(type), data]);
  const frame = Buffer.alloc(body.length + 8);
  frame.writeUInt32BE(data.length, 0);
  frame.set(body, 4);
  frame.writeUInt32BE(crc32(body), body.length + 4);
  return frame;
}
