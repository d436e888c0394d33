/** What became of the inferences of each policy and critic: the statistics of the Open Inference Protocol. They go with their version. */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { ModelStatisticsSchema } from '../../src/gen/inference/grpc_predict_v2_pb.ts';
import type { ServedVersion } from '../models/served-version.ts';

export type ModelStatisticsInit = MessageInitShape<typeof ModelStatisticsSchema>;

/** How long the parts of one request took, milliseconds; `total` has all of them. */
export type InferDurations = Readonly<Record<'total' | 'queue' | 'input' | 'compute' | 'output', number>>;

type Sum = { count: number; ms: number };

/** Of one policy or critic of a version. */
export class InferTally {
  readonly #success: Sum = { count: 0, ms: 0 };
  readonly #fail: Sum = { count: 0, ms: 0 };
  readonly #queue: Sum = { count: 0, ms: 0 };
  readonly #input: Sum = { count: 0, ms: 0 };
  readonly #compute: Sum = { count: 0, ms: 0 };
  readonly #output: Sum = { count: 0, ms: 0 };
  #rowCount = 0;
  #lastAtMs = 0;

  answered(rowCount: number, { total, queue, input, compute, output }: InferDurations): void {
    this.#rowCount += rowCount;
    this.#lastAtMs = Date.now();
    add(this.#success, total);
    add(this.#queue, queue);
    add(this.#input, input);
    add(this.#compute, compute);
    add(this.#output, output);
  }

  failed(totalMs: number): void {
    this.#lastAtMs = Date.now();
    add(this.#fail, totalMs);
  }

  /** The message, without what names the model. */
  fields(): ModelStatisticsInit {
    return {
      lastInference: BigInt(this.#lastAtMs),
      inferenceCount: BigInt(this.#rowCount),
      executionCount: BigInt(this.#success.count),
      inferenceStats: {
        success: duration(this.#success),
        fail: duration(this.#fail),
        queue: duration(this.#queue),
        computeInput: duration(this.#input),
        computeInfer: duration(this.#compute),
        computeOutput: duration(this.#output),
      },
    };
  }
}

function add(sum: Sum, ms: number): void {
  sum.count++;
  sum.ms += ms;
}

const duration = ({ count, ms }: Sum) => ({ count: BigInt(count), ns: BigInt(Math.round(ms * 1e6)) });

/** Finds the tally of a policy or critic; it lasts as long as the version. */
export type TallyOf = (target: { readonly served: ServedVersion; readonly kind: 'policy' | 'critic' }) => InferTally;

export function createTallies(): TallyOf {
  const tallies = new WeakMap<ServedVersion, Record<'policy' | 'critic', InferTally>>();
  return ({ served, kind }) => {
    let own = tallies.get(served);
    if (own === undefined) {
      own = { policy: new InferTally(), critic: new InferTally() };
      tallies.set(served, own);
    }
    return own[kind];
  };
}
