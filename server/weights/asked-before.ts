/**
 * Which keys were asked for before, in memory of a fixed size. A key may be forgotten when others come, and one in four billion is taken
 * for another: either costs time, and no answer is wrong.
 */

/** 64 KiB: the states of some sixty batches. A power of two. */
const markCount = 2 ** 14;

export class AskedBefore {
  readonly #marks = new Uint32Array(markCount);

  /** Whether a key was noted before. It is now. */
  note(key: string): boolean {
    const mark = markOf(key);
    const place = mark & (markCount - 1);
    if (this.#marks[place] === mark) return true;
    this.#marks[place] = mark;
    return false;
  }
}

/** 32 bits of a key, not 0. Source: FNV-1a, its bits mixed at the end as MurmurHash3's are. */
function markOf(key: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0 || 1;
}
