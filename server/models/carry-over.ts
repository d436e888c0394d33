/** What a new version takes over from the one before it: the weights of contexts that come back. */

import type { Logger } from 'pino';
import { createStepper } from '../../src/pacing/unhurried.ts';
import type { ServedVersion } from './served-version.ts';

/** Most contexts that are carried over; at most half of the cache's bytes. Others are generated on request. */
const contextCountMax = 1024;
/** Contexts of one run. A request waits for the current run, some milliseconds. */
const runContextCount = 8;

export type CarryOverOptions = {
  /** Milliseconds of rest for each millisecond of generating, for requests. */
  readonly restRatio: number;
  /** Nobody wants the rest any more. */
  readonly isOver: () => boolean;
  readonly log: Logger;
};

/**
 * Generates the weights of the most recently used contexts for a new version, before it is swapped in. Otherwise the first call of each
 * context after a swap would wait for the primary, all of them at once. Latent contexts are not carried over: they belong to one version.
 * @returns the number of contexts; the version is served even if some failed
 */
export async function carryOver(
  from: ServedVersion,
  to: ServedVersion,
  { restRatio, isOver, log }: CarryOverOptions,
): Promise<number> {
  const [known, learning] = [from.policy?.weights, to.policy?.weights];
  if (known === undefined || learning === undefined) return 0;
  if (to.manifest.context?.source === 'latent' || from.contextSize !== to.contextSize) return 0;
  const step = createStepper(restRatio);
  const keys = known.knownKeys(contextCountMax);
  let count = 0;
  try {
    while (count < keys.length && !isOver()) {
      const some = keys.slice(count, count + runContextCount);
      await step(() => learning.prefetch(some));
      count += some.length;
    }
  } catch (error) {
    log.warn({ err: error, model: to.model, version: to.version }, 'contexts were not carried over');
  }
  return count;
}
