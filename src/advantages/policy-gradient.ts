/**
 * The coefficients of a policy gradient over episodes of one task: advantages by a linear baseline and generalised advantage
 * estimation. Trainer and server use the same, so that an inner step is the same in both.
 *
 * Source: Duan et al. 2016 (the baseline), Schulman et al. 2016 (the advantages), as in pytorch-maml-rl.
 */

import { invalidArgument } from '../contract/errors.ts';

/** Episodes below each other, N steps in all. */
export type Episodes = {
  readonly observation: Float32Array; // [N, O]
  readonly reward: Float32Array; // [N]
  /** Steps of each episode, each at least 1; the sum is N. */
  readonly lengths: readonly number[];
};

export type AdvantageConfig = {
  /** Of rewards, in [0, 1]. */
  readonly discount: number;
  /** In [0, 1]. */
  readonly lambda: number;
  /** Whether every step or every episode has the same weight; `episodes` unless given. */
  readonly weighting?: 'steps' | 'episodes' | undefined;
};

/** Work in slices of some tenths of a millisecond. The caller may do something else after each slice. */
export type Sliced<T> = Generator<void, T>;

/** Multiply-adds of one slice. */
const sliceProducts = 200_000;

/**
 * The coefficient of each step's grad log pi, [N]: its advantage times its weight. That is 1 / N, or 1 / (count of episodes x steps of
 * its own) where every episode counts the same. With those weights the advantages have mean 0 and standard deviation 1.
 *
 * After an episode's last step the value is 0, however it ended. Reference: pytorch-maml-rl, episode.py.
 * @throws HyperpolicyError invalid_argument if no baseline can be fitted: values too large for it
 */
export function* policyGradientCoefficients(episodes: Episodes, config: AdvantageConfig): Sliced<Float32Array> {
  const { reward, lengths } = episodes;
  const values = yield* baselineValues(episodes, discountedReturns(reward, lengths, config.discount));
  const advantages = generalisedAdvantages({ reward, values, lengths }, config);
  const weightIn = (length: number) =>
    config.weighting === 'steps' ? 1 / reward.length : 1 / (lengths.length * length);
  const weights = new Float64Array(reward.length);
  let begin = 0;
  for (const length of lengths) {
    weights.fill(weightIn(length), begin, begin + length);
    begin += length;
  }
  const mean = advantages.reduce((sum, advantage, n) => sum + advantage * weights[n]!, 0);
  const variance = advantages.reduce((sum, advantage, n) => sum + (advantage - mean) ** 2 * weights[n]!, 0);
  const scale = Math.sqrt(variance) + 1e-8;
  return Float32Array.from(advantages, (advantage, n) => ((advantage - mean) / scale) * weights[n]!);
}

/** Runs sliced work to its end. */
export function runToEnd<T>(work: Sliced<T>): T {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
  }
}

/** Sum of discounted rewards from each step to the end of its episode, [N]. */
export function discountedReturns(reward: Float32Array, lengths: readonly number[], discount: number): Float64Array {
  return backwards(lengths, reward.length, (n, after) => reward[n]! + discount * after);
}

/** A_t = delta_t + discount lambda A_(t+1) with delta_t = r_t + discount V_(t+1) - V_t, [N]. */
export function generalisedAdvantages(
  {
    reward,
    values,
    lengths,
  }: { readonly reward: Float32Array; readonly values: Float64Array; readonly lengths: readonly number[] },
  { discount, lambda }: AdvantageConfig,
): Float64Array {
  return backwards(lengths, reward.length, (n, after, isLast) => {
    const next = isLast ? 0 : values[n + 1]!;
    return reward[n]! + discount * next - values[n]! + discount * lambda * after;
  });
}

/** Fills each episode from its end; `after` is the step after, 0 at the last. */
function backwards(
  lengths: readonly number[],
  size: number,
  step: (n: number, after: number, isLast: boolean) => number,
): Float64Array {
  const result = new Float64Array(size);
  let end = 0;
  for (const length of lengths) {
    end += length;
    let after = 0;
    for (let n = end - 1; n >= end - length; n--) {
      after = step(n, after, n === end - 1);
      result[n] = after;
    }
  }
  return result;
}

/**
 * The linear baseline's values of every step, [N]: returns fitted to the features [o, o^2, t, t^2, t^3, 1] with t in hundreds of
 * steps, by least squares with a ridge of 1e-5, ten times larger until the system can be solved.
 */
export function* baselineValues(
  episodes: Pick<Episodes, 'observation' | 'lengths'>,
  returns: Float64Array,
): Sliced<Float64Array> {
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
function featureBlocks({ observation, lengths }: Pick<Episodes, 'observation' | 'lengths'>, stepCount: number) {
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
