/** Several updates in one run against the same updates one by one: equal batches and noise, WASM optimisers there, graph nodes here. */

import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import type { CriticConfig } from '../../../src/nn/critics/registry.ts';
import type { Trainable } from '../../../src/optim/trainable.ts';
import { createSacLearner } from '../../../trainer/algorithms/sac/learner.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createEagerEngine } from '../../../trainer/engine/eager.ts';
import type { Engine } from '../../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import type { LearnMetrics, OffPolicyLearner } from '../../../trainer/off-policy/learner.ts';
import type { Batch } from '../../../trainer/replay/batch.ts';
import * as sac from '../algorithms/sac/fixture.ts';
import * as td3 from '../algorithms/td3/fixture.ts';

const traced = createTracedEngine({ threadCount: 1 });

type Case = {
  readonly create: (updatesPerRun: number, engine?: Engine) => OffPolicyLearner & Readonly<Record<string, unknown>>;
  readonly batch: (seed: number) => Batch;
  readonly trained: readonly string[];
};

const td3With = (critic: CriticConfig): Case => ({
  create: (updatesPerRun, engine = traced) =>
    createTd3Learner({ config: td3.smallConfig(critic), specs: td3.specs, engine, seed: 3, updatesPerRun }),
  batch: td3.randomBatch,
  trained: ['actor', 'critic'],
});

const sacWith = (critic: CriticConfig, temperature: 'fixed' | 'learned'): Case => ({
  create: (updatesPerRun, engine = traced) => {
    const config = { ...sac.smallConfig(critic), temperature };
    return createSacLearner({ config, specs: sac.specs, engine, seed: 3, updatesPerRun });
  },
  batch: sac.randomBatch,
  trained: ['actor', 'critic', 'temperature'],
});

const { 'sa-hyper': saHyper, 'mlp-standard': mlp, 'emb-hyper': embHyper } = td3.criticConfigs;

const cases: Record<string, Case> = {
  'TD3, sa-hyper': td3With(saHyper!),
  'TD3, MLPs as stacks': td3With(mlp!),
  'TD3, twins that share a parameter': td3With(embHyper!),
  'SAC, sa-hyper, learned temperature': sacWith(saHyper!, 'learned'),
  'SAC, MLPs as stacks, fixed temperature': sacWith(mlp!, 'fixed'),
};

/** Takes updates with seeded batches and noise; the metrics that were reported, by the number of updates. */
function learn(learner: OffPolicyLearner, batch: Case['batch'], { from = 0, to }: { from?: number; to: number }) {
  const reported: Record<number, LearnMetrics> = {};
  for (let i = from; i < to; i++) {
    const metrics = learner.learn(batch(i), createRandom(100 + i));
    if (metrics !== null) reported[i + 1] = metrics;
  }
  return reported;
}

const trainable = (learner: Readonly<Record<string, unknown>>, name: string) => learner[name] as Trainable;

const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView) => Buffer.from(buffer, byteOffset, byteLength);

/** The largest difference, in units of the largest value. */
function difference(actual: Float32Array, expected: Float32Array): number {
  let [most, scale] = [0, 0];
  expected.forEach((value, i) => {
    most = Math.max(most, Math.abs(value - actual[i]!));
    scale = Math.max(scale, Math.abs(value));
  });
  return scale === 0 ? most : most / scale;
}

describe.each(Object.entries(cases))('%s', (_name, { create, batch, trained }) => {
  test('100 updates, 20 in a run, are those taken one by one', () => {
    const [single, run] = [create(1), create(20)];
    const start = trained.map((name) => trainable(single, name).flat.slice());
    const [metrics, ofRuns] = [learn(single, batch, { to: 100 }), learn(run, batch, { to: 100 })];
    trained.forEach((name, i) => {
      const [expected, actual] = [trainable(single, name), trainable(run, name)];
      expect(actual.adam.stepCount, name).toBe(expected.adam.stepCount);
      for (const [kind, values] of Object.entries(expected.arrays())) {
        expect(difference(actual.arrays()[kind]!, values), `${name}.${kind}`).toBeLessThan(1e-6);
      }
      if (expected.adam.stepCount > 0) expect(difference(expected.flat, start[i]!), name).toBeGreaterThan(1e-3);
    });
    expect(Object.keys(ofRuns)).toEqual(['100']);
    for (const [name, value] of Object.entries(metrics[100]!)) {
      expect(Math.abs(ofRuns[100]![name]! - value), name).toBeLessThan(1e-6 * (1 + Math.abs(value)));
    }
    single.dispose();
    run.dispose();
  });
});

describe.each(['TD3, sa-hyper', 'SAC, MLPs as stacks, fixed temperature'])('%s', (name) => {
  const { create, batch, trained } = cases[name]!;

  test('equal runs are equal bit for bit, also after a restore between two runs', () => {
    const [whole, first, second] = [create(6), create(6), create(6)];
    learn(whole, batch, { to: 18 });
    learn(first, batch, { to: 6 });
    const { arrays, state } = first.save();
    second.restore({ arrays: Object.fromEntries(Object.entries(arrays).map(([n, a]) => [n, a.slice()])), state });
    learn(second, batch, { from: 6, to: 18 });
    const [expected, actual] = [whole.save(), second.save()];
    expect(actual.state).toEqual(expected.state);
    for (const [array, values] of Object.entries(expected.arrays)) {
      expect(Buffer.compare(bytesOf(actual.arrays[array]!), bytesOf(values)), array).toBe(0);
    }
    for (const learner of [whole, first, second]) learner.dispose();
  });

  test('operation by operation on tensors they are the same', () => {
    const [run, eager] = [create(4), create(4, createEagerEngine('cpu'))];
    learn(run, batch, { to: 4 });
    learn(eager, batch, { to: 4 });
    for (const name of trained) {
      // Linear in the gradients: nothing amplifies their rounding.
      expect(difference(trainable(eager, name).adam.moment1, trainable(run, name).adam.moment1)).toBeLessThan(1e-4);
    }
    run.dispose();
    eager.dispose();
  });
});

test('a run in which a gradient was too large for the optimiser is refused, though its last losses are finite', () => {
  const { create } = cases['TD3, MLPs as stacks']!;
  const learner = create(4);
  const batches = [td3.randomBatch(0), td3.steepBatch(1), td3.randomBatch(2)];
  for (const batch of batches) expect(learner.learn(batch, createRandom(1))).toBeNull();
  expect(() => learner.learn(td3.randomBatch(3), createRandom(1))).toThrow(
    'update: gradient of the critic loss: expected values with squares that float32 holds, got larger ones, or NaN',
  );
  learner.dispose();
});

test('updates of a run that are no whole passes are refused, and so is a run whose losses are not finite', () => {
  const { create, batch } = cases['TD3, MLPs as stacks']!;
  expect(() => create(5)).toThrow(
    'train: updatesPerRun: expected 1 or a multiple of 2, the updates of the critics for one of the actor, got 5',
  );
  const learner = create(2);
  const unbounded = batch(1);
  unbounded.reward.fill(3e38);
  expect(learner.learn(batch(0), createRandom(1))).toBeNull();
  expect(() => learner.learn(unbounded, createRandom(1))).toThrow('update: critic loss: expected a finite loss, got');
  learner.dispose();
});
