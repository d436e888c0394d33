/** Steps and the rests after them, on a clock of the test. */

import { expect, test } from 'vitest';
import { createStepper } from '../../src/pacing/unhurried.ts';

function steps(restRatio: number) {
  let nowMs = 0;
  const rests: number[] = [];
  const step = createStepper(
    restRatio,
    () => nowMs,
    async (ms) => rests.push(ms),
  );
  const work = (ms: number) =>
    step(() => {
      nowMs += ms;
      return ms;
    });
  return { work, rests };
}

test('a step is followed by its multiple of rest, of at most half a second', async () => {
  const { work, rests } = steps(3);
  expect([await work(2), await work(100), await work(1000)]).toEqual([2, 100, 1000]);
  expect(rests).toEqual([6, 300, 500]);
});

test('without rest there is a turn of the event loop', async () => {
  const { work, rests } = steps(0);
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  await work(5);
  expect([turned, rests]).toEqual([true, []]);
});

test('a step that throws ends the work with its error', async () => {
  const step = createStepper(0);
  await expect(
    step(() => {
      throw new Error('no graph');
    }),
  ).rejects.toThrow('no graph');
});
