/** Notices critics that diverge: such a run goes on for hours before a loss is not finite. */

import type { LearnMetrics, OffPolicyLearner } from '../off-policy/learner.ts';
import type { RunLog } from '../run/algorithm.ts';

/** Twice what rewards allow: before that, critics may be optimistic for a while. */
const divergedFactor = 2;

export type DivergenceWatch = (step: number, metrics: LearnMetrics, largestReward: number) => void;

/** Warns once in a run. While no step has had a reward, nothing says how large a value can be. */
export function createDivergenceWatch(
  learner: Pick<OffPolicyLearner, 'largestValue'>,
  log: RunLog | undefined,
): DivergenceWatch {
  let isTold = false;
  /** The largest |value| as the critics began: theirs, or what rewards and an entropy allowed then. */
  let firstLargest: number | undefined;
  return (step, { targetMean = 0 }, largestReward) => {
    if (isTold || largestReward === 0) return;
    const allowed = learner.largestValue(largestReward);
    // Values of networks that have not learnt, and of an entropy that is less by now, stay for a while.
    firstLargest ??= Math.max(allowed, Math.abs(targetMean));
    const largest = Math.max(allowed, firstLargest);
    if (Math.abs(targetMean) <= divergedFactor * largest) return;
    isTold = true;
    log?.warn(
      { step, targetMean: rounded(targetMean), largest: rounded(largest) },
      'the critics diverge: their mean target is more than twice what the largest reward so far adds up to, earned in every step. Lower learning rates may help (--critic-lr, --actor-lr)',
    );
  };
}

const rounded = (value: number): number => Number(value.toPrecision(3));
