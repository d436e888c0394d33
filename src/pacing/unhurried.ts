/** Work that nobody waits for, beside work that somebody does: in steps with a rest after each, so that it has a bounded part of a core. */

import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

/** Runs a step, and comes back with its result after the rest. */
export type Stepper = <T>(step: () => T | Promise<T>) => Promise<T>;

/** However long a step took: a load should end. */
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
