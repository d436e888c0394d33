import '../../../../src/nn/cpu-backend.ts';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { createTd3Learner } from '../../../../trainer/algorithms/td3/learner.ts';
import { createEagerEngine } from '../../../../trainer/engine/eager.ts';
import { PartialUpdate } from '../../../../trainer/off-policy/finite-loss.ts';
import { criticConfigs, randomBatch, smallConfig, smallLearner, specs, steepBatch, tracedEngine } from './fixture.ts';

const largestDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);

function refusalOf(update: () => unknown): unknown {
  try {
    return update();
  } catch (error) {
    return error;
  }
}

const meanDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;

describe.each(Object.entries(criticConfigs))('TD3 with critic %s', (_name, critic) => {
  test('traced and eager updates agree from equal parameters, batches and noise', () => {
    const traced = smallLearner(critic);
    const eager = smallLearner(critic, createEagerEngine('cpu'));
    const start = traced.critic.flat.slice();
    const randoms = [createRandom(5), createRandom(5)] as const;
    // The two run on; where a gradient is near 0, Adam's first steps turn its rounding into up to a whole learning rate.
    for (let i = 0; i < 4; i++) {
      traced.learn(randomBatch(i), randoms[0]);
      eager.learn(randomBatch(i), randoms[1]);
      // Adam's first moment is linear in the gradients: it compares them without that amplification.
      expect(largestDifference(traced.critic.adam.moment1, eager.critic.adam.moment1)).toBeLessThan(1e-5);
      expect(largestDifference(traced.actor.adam.moment1, eager.actor.adam.moment1)).toBeLessThan(1e-5);
    }
    // Far below what one update moves, so a wrong step or rate shows.
    const meanBound = 0.01 * traced.critic.adam.learningRate;
    expect(meanDifference(traced.critic.flat, eager.critic.flat)).toBeLessThan(meanBound);
    expect(meanDifference(traced.critic.flat, start)).toBeGreaterThan(meanBound);
    expect(traced.critic.adam.moment1.some((moment) => Math.abs(moment) > 1e-3)).toBe(true);
    traced.dispose();
  });

  test('an update whose loss is not finite is refused and not taken', () => {
    const learner = smallLearner(critic);
    const before = [learner.critic.flat.slice(), learner.actor.flat.slice(), learner.critic.adam.moment2.slice()];
    const batch = randomBatch(1);
    batch.reward[3] = 3e38;
    // (q - 3e38)^2 is beyond float32.
    expect(() => learner.learn(batch, createRandom(1))).toThrow(
      'update: critic loss: expected a finite loss, got Infinity. Bound the rewards and observations of the environment, or take lower learning rates',
    );
    expect([learner.critic.flat, learner.actor.flat, learner.critic.adam.moment2]).toEqual(before);
    expect(learner.learn(randomBatch(1), createRandom(1))).toBeNull();
    learner.dispose();
  });

  test('a gradient that the optimiser cannot take at a finite loss ends the update in which it comes', () => {
    const learner = smallLearner(critic);
    const refusal = refusalOf(() => learner.learn(steepBatch(1), createRandom(1)));
    expect(refusal).toBeInstanceOf(PartialUpdate);
    expect(refusal).toMatchObject({
      message:
        'update: gradient of the critic loss: expected values with squares that float32 holds, got larger ones, or NaN. ' +
        'Bound the rewards and observations of the environment, or take lower learning rates',
    });
    learner.dispose();
  });

  test('the policy and the targets move on every second update only', () => {
    const learner = smallLearner(critic);
    const actor = learner.actor.flat.slice();
    const target = Object.values(learner.critic.target).map((view) => view.slice());
    const random = createRandom(1);
    learner.learn(randomBatch(1), random);
    expect(largestDifference(learner.actor.flat, actor)).toBe(0);
    Object.values(learner.critic.target).forEach((view, i) => {
      expect(largestDifference(view, target[i]!)).toBe(0);
    });
    learner.learn(randomBatch(2), random);
    expect(largestDifference(learner.actor.flat, actor)).toBeGreaterThan(0);
    const moved = Object.values(learner.critic.target).some((view, i) => largestDifference(view, target[i]!) > 0);
    expect(moved).toBe(true);
    learner.dispose();
  });

  test('a restored learner goes on bit-equally', () => {
    const first = smallLearner(critic);
    const random = createRandom(9);
    for (let i = 0; i < 3; i++) first.learn(randomBatch(i), random);
    const saved = first.save();
    const copy = {
      arrays: Object.fromEntries(Object.entries(saved.arrays).map(([name, array]) => [name, array.slice()])),
      state: JSON.parse(JSON.stringify(saved.state)) as typeof saved.state,
    };
    const second = smallLearner(critic, tracedEngine, 77);
    second.restore(copy);
    const resumed = createRandom(9);
    resumed.position = random.position;
    for (let i = 3; i < 8; i++) {
      first.learn(randomBatch(i), random);
      second.learn(randomBatch(i), resumed);
    }
    expect(second.critic.flat).toEqual(first.critic.flat);
    expect(second.actor.flat).toEqual(first.actor.flat);
    first.dispose();
    second.dispose();
  });

  test('learns the value of a bandit: terminal rewards regress to q', () => {
    const learner = smallLearner(critic);
    const batch = randomBatch(4);
    batch.terminated.fill(1);
    batch.reward.fill(1.5);
    learner.critic.adam.learningRate = 3e-3;
    const random = createRandom(2);
    let loss = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 600; i++) loss = learner.learn(batch, random)?.criticLoss ?? loss;
    // y = 1.5 in every row, so the sum of the twins' squared errors falls from 2 x 1.5^2 = 4.5 towards 0.
    expect(loss).toBeLessThan(0.05);
    learner.dispose();
  });
});

