/** TD3's losses by hand: linear networks of one weight each, and the arithmetic beside every expected value. */

import '../../../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { plainSpec } from '../../../../src/contract/tensor-spec.ts';
import { createEnsemble } from '../../../../src/nn/critics/critic.ts';
import { valueAndGradients } from '../../../../src/trace/differentiate.ts';
import { td3Defaults } from '../../../../trainer/algorithms/td3/config.ts';
import { actorLoss, criticLoss, criticTarget } from '../../../../trainer/algorithms/td3/losses.ts';
import { createTd3Networks, type Td3Networks } from '../../../../trainer/algorithms/td3/networks.ts';
import type { Transitions } from '../../../../trainer/off-policy/transitions.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const config = { ...td3Defaults({ architecture: 'mlp-standard' }), gamma: 0.5, targetNoise: 0.2, targetNoiseClip: 0.5 };

/** pi(s) = k s, and Q_i(s, a) = state_i s + action_i a. */
const networks: Td3Networks = {
  ...createTd3Networks(config, {
    observation: plainSpec('observation', 1),
    action: plainSpec('action', 1, { low: -1, high: 1 }),
    context: null,
  }),
  actor: (parameters, observation) => tf.mul(observation, parameters.k!),
  critic: createEnsemble(
    {
      architecture: 'linear',
      specs: {},
      q: (parameters, observation, action) =>
        tf.squeeze(tf.add(tf.mul(observation, parameters.state!), tf.mul(action, parameters.action!)), [1]),
    },
    { observationSize: 1, actionSize: 1 },
    2,
  ),
};

// pi = s / 4, Q1 = s + 3 a, Q2 = 2 s - 2 a.
const actor = () => ({ k: tf.scalar(0.25) });
const critic = () => ({
  'q0.state': tf.scalar(1),
  'q0.action': tf.scalar(3),
  'q1.state': tf.scalar(2),
  'q1.action': tf.scalar(-2),
});

const column = (values: number[]) => tf.tensor2d(values, [values.length, 1]);

type Rows = {
  observation?: number[];
  action?: number[];
  reward?: number[];
  nextObservation?: number[];
  terminated?: number[];
};

const transitions = (rows: Rows): Transitions => ({
  observation: column(rows.observation ?? [0, 0]),
  action: column(rows.action ?? [0, 0]),
  reward: tf.tensor1d(rows.reward ?? [0, 0]),
  nextObservation: column(rows.nextObservation ?? [0, 0]),
  terminated: tf.tensor1d(rows.terminated ?? [0, 0]),
});

function targetsOf(rows: Rows, noise: number[]): number[] {
  const targets = { actor: actor(), critic: critic() };
  return [...criticTarget(networks, targets, transitions(rows), column(noise), config).dataSync()];
}

function expectClose(actual: readonly number[], expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  expected.forEach((value, i) => {
    expect(actual[i]).toBeCloseTo(value, 5);
  });
}

describe('criticTarget', () => {
  test('is r + gamma min(Q1, Q2) with the noise clipped, and r alone where terminated', () => {
    // s' = 2: pi = 0.5; 0.2 x -4 = -0.8, clipped to -0.5; a~ = 0; Q1 = 2, Q2 = 4; y = 1 + 0.5 x 2 = 2.
    // terminated: y = -1, whatever Q is.
    const rows = { reward: [1, -1], nextObservation: [2, 2], terminated: [0, 1] };
    expectClose(targetsOf(rows, [-4, -4]), [2, -1]);
  });

  test('clips noise from above too, and scales what is within the clip', () => {
    // s' = -2: pi = -0.5; 0.2 x 4 = 0.8, clipped to 0.5; a~ = 0; Q1 = -2, Q2 = -4; y = 0.5 x -4 = -2.
    // s' = 0: pi = 0; 0.2 x 1 = 0.2; Q1 = 0.6, Q2 = -0.4; y = 0.5 x -0.4 = -0.2.
    expectClose(targetsOf({ nextObservation: [-2, 0] }, [4, 1]), [-2, -0.2]);
  });

  test('clips the smoothed action to [-1, 1]', () => {
    // s' = 4: pi + 0.4 = 1.4, clipped to 1; Q1 = 4 + 3 = 7, Q2 = 8 - 2 = 6; y = 0.5 x 6 = 3.
    // s' = -4: pi - 0.4 = -1.4, clipped to -1; Q1 = -4 - 3 = -7, Q2 = -8 + 2 = -6; y = 2 + 0.5 x -7 = -1.5.
    expectClose(targetsOf({ reward: [0, 2], nextObservation: [4, -4] }, [2, -2]), [3, -1.5]);
  });
});

