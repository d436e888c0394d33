/** SAC's losses: what they say of wrong ranks, and the sign of the temperature's step by hand. */

import '../../../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { plainSpec } from '../../../../src/contract/tensor-spec.ts';
import { valueAndGradients } from '../../../../src/trace/differentiate.ts';
import { sacDefaults } from '../../../../trainer/algorithms/sac/config.ts';
import {
  actorLoss,
  criticLosses,
  criticTarget,
  sampleActions,
  temperatureLoss,
} from '../../../../trainer/algorithms/sac/losses.ts';
import { createSacNetworks } from '../../../../trainer/algorithms/sac/networks.ts';
import type { Transitions } from '../../../../trainer/off-policy/transitions.ts';

beforeAll(async () => {
  await tf.setBackend('cpu');
});

const config = sacDefaults({ architecture: 'mlp-small', hiddenSizes: [4] }, 'Hopper-v5');
const networks = createSacNetworks(config, {
  observation: plainSpec('observation', 3),
  action: plainSpec('action', 2, { low: -1, high: 1 }),
  context: null,
});
const transitions: Transitions = {
  observation: tf.zeros([5, 3]),
  action: tf.zeros([5, 2]),
  reward: tf.zeros([5]),
  nextObservation: tf.zeros([5, 3]),
  terminated: tf.zeros([5]),
};
const noise = tf.zeros([5, 2]) as tf.Tensor2D;
const nothing = { actor: {}, critic: {}, targetCritic: {} };

describe('a tensor of another rank or size is refused before anything is computed', () => {
  test('a column of rewards, which would broadcast to a square of targets', () => {
    const wrong = { ...transitions, reward: tf.zeros([5, 1]) as unknown as tf.Tensor1D };
    expect(() => criticTarget(networks, nothing, wrong, noise, tf.scalar(1), config)).toThrow(
      'SAC critic target: expected nextObservation [B, O], reward [B], terminated [B], temperature [], ' +
        'got nextObservation [5, 3], reward [5, 1], terminated [5], temperature []',
    );
  });

  test('a column of targets, a temperature per row, noise of other rows, and log-densities per action value', () => {
    const column = tf.zeros([5, 1]) as unknown as tf.Tensor1D;
    expect(() => criticLosses(networks, {}, transitions, column)).toThrow(
      'SAC critic losses: expected observation [B, O], target [B], got observation [5, 3], target [5, 1]',
    );
    expect(() => actorLoss(networks, nothing, transitions, noise, tf.ones([5]) as unknown as tf.Scalar)).toThrow(
      'SAC actor loss: expected temperature [], got temperature [5]',
    );
    expect(() => sampleActions(networks, {}, transitions, tf.zeros([4, 2]))).toThrow(
      'SAC actions: expected observation [B, O], noise [B, 2], got observation [5, 3], noise [4, 2]',
    );
    expect(() => temperatureLoss(tf.scalar(0), noise as unknown as tf.Tensor1D, -2)).toThrow(
      'SAC temperature loss: expected logAlpha [], logProb [B], got logAlpha [], logProb [5, 2]',
    );
  });
});

test('the temperature falls while the entropy is above its target, and rises below it', () => {
  // log pi = (-1, -5), H = -2: mean (log pi + H) = (-3 - 7) / 2 = -5; loss = -0.5 x -5 = 2.5, d loss / d log alpha = 5.
  // log pi = (4, 6): mean = (2 + 4) / 2 = 3; gradient -3.
  const at = (logProb: number[]) =>
    valueAndGradients(({ logAlpha }) => temperatureLoss(logAlpha as tf.Scalar, tf.tensor1d(logProb), -2), {
      logAlpha: tf.scalar(0.5),
    });
  const above = at([-1, -5]);
  expect(above.value.dataSync()[0]).toBeCloseTo(2.5, 5);
  expect(above.gradients.logAlpha!.dataSync()[0]).toBeCloseTo(5, 5);
  expect(at([4, 6]).gradients.logAlpha!.dataSync()[0]).toBeCloseTo(-3, 5);
});

test('the paper lowers the learning rates for hypernetworks, the actor by environment', () => {
  const hyper = { architecture: 'sa-hyper' };
  expect(sacDefaults(hyper, 'Hopper-v5')).toMatchObject({ actorLearningRate: 2e-5, criticLearningRate: 5e-5 });
  expect(sacDefaults(hyper, 'HalfCheetah-v5')).toMatchObject({ actorLearningRate: 1e-4, criticLearningRate: 5e-5 });
  const mlp = { architecture: 'mlp-standard' };
  expect(sacDefaults(mlp, 'Hopper-v5')).toMatchObject({
    actorLearningRate: 3e-4,
    criticLearningRate: 3e-4,
    rewardScale: 5,
  });
  expect(sacDefaults(mlp, 'Hopper-v5', 'sac')).toMatchObject({ rewardScale: 1, temperature: 'learned', alpha: 1 });
});
