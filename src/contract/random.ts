/**
 * Counter-based random numbers: Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 * A draw is a pure function of (seed, stream, position), so it does not depend on batching, process or order, and a
 * generator's whole state is one number. Not for secrets.
 */

const multiplier0 = 0xd2511f53;
const multiplier1 = 0xcd9e8d57;
const weyl0 = 0x9e3779b9;
const weyl1 = 0xbb67ae85;
const roundCount = 10;

/** High 32 bits of the 64-bit product of two unsigned 32-bit integers. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle & 0xffff) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/**
 * One Philox 4x32-10 block: four uniform unsigned 32-bit integers for a 128-bit counter and a 64-bit key.
 * @param out receives the four words
 */
export function philox(
  counter: readonly [number, number, number, number],
  key: readonly [number, number],
  out: Uint32Array,
): void {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < roundCount; round++) {
    const high0 = multiplyHigh(multiplier0, c0);
    const low0 = Math.imul(multiplier0, c0) >>> 0;
    const high1 = multiplyHigh(multiplier1, c2);
    const low1 = Math.imul(multiplier1, c2) >>> 0;
    c0 = (high1 ^ c1 ^ k0) >>> 0;
    c1 = low1;
    c2 = (high0 ^ c3 ^ k1) >>> 0;
    c3 = low0;
    k0 = (k0 + weyl0) >>> 0;
    k1 = (k1 + weyl1) >>> 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}

/** Splits a seed, an integer in [0, 2^53), into the two words of a key. */
export function seedKey(seed: number): readonly [number, number] {
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw new RangeError(`seed: expected an integer in [0, 2^53), got ${seed}`);
  }
  return [seed >>> 0, Math.floor(seed / 0x1_0000_0000)];
}

/** A uniform word as a number in (0, 1): the middle of its 2^-32 wide interval, so its logarithm is finite. */
const unit = (word: number): number => (word + 0.5) * 2 ** -32;

/** Box-Muller: two uniform words to the two normals at `out[at]` and `out[at + 1]`. */
function boxMuller(word0: number, word1: number, out: Float64Array, at: number): void {
  const radius = Math.sqrt(-2 * Math.log(unit(word0)));
  const angle = 2 * Math.PI * unit(word1);
  out[at] = radius * Math.cos(angle);
  out[at + 1] = radius * Math.sin(angle);
}

/**
 * Noise of the row-th of several rows: N(0, 1) draws for dims 0..size-1, a function of (seed, row, dim) alone.
 *
 * Counter: (row, dim >> 2, 0, 0); key: the seed's low and high words; words 0,1 give dims 0,1 of the block, words 2,3 give dims 2,3.
 * @param out receives `size` values at `offset`
 */
export function normalRow(seed: number, row: number, size: number, out: Float32Array, offset = 0): void {
  const key = seedKey(seed);
  const words = new Uint32Array(4);
  const normals = new Float64Array(4);
  for (let dim = 0; dim < size; dim++) {
    const lane = dim & 3;
    if (lane === 0) {
      philox([row >>> 0, dim >>> 2, 0, 0], key, words);
      boxMuller(words[0]!, words[1]!, normals, 0);
      boxMuller(words[2]!, words[3]!, normals, 2);
    }
    out[offset + dim] = normals[lane]!;
  }
}

/** A sequence of draws with a restorable position. Streams of one seed are independent of each other. */
export type Random = {
  /** Uniform in (0, 1), of 32 random bits. */
  uniform(): number;
  /** Standard normal. */
  normal(): number;
  /** Standard normals into the whole of `out`; cheaper than one at a time, four to a draw. */
  fillNormal(out: Float32Array): void;
  /** Uniform integer in [0, limit), limit at most 2^32. */
  integer(limit: number): number;
  /** Index of the next draw; assign to continue from a saved one. */
  position: number;
};

/**
 * A generator over (seed, stream). Every draw advances `position` by one (`fillNormal`: by one per four values), so a saved
 * position resumes exactly.
 * @param seed integer in [0, 2^53)
 * @param stream integer in [0, 2^32): one per use (exploration, sampling, resets, ...)
 */
export function createRandom(seed: number, stream = 0): Random {
  const key = seedKey(seed);
  const words = new Uint32Array(4);
  const normals = new Float64Array(4);
  // Word 3 of the counter is 1 so that sequences never share a block with `normalRow`, whose word 3 is 0.
  const draw = (position: number) =>
    philox([position >>> 0, Math.floor(position / 0x1_0000_0000) >>> 0, stream >>> 0, 1], key, words);
  return {
    position: 0,
    uniform() {
      draw(this.position++);
      return unit(words[0]!);
    },
    normal() {
      draw(this.position++);
      boxMuller(words[0]!, words[1]!, normals, 0);
      return normals[0]!;
    },
    fillNormal(out) {
      for (let i = 0; i < out.length; i++) {
        const lane = i & 3;
        if (lane === 0) {
          draw(this.position++);
          boxMuller(words[0]!, words[1]!, normals, 0);
          boxMuller(words[2]!, words[3]!, normals, 2);
        }
        out[i] = normals[lane]!;
      }
    },
    integer(limit) {
      draw(this.position++);
      // 64 random bits against a limit of at most 2^32: the bias is below 2^-32.
      return Math.floor(((words[0]! + words[1]! * 2 ** -32) / 2 ** 32) * limit);
    },
  };
}
