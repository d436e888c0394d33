/**
 * Generates the weights of the contexts that clients use for a new version, before it takes the place of another. Without this, the
 * first call of each context after a swap would wait for the primary, all of them at once.
 */

import type { Stepper } from '../../src/pacing/unhurried.ts';
import type { ServedVersion } from './served-version.ts';

/** At most so many, those used last; the others are generated when they are asked for. */
const contextCountMax = 1024;
/** Contexts of one run. A request that comes during a run waits for it, some milliseconds. */
const runContextCount = 8;

export type CarryOptions = {
  readonly step: Stepper;
  /** Asked before each run: false ends it. The weights that were generated stay. */
  readonly isWanted: () => boolean;
};

/**
 * Generates weights for the contexts that a version has in the cache, at most 1024 and half of the cache's bytes, the newest last.
 * Latent contexts are not carried over: they belong to one version.
 * @returns how many
 * @throws Error as WeightSource.learn
 */
export async function carryOver(
  from: ServedVersion,
  to: ServedVersion,
  { step, isWanted }: CarryOptions,
): Promise<number> {
  const [known, learning] = [from.policy?.weights, to.policy?.weights];
  if (known === undefined || learning === undefined) return 0;
  if (to.manifest.context?.source === 'latent' || from.contextSize !== to.contextSize) return 0;
  const keys = known.knownKeys(contextCountMax);
  let count = 0;
  while (count < keys.length && isWanted()) {
    const some = keys.slice(count, count + runContextCount);
    await step(() => learning.learn(some));
    count += some.length;
  }
  return count;
}
