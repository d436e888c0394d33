/** Statistics of the Open Inference Protocol, for each policy and critic of a version. They end with the version. */

import type { NamedTarget } from './targets.ts';

/** Durations of the parts of one request, milliseconds; `total` is the whole. */
export type InferDurations = Readonly<Record<'total' | 'queue' | 'input' | 'compute' | 'output', number>>;

/** Counts of one policy or critic of a version. */
export class InferTally {
  readonly #answered = { count: 0, rowCount: 0, total: 0, queue: 0, input: 0, compute: 0, output: 0 };
  readonly #failed = { count: 0, total: 0 };
  #lastAtMs = 0;

  answered(rowCount: number, durations: InferDurations): void {
    const sums = this.#answered;
    this.#lastAtMs = Date.now();
    sums.count++;
    sums.rowCount += rowCount;
    for (const part of durationNames) sums[part] += durations[part];
  }

  failed(totalMs: number): void {
    this.#lastAtMs = Date.now();
    this.#failed.count++;
    this.#failed.total += totalMs;
  }

  /** The message, without the fields that name the model. */
  fields() {
    const { count, rowCount, total, queue, input, compute, output } = this.#answered;
    return {
      lastInference: BigInt(this.#lastAtMs),
      inferenceCount: BigInt(rowCount),
      executionCount: BigInt(count),
      inferenceStats: {
        success: duration(count, total),
        fail: duration(this.#failed.count, this.#failed.total),
        queue: duration(count, queue),
        computeInput: duration(count, input),
        computeInfer: duration(count, compute),
        computeOutput: duration(count, output),
      },
    };
  }
}

const durationNames = ['total', 'queue', 'input', 'compute', 'output'] as const;

const duration = (count: number, ms: number) => ({ count: BigInt(count), ns: BigInt(Math.round(ms * 1e6)) });

/** The tally of a policy or critic, kept as long as that is served. */
export function createTallies(): (target: NamedTarget) => InferTally {
  const tallies = new WeakMap<object, InferTally>();
  return ({ network }) => {
    const own = tallies.get(network) ?? new InferTally();
    tallies.set(network, own);
    return own;
  };
}
