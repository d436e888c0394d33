/** Long work with turns of the event loop between: timers and interrupts get theirs. */

import { setImmediate as turn } from 'node:timers/promises';
import type { Sliced } from '../../src/contract/sliced.ts';

const turnIntervalMs = 50;

/**
 * Runs sliced work to its end, with a turn at the first slice that ends 50 ms after the last turn.
 * @throws the signal's reason if it is aborted; the work is ended there, and its `finally` blocks run
 */
export async function runInTurns<T>(work: Sliced<T>, signal?: AbortSignal): Promise<T> {
  let turnAt = performance.now() + turnIntervalMs;
  try {
    for (;;) {
      const { done, value } = work.next();
      if (done === true) return value;
      if (performance.now() < turnAt) continue;
      await turn();
      signal?.throwIfAborted();
      turnAt = performance.now() + turnIntervalMs;
    }
  } finally {
    work.return(undefined as T);
  }
}
