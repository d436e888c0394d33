/**
 * The linear baseline of advantages: returns fitted to features of observation and time.
 *
 * Source: Duan et al. 2016, as in pytorch-maml-rl.
 */

import { invalidArgument } from '../contract/errors.ts';
import type { Sliced } from '../contract/sliced.ts';

/** Observations of episodes below each other, N steps in all. */
export type ObservedEpisodes = {
  readonly observation: Float32Array; // [N, O]
  /** Steps of each episode, each at least 1; the sum is N. */
  readonly lengths: readonly number[];
};

/** Multiply-adds of one slice. */
const sliceProducts = 200_000;

/**
 * The linear baseline's values of every step, [N]: returns fitted to the features [o, o^2, t, t^2, t^3, 1] with t in hundreds of
 * steps, by least squares with a ridge of 1e-5, ten times larger until the system can be solved.
 * @throws HyperpolicyError invalid_argument: values too large for any ridge
 */
export function* baselineValues(episodes: ObservedEpisodes, returns: Float64Array): Sliced<Float64Array> {
  const stepCount = returns.length;
  const { size, blockRows, columns, read } = featureBlocks(episodes, stepCount);
  const gram = new Float64Array(size * size); // lower triangle
  const target = new Float64Array(size);
  const values = new Float64Array(stepCount);
  const blocksPerSlice = Math.max(1, Math.floor(sliceProducts / (blockRows * rowProducts(size))));
  for (let first = 0, block = 1; first < stepCount; first += blockRows, block++) {
    const count = read(first);
    addProducts(gram, columns, count);
    addTargets(target, columns, returns.subarray(first, first + count));
    if (block % blocksPerSlice === 0) yield;
  }
  const weights = yield* solveRidge(gram, target);
  for (let first = 0; first < stepCount; first += blockRows) {
    addValues(values.subarray(first, first + read(first)), columns, weights);
  }
  return values;
}

/** Steps whose features are in memory at once, at most, so that they stay in the first cache. */
const blockRowsMax = 32;

/** Multiply-adds of one row in the lower triangle. */
const rowProducts = (size: number): number => (size * size) / 2;

/** Features of a block of steps, [F, block]; a slice has room for a block. */
function featureBlocks({ observation, lengths }: ObservedEpisodes, stepCount: number) {
  const observationSize = observation.length / stepCount;
  const size = 2 * observationSize + 4;
  const blockRows = Math.max(1, Math.min(blockRowsMax, Math.floor(sliceProducts / rowProducts(size))));
  const columns = new Float64Array(size * blockRows);
  const times = new Float64Array(stepCount);
  let begin = 0;
  for (const length of lengths) {
    for (let t = 0; t < length; t++) times[begin + t] = t / 100;
    begin += length;
  }
  return {
    size,
    blockRows,
    columns,
    /** @returns the steps that there are from the first on, at most a block */
    read(first: number): number {
      const count = Math.min(blockRows, stepCount - first);
      const afterObservation = 2 * observationSize * blockRows;
      for (let r = 0; r < count; r++) {
        const n = first + r;
        for (let i = 0; i < observationSize; i++) {
          const value = observation[n * observationSize + i]!;
          columns[i * blockRows + r] = value;
          columns[(observationSize + i) * blockRows + r] = value * value;
        }
        const t = times[n]!;
        columns[afterObservation + r] = t;
        columns[afterObservation + blockRows + r] = t * t;
        columns[afterObservation + 2 * blockRows + r] = t * t * t;
        columns[afterObservation + 3 * blockRows + r] = 1;
      }
      return count;
    },
  };
}

/** gram += products of the columns over their rows, two by two: half of the reads. The size is even. The sums go on row by row. */
function addProducts(gram: Float64Array, columns: Float64Array, count: number): void {
  const size = Math.sqrt(gram.length);
  const blockRows = columns.length / size;
  for (let i = 0; i < size; i += 2) {
    const a = i * blockRows;
    const b = a + blockRows;
    for (let j = 0; j <= i; j += 2) {
      const c = j * blockRows;
      const d = c + blockRows;
      const upper = i * size + j;
      const lower = upper + size;
      let ac = gram[upper]!;
      let ad = gram[upper + 1]!;
      let bc = gram[lower]!;
      let bd = gram[lower + 1]!;
      for (let r = 0; r < count; r++) {
        const x = columns[a + r]!;
        const y = columns[b + r]!;
        const z = columns[c + r]!;
        const w = columns[d + r]!;
        ac += x * z;
        ad += x * w;
        bc += y * z;
        bd += y * w;
      }
      gram[upper] = ac;
      gram[upper + 1] = ad;
      gram[lower] = bc;
      gram[lower + 1] = bd;
    }
  }
}

/** target += products of the columns with the returns of a block. */
function addTargets(target: Float64Array, columns: Float64Array, returns: Float64Array): void {
  const blockRows = columns.length / target.length;
  for (let i = 0; i < target.length; i++) {
    let sum = target[i]!;
    for (let r = 0; r < returns.length; r++) sum += columns[i * blockRows + r]! * returns[r]!;
    target[i] = sum;
  }
}

/** values += sums of the weighted columns of a block. */
function addValues(values: Float64Array, columns: Float64Array, weights: Float64Array): void {
  const blockRows = columns.length / weights.length;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i]!;
    for (let r = 0; r < values.length; r++) values[r]! += weight * columns[i * blockRows + r]!;
  }
}

const ridgeStart = 1e-5;
const ridgeAttemptCount = 10;

function* solveRidge(gram: Float64Array, target: Float64Array): Sliced<Float64Array> {
  for (let attempt = 0; attempt < ridgeAttemptCount; attempt++) {
    const solution = yield* solveDefinite(gram, target, ridgeStart * 10 ** attempt);
    if (solution !== undefined) return solution;
  }
  throw invalidArgument({
    where: 'baseline',
    expected: 'observations and rewards that a linear baseline can be fitted to',
    actual: 'values that are too large',
  });
}

/** Solves (A + ridge I) x = b by Cholesky's decomposition; undefined if that is not positive definite. */
function* solveDefinite(lower: Float64Array, b: Float64Array, ridge: number): Sliced<Float64Array | undefined> {
  const size = b.length;
  const factor = new Float64Array(size * size);
  let products = 0;
  for (let i = 0; i < size; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = lower[i * size + j]! + (i === j ? ridge : 0);
      for (let k = 0; k < j; k++) sum -= factor[i * size + k]! * factor[j * size + k]!;
      // Written so that NaN is refused too.
      if (i === j && !(sum > 0 && sum < Number.POSITIVE_INFINITY)) return undefined;
      factor[i * size + j] = i === j ? Math.sqrt(sum) : sum / factor[j * size + j]!;
    }
    products += (i * i) / 2;
    if (products > sliceProducts) {
      products = 0;
      yield;
    }
  }
  const x = Float64Array.from(b);
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < i; k++) x[i]! -= factor[i * size + k]! * x[k]!;
    x[i]! /= factor[i * size + i]!;
  }
  for (let i = size - 1; i >= 0; i--) {
    for (let k = i + 1; k < size; k++) x[i]! -= factor[k * size + i]! * x[k]!;
    x[i]! /= factor[i * size + i]!;
  }
  return x;
}
