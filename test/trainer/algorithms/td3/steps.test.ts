/** What the TD3 learner does around its losses: units of actions, gradients, targets and exploration, against plain arithmetic. */

import '../../../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../../src/contract/random.ts';
import { memberQ } from '../../../../src/nn/critics/critic.ts';
import { type Parameters, shapesOf } from '../../../../src/nn/parameters.ts';
import { createTd3Learner, type Td3Learner } from '../../../../trainer/algorithms/td3/learner.ts';
import type { Batch } from '../../../../trainer/replay/batch.ts';
import { criticConfigs, randomBatch, smallConfig, smallLearner, specs, tracedEngine } from './fixture.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const tensorsOf = (views: Readonly<Record<string, Float32Array>>, shapes: Record<string, readonly number[]>) =>
  Object.fromEntries(Object.entries(views).map(([name, view]) => [name, tf.tensor(view.slice(), [...shapes[name]!])]));

const meanSquaredError = (q: tf.Tensor, y: Float32Array) => tf.mean(tf.square(tf.sub(q, tf.tensor1d(y))));

/** Of the sum of the twins' mean (Q_i - r)^2: what the critic's step minimises where every row is terminal. */
function terminalGradients({ networks, critic }: Td3Learner, batch: Batch): Record<string, Float32Array> {
  // The bounds are -0.5 and 2: centre 0.75, half 1.25.
  const normalised = batch.action.map((value) => (value - 0.75) / 1.25);
  const observation = tf.tensor2d(batch.observation, [batch.size, 5]);
  const action = tf.tensor2d(normalised, [batch.size, 3]);
  const tensors = tensorsOf(critic.parameters, shapesOf(networks.critic.specs));
  const names = Object.keys(tensors);
  const gradients = tf.grads((...values: tf.Tensor[]) => {
    const parameters: Parameters = Object.fromEntries(names.map((name, i) => [name, values[i]!]));
    const errors = [0, 1].map((i) =>
      meanSquaredError(memberQ(networks.critic, i, parameters, observation, action), batch.reward),
    );
    return tf.add(errors[0]!, errors[1]!);
  })(Object.values(tensors));
  return Object.fromEntries(names.map((name, i) => [name, gradients[i]!.dataSync() as Float32Array]));
}

describe.each(Object.entries(criticConfigs))('TD3 with critic %s', (_name, critic) => {
  test('the critic is fitted at normalised actions', () => {
    const learner = smallLearner(critic);
    const batch = randomBatch(6);
    batch.terminated.fill(1);
    const expected = terminalGradients(learner, batch);
    learner.learn(batch, createRandom(1));
    let largest = 0;
    for (const [name, values] of Object.entries(expected)) {
      values.forEach((value, i) => {
        expect(Math.abs(learner.critic.gradients[name]![i]! - value), name).toBeLessThan(1e-5 * (1 + Math.abs(value)));
        largest = Math.max(largest, Math.abs(value));
      });
    }
    expect(largest).toBeGreaterThan(0.01);
    learner.dispose();
  });

  test('the targets go tau of the way, once in two updates', () => {
    const config = { ...smallConfig(critic), tau: 0.25 };
    const learner = createTd3Learner({ config, specs, engine: tracedEngine, seed: 3 });
    const random = createRandom(1);
    const networks = [learner.critic, learner.actor].map(({ parameters, target }) => {
      const name = Object.keys(target)[0]!;
      target[name]![0] = 5;
      return { parameter: parameters[name]!, target: target[name]! };
    });
    learner.learn(randomBatch(1), random);
    for (const { target } of networks) expect(target[0]).toBe(5);
    learner.learn(randomBatch(2), random);
    // 5 + 0.25 (p - 5) = 3.75 + p / 4
    for (const { parameter, target } of networks) expect(target[0]).toBeCloseTo(3.75 + parameter[0]! / 4, 5);
    learner.dispose();
  });
});

test('exploration noise is in normalised units: half the width of the bounds scales it', () => {
  const action = { ...specs.action, low: [-0.5, -1, -3], high: [2, 1, 1] };
  const config = smallConfig(criticConfigs['mlp-standard']!);
  const learner = createTd3Learner({ config, specs: { ...specs, action }, engine: tracedEngine, seed: 3 });
  const observation = new Float32Array(5);
  const [mean, out] = [new Float32Array(3), new Float32Array(3)];
  learner.act(observation, mean);
  const random = createRandom(4);
  const squares = [0, 0, 0];
  const drawCount = 4000;
  for (let draw = 0; draw < drawCount; draw++) {
    learner.explore(observation, random, out);
    for (let i = 0; i < 3; i++) squares[i]! += (out[i]! - mean[i]!) ** 2;
  }
  // 0.1 x half, half = (1.25, 1, 2). The standard error of 4000 draws is 1.1 %.
  [0.125, 0.1, 0.2].forEach((expected, i) => {
    expect(Math.abs(Math.sqrt(squares[i]! / drawCount) / expected - 1)).toBeLessThan(0.05);
  });
  learner.dispose();
});
