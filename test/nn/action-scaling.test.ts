import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, test } from 'vitest';
import { actionScaling, toEnvironment, toNormalised } from '../../src/nn/action-scaling.ts';

beforeAll(() => tf.setBackend('cpu'));

const spec = { names: ['a', 'b', 'c'], low: [-0.5, -1, null], high: [2, 1, null], units: ['1', '1', '1'] };
const scaling = actionScaling(spec);

test('maps [-1, 1] onto the bounds and leaves unbounded values alone', () => {
  // centre (2 - 0.5) / 2 = 0.75, half (2 + 0.5) / 2 = 1.25: 0.2 -> 0.75 + 0.25 = 1.
  expect([...toEnvironment(scaling, tf.tensor2d([[0.2, 0.5, 7]])).dataSync()]).toEqual([1, 0.5, 7]);
  expect([...toNormalised(scaling, tf.tensor2d([[2, -1, 7]])).dataSync()]).toEqual([1, -1, 7]);
});

test('clips what passes a bound by a rounding error', () => {
  const above = 1 + 2 ** -23;
  expect([...toEnvironment(scaling, tf.tensor2d([[above, -above, 7]])).dataSync()]).toEqual([2, -1, 7]);
});

test('keeps bounds that float32 does not hold from within', () => {
  // 0.1 = 13421772.8 x 2^-27
  const tight = { ...spec, low: [-0.1, -1, null], high: [0.1, 1, null] };
  const action = toEnvironment(
    actionScaling(tight),
    tf.tensor2d([
      [1, 1, 7],
      [-1, -1, 7],
    ]),
  ).dataSync();
  const within = 13_421_772 * 2 ** -27;
  expect([...action]).toEqual([within, 1, 7, -within, -1, 7]);
});

test('adds nothing where every value is unbounded', () => {
  const free = actionScaling({ ...spec, low: [null, null, null], high: [null, null, null] });
  expect([...toEnvironment(free, tf.tensor2d([[9, -9, 0]])).dataSync()]).toEqual([9, -9, 0]);
});
