/** First runs of the networks that a version runs on the event loop. The pool's graphs are warm when they are open. */

import type { WeightBatch, WeightLayout } from '../weights/generated-weights.ts';
import type { ServedCritic } from './served-critic.ts';
import type { ServedPolicy } from './served-policy.ts';

export type Networks = {
  readonly policy: ServedPolicy | null;
  readonly critic: ServedCritic | null;
  readonly observationSize: number;
  readonly actionSize: number;
  readonly contextSize: number;
};

/** One row, and a batch. */
const rowCounts = [1, 64];

/**
 * Runs zeros through the policy, and through a critic whose weights are generated, so that no request is the first.
 * @throws Error where a network does not run
 */
export async function warmUpNetworks(networks: Networks): Promise<void> {
  const { policy, critic, observationSize, actionSize, contextSize } = networks;
  for (const rowCount of rowCounts) {
    const zeros = (size: number) => new Float32Array(rowCount * size);
    const context = contextSize > 0 ? zeros(contextSize) : undefined;
    await policy?.run({
      rowCount,
      observation: zeros(observationSize),
      ...(policy.weights === undefined ? { context } : { weights: zeroWeights(policy.weights.layout) }),
      ...(policy.stochastic && { noise: zeros(actionSize) }),
    });
    if (critic?.weights === undefined) continue;
    const weights = zeroWeights(critic.weights.layout);
    await critic.run({ rowCount, action: zeros(actionSize), context, weights, deadlineMs: Number.POSITIVE_INFINITY });
  }
}

const zeroWeights = ({ size }: WeightLayout): WeightBatch => ({
  entries: [{ block: new Float32Array(size), bytes: size * 4, feeds: undefined }],
});
