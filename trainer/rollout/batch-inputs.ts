/** What the caller writes into the shared memory of a vectorised environment, checked: actions and tasks. */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { SharedBatch } from './shared-batch.ts';

/**
 * Copies a batch of actions to the shared memory, all or none.
 * @param actions [N, A], environment units
 * @throws HyperpolicyError invalid_argument: another number of values, or one that is not finite
 */
export function takeActions(batch: SharedBatch, name: string, specs: PolicySpecs, actions: ArrayLike<number>): void {
  const { environmentCount, actionSize } = batch.sizes;
  if (actions.length !== batch.actions.length) {
    throw invalidArgument({
      where: `${name}: step`,
      expected: `${environmentCount} x ${actionSize} action values`,
      actual: String(actions.length),
    });
  }
  for (let i = 0; i < actions.length; i++) {
    const value = actions[i]!;
    if (value - value === 0) continue;
    const [row, dim] = [Math.floor(i / actionSize), i % actionSize];
    throw invalidArgument({
      where: `${name}: step`,
      expected: `a finite action value ${dim} (${specs.action.names[dim]}) in row ${row}`,
      actual: String(value),
    });
  }
  batch.actions.set(actions);
}

/**
 * Copies the tasks of the next episodes to the shared memory, all or none.
 * @param contexts [C] for each of N rows
 * @throws HyperpolicyError invalid_argument: other sizes, a value that is not finite, an environment without tasks
 */
export function writeContexts(
  batch: SharedBatch,
  name: string,
  specs: PolicySpecs,
  contexts: readonly ArrayLike<number>[],
): void {
  const { environmentCount, contextSize } = batch.sizes;
  const refuse = (expected: string, actual: string) =>
    invalidArgument({ where: `${name}: contexts`, expected, actual });
  if (specs.context === null) throw refuse('none, as the environment poses one task only', `${contexts.length}`);
  if (contexts.length !== environmentCount) throw refuse(`${environmentCount}, one a row`, `${contexts.length}`);
  contexts.forEach((context, row) => {
    if (context.length !== contextSize || !Array.from(context).every(Number.isFinite)) {
      throw refuse(`${contextSize} finite values in row ${row}`, Array.from(context).join(', '));
    }
  });
  contexts.forEach((context, row) => {
    batch.nextContexts.set(context, row * contextSize);
  });
}
