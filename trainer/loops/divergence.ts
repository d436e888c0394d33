/** Notices critics that diverge: such a run goes on for hours before a loss is not finite. */

import type { RunLog } from '../run/algorithm.ts';

/** Twice what rewards allow: before that, critics may be optimistic for a while. */
const divergedFactor = 2;

/**
 * What is learnt, once some step has had a reward: before that, nothing says how large a value can be.
 * @param allowed the largest |value| that rewards so far allow, in the unit of the mean target
 */
export type DivergenceWatch = (step: number, targetMean: number, allowed: number) => void;

/** Warns once in a run. @param rateFlags flags of the learning rates */
export function createDivergenceWatch(rateFlags: readonly string[], log: RunLog | undefined): DivergenceWatch {
  let isTold = false;
  /** The largest |value| as the critics began: theirs, or what rewards and an entropy allowed then. */
  let firstLargest: number | undefined;
  return (step, targetMean, allowed) => {
    if (isTold) return;
    // Values of networks that have not learnt, and of an entropy that is less by now, stay for a while.
    firstLargest ??= Math.max(allowed, Math.abs(targetMean));
    const largest = Math.max(allowed, firstLargest);
    if (Math.abs(targetMean) <= divergedFactor * largest) return;
    isTold = true;
    log?.warn(
      { step, targetMean: rounded(targetMean), largest: rounded(largest) },
      `the critics diverge: their mean target is more than twice what the largest reward so far adds up to, earned in every step. Lower learning rates may help (${rateFlags.join(', ')})`,
    );
  };
}

const rounded = (value: number): number => Number(value.toPrecision(3));
