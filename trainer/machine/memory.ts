/** How much memory there is, and whether the steps of a rollout fit in it, asked before they are allocated. */

import { totalmem } from 'node:os';
import { invalidArgument } from '../../src/contract/errors.ts';

const gibibyte = 2 ** 30;

/** Bytes of the machine's memory, or of the container's. */
export const memoryLimit = (): number => Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY);

/**
 * @param steps rows and steps of each that are kept at once
 * @param byteCount of each, at least
 * @throws HyperpolicyError invalid_argument: more than the machine, or the container, has
 */
export function requireMemory(
  where: string,
  steps: { readonly rowCount: number; readonly stepCount: number },
  byteCount: number,
): void {
  const limit = memoryLimit();
  const needed = steps.rowCount * steps.stepCount * byteCount;
  if (needed <= limit) return;
  throw invalidArgument({
    where,
    expected: `steps that fit in ${(limit / gibibyte).toFixed(1)} GiB of memory`,
    actual: `${steps.rowCount} rows of ${steps.stepCount} steps, which need ${(needed / gibibyte).toFixed(1)} GiB`,
    remedy:
      'All steps of the episodes are kept: lower episodeStepCountMax of the environment, or have fewer tasks or episodes',
  });
}
