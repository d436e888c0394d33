import '../../../../src/nn/cpu-backend.ts';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { createEagerEngine } from '../../../../trainer/engine/eager.ts';
import type { SavedState } from '../../../../trainer/run/saved-state.ts';
import { randomBatch, smallLearner, specs, tracedEngine } from './fixture.ts';

const critics = {
  'mlp-standard': { architecture: 'mlp-standard', hiddenSizes: [16, 16] },
  'sa-hyper': { architecture: 'sa-hyper', trunkSizes: [16, 24], dynamicHiddenSizes: [8] },
};

const largestDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);

const copyOf = ({ arrays, state }: SavedState): SavedState => ({
  arrays: Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, array.slice()])),
  state: JSON.parse(JSON.stringify(state)) as SavedState['state'],
});

describe.each(Object.entries(critics))('SAC with critic %s', (_name, critic) => {
  test('traced and eager updates agree from equal parameters, batches and noise', () => {
    const [traced, eager] = [smallLearner(critic), smallLearner(critic, { engine: createEagerEngine('cpu') })];
    const randoms = [createRandom(5), createRandom(5)] as const;
    for (let i = 0; i < 3; i++) {
      traced.learn(randomBatch(i), randoms[0]);
      eager.learn(randomBatch(i), randoms[1]);
      // Linear in the gradients: no step has turned their rounding into a whole learning rate.
      for (const part of ['critic', 'actor', 'temperature'] as const) {
        const scale = Math.max(1, ...traced[part].adam.moment1.map(Math.abs));
        expect(largestDifference(traced[part].adam.moment1, eager[part].adam.moment1) / scale).toBeLessThan(1e-5);
        expect(traced[part].adam.moment1.some((moment) => Math.abs(moment) > 1e-3)).toBe(true);
      }
    }
    traced.dispose();
  });

  test('a restored learner goes on bit-equally, its temperature included', () => {
    const [first, second] = [smallLearner(critic), smallLearner(critic, { seed: 77, engine: tracedEngine })];
    const random = createRandom(9);
    for (let i = 0; i < 3; i++) first.learn(randomBatch(i), random);
    second.restore(copyOf(first.save()));
    const resumed = createRandom(9);
    resumed.position = random.position;
    for (let i = 3; i < 6; i++) {
      first.learn(randomBatch(i), random);
      second.learn(randomBatch(i), resumed);
    }
    for (const part of ['critic', 'actor', 'temperature'] as const) expect(second[part].flat).toEqual(first[part].flat);
    expect(second.critic.target).toEqual(first.critic.target);
    first.dispose();
    second.dispose();
  });
});

test('a fixed temperature stays; a learned one moves', () => {
  for (const temperature of ['fixed', 'learned'] as const) {
    const learner = smallLearner(critics['mlp-standard'], { temperature, alpha: 0.2 });
    learner.learn(randomBatch(1), createRandom(1));
    const alpha = Math.exp(learner.temperature.parameters.logAlpha![0]!);
    if (temperature === 'fixed') expect(alpha).toBeCloseTo(0.2, 6);
    else expect(Math.abs(alpha - 0.2)).toBeGreaterThan(1e-5);
    learner.dispose();
  }
});

test('the hundredth update reports every metric', () => {
  const learner = smallLearner(critics['mlp-standard']);
  const random = createRandom(2);
  for (let i = 0; i < 99; i++) expect(learner.learn(randomBatch(i), random)).toBeNull();
  const metrics = learner.learn(randomBatch(99), random)!;
  expect(Object.keys(metrics)).toEqual([
    'criticLoss',
    'actorLoss',
    'targetMean',
    'entropy',
    'alpha',
    'temperatureLoss',
  ]);
  expect(Object.values(metrics).every(Number.isFinite)).toBe(true);
  learner.dispose();
});

test('actions stay inside the bounds; they are deterministic, and explore with the policy’s own noise', () => {
  const learner = smallLearner(critics['mlp-standard']);
  const observation = Float32Array.of(0.3, -1, 2, 0.1, -0.4);
  const random = createRandom(3);
  const [action, again] = [new Float32Array(3), new Float32Array(3)];
  const seen = new Set<number>();
  learner.act(observation, action);
  for (let i = 0; i < 100; i++) {
    learner.explore(observation, random, again);
    again.forEach((value, j) => {
      expect(value).toBeGreaterThanOrEqual(specs.action.low[j]!);
      expect(value).toBeLessThanOrEqual(specs.action.high[j]!);
    });
    seen.add(again[0]!);
  }
  expect(seen.size).toBeGreaterThan(90);
  learner.act(observation, again);
  expect(again).toEqual(action);
  learner.dispose();
});
