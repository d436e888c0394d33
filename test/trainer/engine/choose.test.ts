/** Every engine by its name: the same update as the traced one, a whole short run, and what is said of one that is missing. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { afterAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { createEngine } from '../../../trainer/engine/choose.ts';
import type { EngineName } from '../../../trainer/engine/names.ts';
import { offPolicyDefaults } from '../../../trainer/loops/off-policy-config.ts';
import { train } from '../../../trainer/train.ts';
import { hasTensorflow, testWith } from '../../requirements.ts';
import { criticConfigs, randomBatch, smallConfig, smallLearner } from '../algorithms/td3/fixture.ts';

const directory = mkdtempSync(join(tmpdir(), 'hyperpolicy-engine-'));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const withTensorflow = testWith(hasTensorflow, 'the tensorflow engine', 'Run deploy/tensorflow/install.sh');

const largestDifference = (a: Float32Array, b: Float32Array) =>
  a.reduce((largest, value, i) => Math.max(largest, Math.abs(value - b[i]!)), 0);

/** Two updates, the second of the actor too, from equal parameters, batches and noise. */
async function sameUpdate(name: EngineName, critic: keyof typeof criticConfigs): Promise<void> {
  const config = criticConfigs[critic]!;
  const traced = smallLearner(config);
  const other = smallLearner(config, await createEngine(name, { threadCount: 1 }));
  const noises = [createRandom(5), createRandom(5)] as const;
  for (let i = 0; i < 2; i++) {
    traced.learn(randomBatch(i), noises[0]);
    other.learn(randomBatch(i), noises[1]);
  }
  expect(tf.getBackend()).toBe(name);
  // The first moment is linear in the gradients; parameters differ more where Adam divides by a gradient near 0.
  for (const part of ['critic', 'actor'] as const) {
    const moments = traced[part].adam.moment1;
    const scale = moments.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    expect(scale).toBeGreaterThan(1e-6);
    expect(largestDifference(moments, other[part].adam.moment1) / scale).toBeLessThan(1e-4);
    const moved = traced[part].flat.map((value, i) => Math.abs(value - other[part].flat[i]!));
    expect(moved.toSorted()[Math.floor(0.99 * moved.length)]).toBeLessThan(1e-5);
  }
  traced.dispose();
  other.dispose();
}

/** A TD3 run of a few dozen updates, from environment to checkpoint. */
async function shortRun(engine: EngineName): Promise<void> {
  const runDirectory = join(directory, engine);
  const { run } = await train({
    config: {
      environment: 'Pendulum-v1',
      algorithm: { name: 'td3', ...smallConfig(criticConfigs['sa-hyper']!) },
      loop: {
        ...offPolicyDefaults,
        stepCount: 60,
        warmUpStepCount: 30,
        evaluationInterval: 60,
        evaluationEpisodeCount: 1,
      },
      threadCount: 1,
      engine,
    },
    runDirectory,
    stream: { isTTY: false, write: () => true } as never,
  });
  expect(run.step).toBe(60);
  expect(Number.isFinite(run.evaluations.at(-1)!.meanReturn)).toBe(true);
}

describe.each(['mlp-standard', 'sa-hyper'])(
  'the update of TD3 with critic %s is that of the traced engine',
  (critic) => {
    test('on cpu', () => sameUpdate('cpu', critic));
    withTensorflow('on tensorflow', () => sameUpdate('tensorflow', critic));
  },
);

describe('a short run from environment to evaluation', () => {
  test('on cpu', () => shortRun('cpu'));
  withTensorflow('on tensorflow', () => shortRun('tensorflow'));
});

describe('gradients', () => {
  withTensorflow('stay right to second order after TensorFlow has registered its own', async () => {
    await createEngine('tensorflow', { threadCount: 1 });
    await tf.setBackend('tensorflow');
    // d2/dx2 tanh x = -2 tanh x (1 - tanh^2 x); at 0.5: -2 x 0.462117 x 0.786448 = -0.726862
    const second = tf.grad((x: tf.Tensor) => tf.sum(tf.grad((v: tf.Tensor) => tf.sum(tf.tanh(v)))(x)))(tf.scalar(0.5));
    expect(second.dataSync()[0]).toBeCloseTo(-0.726862, 5);
  });
});

describe('misuse', () => {
  test('an unknown engine is refused with the known ones', async () => {
    await expect(createEngine('torch' as EngineName, { threadCount: 1 })).rejects.toThrow(
      'engine: expected one of traced, tensorflow, cpu, got "torch"',
    );
  });

  test.skipIf(hasTensorflow)('tensorflow without its package says how to install it', async () => {
    await expect(createEngine('tensorflow', { threadCount: 1 })).rejects.toThrow(
      'engine "tensorflow": expected @tensorflow/tfjs-node-gpu or @tensorflow/tfjs-node to be installed, got neither. Install it with ' +
        'npm install --no-save --ignore-scripts=false @tensorflow/tfjs-node@4.22.0, or with deploy/tensorflow/install.sh where its download is blocked',
    );
  });
});
