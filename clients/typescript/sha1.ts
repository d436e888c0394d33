/**
 * SHA-1 of the few bytes of a routing key, as the Python client makes it. The one of browsers answers later, and is missing on pages that came
 * without TLS. It protects no secret here.
 */

const rotated = (word: number, bits: number): number => (word << bits) | (word >>> (32 - bits));

/** @returns 20 bytes */
export function sha1(bytes: Uint8Array): Uint8Array {
  const padded = new DataView(new ArrayBuffer(((bytes.length + 72) >> 6) << 6));
  new Uint8Array(padded.buffer).set(bytes);
  padded.setUint8(bytes.length, 0x80);
  padded.setBigUint64(padded.byteLength - 8, 8n * BigInt(bytes.length));
  const hash = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  const words = new Int32Array(80);
  for (let at = 0; at < padded.byteLength; at += 64) {
    for (let i = 0; i < 80; i++) {
      words[i] =
        i < 16
          ? padded.getInt32(at + 4 * i)
          : rotated(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1);
    }
    mix(hash, words);
  }
  const digest = new DataView(new ArrayBuffer(20));
  for (const [i, word] of hash.entries()) digest.setInt32(4 * i, word);
  return new Uint8Array(digest.buffer);
}

/** One block of 64 bytes, as 80 words. */
function mix(hash: Int32Array, words: Int32Array): void {
  let [a, b, c, d, e] = hash as unknown as [number, number, number, number, number];
  for (let i = 0; i < 80; i++) {
    const next = (rotated(a, 5) + chosen(Math.floor(i / 20), b, c, d) + e + words[i]!) | 0;
    [a, b, c, d, e] = [next, a, rotated(b, 30), c, d];
  }
  for (const [i, word] of [a, b, c, d, e].entries()) hash[i]! += word;
}

/** The function of a quarter of the rounds, with its constant. */
function chosen(quarter: number, b: number, c: number, d: number): number {
  if (quarter === 0) return ((b & c) | (~b & d)) + 0x5a827999;
  if (quarter === 2) return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
  return (b ^ c ^ d) + (quarter === 1 ? 0x6ed9eba1 : 0xca62c1d6);
}
