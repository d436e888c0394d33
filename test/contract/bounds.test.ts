import { describe, expect, test } from 'vitest';
import { checkBounds, clipToBounds, float32Bounds, requireBounds, unboundedText } from '../../src/contract/bounds.ts';
import { createEnvironment, environmentNames } from '../../src/envs/registry.ts';

const spec = (low: number | null, high: number | null) => ({
  names: ['force'],
  low: [low],
  high: [high],
  units: ['N'],
});

test.each([
  [-1, 1],
  [null, null],
  [0, null],
  [null, 0],
  [-3.4028234663852886e38, 3.4028234663852886e38],
  [0, 2 ** -148],
])('bounds %s to %s can be', (low, high) => {
  expect(() => checkBounds('x', spec(low, high))).not.toThrow();
});

describe('bounds that cannot be are refused', () => {
  test.each([
    [2, 1, 'x value 0 ("force"): expected low below high, got 2 and 1'],
    [1, 1, 'x value 0 ("force"): expected low below high, got 1 and 1'],
    // Both are 1 in float32.
    [1, 1 + 2 ** -30, 'expected low below high, got 1 and 1.0000000009313226'],
    // Between two neighbours in float32, 1 and 1 + 2^-23.
    [1 + 2 ** -25, 1 + 2 ** -23 - 2 ** -25, 'expected low below high'],
    // Half of the smallest float32 above 0 is 0.
    [0, 2 ** -149, 'expected low below high, got 0 and 1.401298464324817e-45'],
    [Number.NEGATIVE_INFINITY, 1, 'expected low and high that float32 can hold, or none, got -Infinity and 1'],
    [null, Number.NaN, 'expected low and high that float32 can hold, or none, got none and NaN'],
    [-1e39, 1e39, 'expected low and high that float32 can hold, or none, got -1e+39 and 1e+39'],
  ])('%s to %s', (low, high, message) => {
    expect(() => checkBounds('x', spec(low, high))).toThrow(message);
  });
});

describe('bounds in float32', () => {
  /** Neighbours in float32 of 0.1 = 13421772.8 x 2^-27. */
  const [below, above] = [13_421_772 * 2 ** -27, 13_421_773 * 2 ** -27];
  test.each([
    [-0.1, 0.1, -below, below],
    [0.1, 0.7, above, Math.fround(0.7)],
    [-1, 1, -1, 1],
    [-0, 0, -0, 0],
    [below, above, below, above],
    [2 ** -150, 1, 2 ** -149, 1],
    [-1, -(2 ** -150), -1, -(2 ** -149)],
    [-(2 ** -150), 2 ** -150, -0, 0],
    [-3.4028234663852886e38, 3.4028234663852886e38, -3.4028234663852886e38, 3.4028234663852886e38],
    [null, null, Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY],
  ])('lie within %s and %s, as near as they can', (low, high, least, most) => {
    const bounds = float32Bounds(spec(low, high));
    expect([bounds.low[0], bounds.high[0]]).toEqual([least, most]);
  });

  test('clip each value of each row to its own', () => {
    const rows = Float32Array.of(-3, 3, 0.5, 0.5);
    clipToBounds(rows, float32Bounds({ low: [-1, 1], high: [0.1, 2] }));
    expect([...rows]).toEqual([-1, 2, below, 1]);
  });
});

describe('an algorithm that maps -1 to 1 onto the bounds', () => {
  test('takes those that are there', () => {
    expect(() => requireBounds('train td3', spec(-2, 1))).not.toThrow();
  });

  test.each([
    [null, null, 'low none, high none'],
    [0, null, 'low 0, high none'],
    [null, 0, 'low none, high 0'],
  ])('refuses %s to %s', (low, high, actual) => {
    expect(() => requireBounds('train td3', spec(low, high))).toThrow(
      `train td3: action "force": expected a low and a high bound, as the policy maps -1 to 1 onto them, got ${actual}. Give both in the specs of the environment, as wide as actions should be tried`,
    );
  });
});

test('a sentence names the values that nothing clips', () => {
  const specs = (count: number, low: number | null, high: number | null) => ({
    names: Array.from({ length: count }, (_, i) => `a${i}`),
    low: Array.from({ length: count }, () => low),
    high: Array.from({ length: count }, () => high),
    units: Array.from({ length: count }, () => 'N'),
  });
  expect(unboundedText(specs(2, -1, 1))).toBeUndefined();
  expect(unboundedText(specs(1, 0, null))).toBe('action "a0" has no high bound: nothing clips it there');
  expect(unboundedText(specs(5, null, null))).toBe(
    'action "a0" has no low and no high bound, "a1" has no low and no high bound, "a2" has no low and no high bound and 2 more: nothing clips it there',
  );
});

test('every environment has bounds that can be, and bounded actions', async () => {
  for (const name of environmentNames) {
    const { specs, dispose } = await createEnvironment(name);
    for (const part of [specs.observation, specs.action, specs.context]) if (part !== null) checkBounds(name, part);
    requireBounds(name, specs.action);
    dispose();
  }
});