describe('a state of another learner is refused, and changes nothing', () => {
  const learner = smallLearner(criticConfigs['mlp-standard']!);
  const before = learner.critic.flat.slice();
  const { arrays, state } = learner.save();
  const remedy =
    'The state is of other networks or another environment; restore it with the config that it was saved with';

  test('of networks of other sizes', () => {
    const wider = createTd3Learner({
      config: { ...smallConfig(criticConfigs['mlp-standard']!), actorHiddenSizes: [16, 17] },
      specs,
      engine: tracedEngine,
      seed: 4,
    });
    const [own, other] = [learner.actor.flat.length, wider.actor.flat.length];
    expect(() => learner.restore(wider.save())).toThrow(
      `TD3 learner: array "actor.parameters": expected ${own} values, got ${other}. ${remedy}`,
    );
    // The shorter one would fit into the longer.
    expect(() => wider.restore(learner.save())).toThrow(`expected ${other} values, got ${own}. ${remedy}`);
    expect(learner.critic.flat).toEqual(before);
    wider.dispose();
  });

  test('with an array missing, or one too many', () => {
    const { actorLoss: _, ...fewer } = arrays;
    const names = Object.keys(arrays).join(', ');
    expect(() => learner.restore({ arrays: fewer, state })).toThrow(
      `TD3 learner: expected arrays ${names}, got ${Object.keys(fewer).join(', ')}. ${remedy}`,
    );
    expect(() => learner.restore({ arrays: { ...arrays, alpha: new Float32Array(1) }, state })).toThrow(
      `TD3 learner: expected arrays ${names}, got ${names}, alpha. ${remedy}`,
    );
    expect(learner.critic.flat).toEqual(before);
  });
});

describe('TD3 actions', () => {
  const learner = smallLearner(criticConfigs['mlp-standard']!);
  const observation = Float32Array.of(0.3, -1, 2, 0.1, -0.4);

  test('stay inside the environment bounds, exploration included', () => {
    const action = new Float32Array(3);
    const random = createRandom(3);
    const seen = new Set<number>();
    for (let i = 0; i < 200; i++) {
      learner.explore(observation, random, action);
      for (const value of action) {
        expect(value).toBeGreaterThanOrEqual(-0.5);
        expect(value).toBeLessThanOrEqual(2);
      }
      seen.add(action[0]!);
    }
    expect(seen.size).toBeGreaterThan(100);
  });

  test('are deterministic without exploration', () => {
    const [first, second] = [new Float32Array(3), new Float32Array(3)];
    learner.act(observation, first);
    learner.act(observation, second);
    expect(second).toEqual(first);
  });
});
