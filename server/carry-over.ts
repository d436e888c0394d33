/**
 * The contexts that clients use, generated for a version before it takes the place of another: else the first call of each context after
 * a swap would wait for the primary, all of them at once.
 */

import type { Stepper } from '../src/spec/unhurried.ts';
import type { ServedVersion } from './served-version.ts';

/** Those used last; what was used longer ago is generated when it is asked for. */
const contextCountMax = 1024;
/** Contexts of a run: a request that comes meanwhile waits for some milliseconds. */
const runContextCount = 8;

/**
 * Generates weights for the contexts that a version has in the cache, at most 1024 and half of the cache's bytes, the newest last.
 * A latent context is of its version alone, so there is nothing to carry over.
 * @returns how many
 * @throws Error as WeightSource.learn
 */
export async function carryOver(from: ServedVersion, to: ServedVersion, step: Stepper): Promise<number> {
  const [known, learning] = [from.policy?.weights, to.policy?.weights];
  if (known === undefined || learning === undefined) return 0;
  if (to.manifest.context?.source === 'latent' || from.contextSize !== to.contextSize) return 0;
  const keys = known.knownKeys(contextCountMax);
  for (let at = 0; at < keys.length; at += runContextCount) {
    await step(() => learning.learn(keys.slice(at, at + runContextCount)));
  }
  return keys.length;
}
