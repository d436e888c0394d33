/** Throttles background work: sleeps after each step in proportion to its time, so that it takes a bounded share of a core. */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** Runs a step and returns its result after the rest. */
export type Stepper = <T>(step: () => T | Promise<T>) => Promise<T>;

/** Longest rest, however long a step took, so that a load ends. */
const restMsMax = 500;

/**
 * @param restRatio milliseconds of rest for each millisecond of work; 0 is a turn of the event loop
 * @param clock milliseconds, not going backwards
 * @param rest sleeps for so many milliseconds
 */
export function createStepper(
  restRatio: number,
  clock: () => number = () => performance.now(),
  rest: (ms: number) => Promise<unknown> = sleep,
): Stepper {
  return async (step) => {
    const startMs = clock();
    const result = await step();
    const restMs = Math.min(restMsMax, restRatio * (clock() - startMs));
    await (restMs > 0 ? rest(restMs) : nextTurn());
    return result;
  };
}
