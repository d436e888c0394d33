/** Updates that must not be taken. */

import { HyperpolicyError } from '../../src/contract/errors.ts';

/** An update that is refused when a part of it is taken: the learner is between two states, neither of which a run can go on from. */
export class PartialUpdate extends HyperpolicyError {}

/**
 * Call between the gradients and the optimiser: parameters that follow a loss that is not finite are lost.
 * @param options.isBegun whether another optimiser has taken its step of this update
 * @throws HyperpolicyError failed_precondition; PartialUpdate if the update is begun
 */
export function requireFiniteLoss(name: string, loss: number, { isBegun = false } = {}): void {
  if (Number.isFinite(loss)) return;
  const Refusal = isBegun ? PartialUpdate : HyperpolicyError;
  throw new Refusal({
    kind: 'failed_precondition',
    where: `update: ${name}`,
    expected: 'a finite loss',
    actual: String(loss),
    remedy: 'Bound the rewards of the environment, or take lower learning rates',
  });
}