test('criticLoss is the sum over the twins of the mean squared errors', () => {
  // Q1 = (1 + 1.5, 2 - 1.5) = (2.5, 0.5), errors (0.5, -0.5), mean of squares 0.25.
  // Q2 = (2 - 1, 4 + 1) = (1, 5), errors (-1, 4), mean of squares (1 + 16) / 2 = 8.5. Sum: 8.75.
  const rows = transitions({ observation: [1, 2], action: [0.5, -0.5] });
  const loss = criticLoss(networks, critic(), rows, tf.tensor1d([2, 1]));
  expectClose([...loss.dataSync()], [8.75]);
});

test('actorLoss is minus the mean of Q1 at the actor, so a descent raises Q1', () => {
  // pi = (0.25, 0.5); Q1 = (1 + 0.75, 2 + 1.5) = (1.75, 3.5); minus the mean: -2.625.
  // d loss / dk = - mean (3 s) = - (3 + 6) / 2 = -4.5.
  const observation = column([1, 2]);
  const { value, gradients } = valueAndGradients(
    (parameters) => actorLoss(networks, parameters, critic(), observation),
    actor(),
  );
  expectClose([...value.dataSync()], [-2.625]);
  expectClose([...gradients.k!.dataSync()], [-4.5]);
});

describe('a rank or a size that differs is refused, as it would broadcast', () => {
  const rows = transitions({ observation: [1, 2], reward: [1, 2] });
  const targets = { actor: actor(), critic: critic() };

  test('rewards of [B, 1] in the target', () => {
    const wrong = { ...rows, reward: column([1, 2]) as unknown as tf.Tensor1D };
    expect(() => criticTarget(networks, targets, wrong, column([0, 0]), config)).toThrow(
      'TD3 critic target: expected nextObservation [B, O], reward [B], terminated [B], noise [B, A], got nextObservation [2, 1], reward [2, 1], terminated [2], noise [2, 1]',
    );
  });

  test('noise of one row for the batch', () => {
    expect(() => criticTarget(networks, targets, rows, column([0]), config)).toThrow('noise [1, 1]');
  });

  test('targets of [B, 1] in the loss', () => {
    const wrong = column([1, 2]) as unknown as tf.Tensor1D;
    expect(() => criticLoss(networks, critic(), rows, wrong)).toThrow(
      'TD3 critic loss: expected observation [B, O], action [B, A], target [B], got observation [2, 1], action [2, 1], target [2, 1]',
    );
  });

  test('an observation without rows in the actor loss', () => {
    const wrong = tf.tensor1d([1, 2]) as unknown as tf.Tensor2D;
    expect(() => actorLoss(networks, actor(), critic(), wrong)).toThrow(
      'TD3 actor loss: expected observation [B, O], got',
    );
  });
});

test('a task reaches the actor and the critics', () => {
  // pi = c / 4, Q1 = Q2 = s + c: actor loss - mean (s + c), at s = (1, 2), c = (10, 20): -16.5.
  const onTasks: Td3Networks = {
    ...networks,
    actor: (parameters, _, context) => tf.mul(context!, parameters.k!),
    critic: createEnsemble(
      {
        architecture: 'linear',
        specs: {},
        q: (_, observation, __, context) => tf.squeeze(tf.add(observation, context!), [1]),
      },
      { observationSize: 1, actionSize: 1, contextSize: 1 },
      2,
    ),
  };
  const context = column([10, 20]);
  expectClose([...actorLoss(onTasks, actor(), {}, column([1, 2]), context).dataSync()], [-16.5]);
  // Targets r + 0.5 (s' + c) = 0.5 (3 + 10), 1 + 0.5 (4 + 20); errors of q = s + c: 11 - 6.5, 22 - 13.
  const rows = { ...transitions({ observation: [1, 2], reward: [0, 1], nextObservation: [3, 4] }), context };
  const target = criticTarget(onTasks, { actor: actor(), critic: {} }, rows, column([0, 0]), config);
  expectClose([...target.dataSync()], [6.5, 13]);
  // Twice (4.5^2 + 9^2) / 2 = 101.25.
  expectClose([...criticLoss(onTasks, {}, rows, target).dataSync()], [101.25]);
});
