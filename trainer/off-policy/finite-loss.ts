/** Updates that must not be taken, and those that were taken in part. */

import { HyperpolicyError } from '../../src/contract/errors.ts';
import type { Adam } from '../../src/optim/adam.ts';
import { asError } from '../run/failure.ts';

/** An update that was refused before any part of it was taken: the learner is as it was. */
export class RefusedUpdate extends HyperpolicyError {}

/** An update that ended when a part of it was taken: the learner is between two states, neither of which a run can go on from. */
export class PartialUpdate extends HyperpolicyError {}

const lowerRates = 'Bound the rewards and observations of the environment, or take lower learning rates';

/**
 * Takes an update. Any fault but a refusal may have come in the middle of it.
 * @throws RefusedUpdate as `update` does; PartialUpdate: every other fault
 */
export function takeUpdate<T>(update: () => T): T {
  try {
    return update();
  } catch (cause) {
    if (cause instanceof RefusedUpdate || cause instanceof PartialUpdate) throw cause;
    const { kind, where, expected, actual, remedy } = asError(cause, 'update');
    throw new PartialUpdate({ kind, where, expected, actual, remedy, cause });
  }
}

/**
 * Call between the gradients and the optimiser: parameters that follow a loss that is not finite are lost.
 * @param options.isBegun whether another optimiser has taken its step of this update
 * @throws RefusedUpdate; PartialUpdate if the update is begun
 */
export function requireFiniteLoss(name: string, loss: number, { isBegun = false } = {}): void {
  if (Number.isFinite(loss)) return;
  const Refusal = isBegun ? PartialUpdate : RefusedUpdate;
  throw new Refusal({
    kind: 'failed_precondition',
    where: `update: ${name}`,
    expected: 'a finite loss',
    actual: String(loss),
    remedy: lowerRates,
  });
}

/**
 * A step of the optimiser. A finite loss may have gradients that are not, or whose squares are not: the step itself finds them.
 * @param loss whose gradient it follows
 * @throws PartialUpdate: the parameters are lost
 */
export function takeStep(loss: string, adam: Adam): void {
  requireSoundStep(loss, adam.step());
}

/** @throws PartialUpdate: steps that are taken left values that are not finite */
export function requireSoundStep(loss: string, isSound: boolean): void {
  if (isSound) return;
  throw new PartialUpdate({
    kind: 'failed_precondition',
    where: `update: gradient of the ${loss}`,
    expected: 'values with squares that float32 holds',
    actual: 'larger ones, or NaN',
    remedy: lowerRates,
  });
}
