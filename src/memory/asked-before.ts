/**
 * Which rows of values were asked for before, in memory of a fixed size. A row may be forgotten when others come, and one in four billion is
 * taken for another: either costs time, and no answer is wrong.
 *
 * Values are mixed as words: over their bytes in a text it took 14 ms for a message of 1 MB.
 */

/** 64 KiB: the states of some sixty batches. A power of two. */
const markCount = 2 ** 14;

export class AskedBefore {
  readonly #marks = new Uint32Array(markCount);

  /** Whether values [from, to) were noted before. They are now. @param words the bits of float32 values */
  note(words: Int32Array, from: number, to: number): boolean {
    const mark = markOf(words, from, to);
    const place = mark & (markCount - 1);
    if (this.#marks[place] === mark) return true;
    this.#marks[place] = mark;
    return false;
  }
}

/** 32 bits of some words, not 0. Source: MurmurHash3 (x86, 32 bits), A. Appleby. */
function markOf(words: Int32Array, from: number, to: number): number {
  let hash = 0;
  for (let i = from; i < to; i++) {
    const word = Math.imul(words[i]!, 0xcc9e2d51);
    hash ^= Math.imul((word << 15) | (word >>> 17), 0x1b873593);
    hash = (Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64) | 0;
  }
  hash ^= 4 * (to - from);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0 || 1;
}
