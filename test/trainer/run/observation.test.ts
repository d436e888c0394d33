import { expect, test } from 'vitest';
import { checkObservations } from '../../../trainer/run/observation.ts';

const spec = { names: ['x', 'speed'], low: [null, null], high: [null, null], units: ['m', 'm/s'] };

/** Three steps of two rows. A value that no loss can hold is after the second step of row 1, and in no other place. */
const rolloutWith = (diverged: number[]) => {
  const observations = new Float32Array(12);
  const nextObservations = new Float32Array(12);
  nextObservations[(1 * 2 + 1) * 2 + 1] = 1e20;
  const [none, flags] = [new Float32Array(0), new Uint8Array(6)];
  return {
    ...{
      stepCount: 3,
      environmentCount: 2,
      observations,
      nextObservations,
      actions: none,
      contexts: new Float64Array(0),
    },
    ...{
      rewards: new Float64Array(6),
      terminated: flags,
      truncated: flags,
      diverged: Uint8Array.from(diverged),
      episodes: [],
    },
  };
};

test('an observation of a rollout that no loss can hold is refused, unless the simulator diverged in its step', () => {
  const check = (diverged: number[]) => checkObservations(rolloutWith(diverged), { environment: 'line', spec });
  const refusal = 'line, after step 2, row 1: expected observation value 1 ("speed") between';
  expect(() => check([0, 0, 0, 0, 0, 0])).toThrow(refusal);
  expect(() => check([0, 0, 1, 0, 0, 0])).toThrow(refusal);
  check([0, 0, 0, 1, 0, 0]);
});
