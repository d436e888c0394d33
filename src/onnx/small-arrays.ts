/**
 * Float32 arrays of a few values, cut from larger pieces of memory: an array of its own costs more to make than a small network to
 * run. A piece is freed when none of its arrays is left, so what is kept for long should be a copy.
 */

const pieceBytes = 65_536;
/** Larger arrays are made by themselves. */
const smallBytesMax = 2048;

let piece = new ArrayBuffer(pieceBytes);
let pieceAsBytes = new Uint8Array(piece);
let used = 0;

/** `count` values, not zeroed. */
export function smallArray(count: number): Float32Array<ArrayBuffer> {
  const bytes = count * 4;
  if (bytes > smallBytesMax) return new Float32Array(count);
  if (used + bytes > pieceBytes) {
    piece = new ArrayBuffer(pieceBytes);
    pieceAsBytes = new Uint8Array(piece);
    used = 0;
  }
  const array = new Float32Array(piece, used, count);
  used += bytes;
  return array;
}

/** The values of little-endian bytes, copied: bytes inside a message are not aligned. @param bytes a multiple of 4 of them */
export function smallArrayOf(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const array = smallArray(bytes.length / 4);
  if (array.buffer === piece) pieceAsBytes.set(bytes, array.byteOffset);
  else new Uint8Array(array.buffer).set(bytes);
  return array;
}
