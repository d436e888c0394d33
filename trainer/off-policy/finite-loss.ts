/** Updates that must not be taken. */

import { failedPrecondition } from '../../src/contract/errors.ts';

/**
 * Call between the gradients and the optimiser: parameters that follow a loss that is not finite are lost.
 * @throws HyperpolicyError failed_precondition
 */
export function requireFiniteLoss(name: string, loss: number): void {
  if (Number.isFinite(loss)) return;
  throw failedPrecondition({
    where: `update: ${name}`,
    expected: 'a finite loss',
    actual: String(loss),
    remedy: 'Bound the rewards of the environment, or take lower learning rates',
  });
}
