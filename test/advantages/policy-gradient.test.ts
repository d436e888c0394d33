import { describe, expect, test } from 'vitest';
import { baselineValues } from '../../src/advantages/linear-baseline.ts';
import {
  discountedReturns,
  generalisedAdvantages,
  policyGradientCoefficients,
} from '../../src/advantages/policy-gradient.ts';
import { createRandom } from '../../src/contract/random.ts';
import { runToEnd } from '../../src/contract/sliced.ts';

describe('returns and advantages', () => {
  const reward = Float32Array.of(1, 2, 4);
  const lengths = [2, 1];

  test('returns are discounted within their episode', () => {
    // 1 + 0.5 x 2, 2; 4.
    expect([...discountedReturns(reward, lengths, 0.5)]).toEqual([2, 2, 4]);
  });

  test('advantages are those computed by hand', () => {
    const values = Float64Array.of(0.5, 1, 3);
    // Last steps: 2 - 1 = 1 and 4 - 3 = 1. First: delta = 1 + 0.5 x 1 - 0.5 = 1, and 1 + 0.5 x 0.5 x 1 = 1.25.
    const advantages = generalisedAdvantages({ reward, values, lengths }, { discount: 0.5, lambda: 0.5 });
    expect([...advantages]).toEqual([1.25, 1, 1]);
  });

  test('with lambda 1 an advantage is the return less the value', () => {
    const values = Float64Array.of(0.5, 1, 3);
    const advantages = generalisedAdvantages({ reward, values, lengths }, { discount: 0.5, lambda: 1 });
    expect([...advantages]).toEqual([2 - 0.5, 2 - 1, 4 - 3]);
  });
});

describe('the baseline', () => {
  test('of one step is the ridge solution', () => {
    const observation = Float32Array.of(1);
    // Features [1, 1, 0, 0, 0, 1], so w = f y / (f.f + 1e-5) and the value is 3 y / (3 + 1e-5).
    const [value] = runToEnd(baselineValues({ observation, lengths: [1] }, Float64Array.of(6)));
    expect(value).toBeCloseTo(18 / 3.00001, 12);
  });

  test('fits what its features can say: observations, their squares, and time to the third power', () => {
    const stepCount = 200;
    const random = createRandom(1);
    const observation = Float32Array.from({ length: 2 * stepCount }, () => random.normal());
    const returns = Float64Array.from({ length: stepCount }, (_, n) => {
      const [a, b] = [observation[2 * n]!, observation[2 * n + 1]!];
      const t = (n % 100) / 100;
      return 2 - a + 3 * b * b + 4 * t ** 3 - t;
    });
    const values = runToEnd(baselineValues({ observation, lengths: [100, 100] }, returns));
    returns.forEach((value, n) => {
      expect(values[n]).toBeCloseTo(value, 3);
    });
    // What they cannot say stays.
    const product = returns.map((_, n) => observation[2 * n]! * observation[2 * n + 1]!);
    const rest = runToEnd(baselineValues({ observation, lengths: [100, 100] }, product));
    expect(Math.max(...rest.map((value, n) => Math.abs(value - product[n]!)))).toBeGreaterThan(0.5);
  });

  test('values that it cannot be fitted to are refused', () => {
    const observation = new Float32Array(3 * 4).map((_, i) => 3e38 * (i % 2 === 0 ? 1 : 0.99));
    expect(() => runToEnd(baselineValues({ observation, lengths: [4] }, new Float64Array(4).fill(1)))).toThrow(
      'baseline: expected observations and rewards that a linear baseline can be fitted to, got values that are too large',
    );
  });
});

describe('coefficients', () => {
  test('of two steps alike but for their reward', () => {
    const episodes = { observation: Float32Array.of(1, 1), reward: Float32Array.of(1, 3), lengths: [1, 1] };
    const coefficients = runToEnd(policyGradientCoefficients(episodes, { discount: 0.9, lambda: 1 }));
    // Both have value 2, so the advantages are -1 and 1: mean 0, deviation 1. Two episodes of one step: halves.
    expect(coefficients[0]).toBeCloseTo(-0.5, 5);
    expect(coefficients[1]).toBeCloseTo(0.5, 5);
  });

  test('every episode counts the same, however long', () => {
    const lengths = [3, 50, 7];
    const random = createRandom(2);
    const observation = Float32Array.from({ length: 60 * 2 }, () => random.normal());
    const reward = Float32Array.from({ length: 60 }, () => random.normal());
    const coefficients = runToEnd(
      policyGradientCoefficients({ observation, reward, lengths }, { discount: 0.95, lambda: 0.9 }),
    );
    const weights = lengths.flatMap((length) => new Array<number>(length).fill(1 / (3 * length)));
    const advantages = weights.map((weight, n) => coefficients[n]! / weight);
    const mean = advantages.reduce((sum, advantage, n) => sum + weights[n]! * advantage, 0);
    const square = advantages.reduce((sum, advantage, n) => sum + weights[n]! * advantage ** 2, 0);
    expect(mean).toBeCloseTo(0, 5);
    expect(square).toBeCloseTo(1, 5);
  });

  test('with weighting by steps, every step counts the same', () => {
    const lengths = [3, 50, 7];
    const random = createRandom(2);
    const observation = Float32Array.from({ length: 60 * 2 }, () => random.normal());
    const reward = Float32Array.from({ length: 60 }, () => random.normal());
    const coefficients = runToEnd(
      policyGradientCoefficients({ observation, reward, lengths }, { discount: 0.95, lambda: 0.9, weighting: 'steps' }),
    );
    const advantages = [...coefficients].map((coefficient) => 60 * coefficient);
    expect(advantages.reduce((sum, advantage) => sum + advantage, 0) / 60).toBeCloseTo(0, 5);
    expect(advantages.reduce((sum, advantage) => sum + advantage ** 2, 0) / 60).toBeCloseTo(1, 5);
  });

  test('one step alone says nothing', () => {
    const episodes = { observation: Float32Array.of(2), reward: Float32Array.of(5), lengths: [1] };
    expect([...runToEnd(policyGradientCoefficients(episodes, { discount: 0.9, lambda: 1 }))]).toEqual([0]);
  });

  test('the work comes in slices, and they change nothing', () => {
    const stepCount = 1000;
    const random = createRandom(3);
    const observation = Float32Array.from({ length: 60 * stepCount }, () => random.normal());
    const reward = Float32Array.from({ length: stepCount }, () => random.normal());
    const episodes = { observation, reward, lengths: [stepCount] };
    const work = policyGradientCoefficients(episodes, { discount: 0.95, lambda: 1 });
    let sliceCount = 0;
    let result = work.next();
    for (; result.done !== true; result = work.next()) sliceCount++;
    // 124 features: 7.7 M multiply-adds for the Gram matrix at 0.2 M a slice.
    expect(sliceCount).toBeGreaterThan(30);
    expect(result.value).toEqual(runToEnd(policyGradientCoefficients(episodes, { discount: 0.95, lambda: 1 })));
  });
});
