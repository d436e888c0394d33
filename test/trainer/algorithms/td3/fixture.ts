/** A small TD3 learner and a batch of random transitions. */

import { createRandom } from '../../../../src/contract/random.ts';
import { type PolicySpecs, plainSpec } from '../../../../src/contract/tensor-spec.ts';
import type { CriticConfig } from '../../../../src/nn/critics/registry.ts';
import { type Td3Config, td3Defaults } from '../../../../trainer/algorithms/td3/config.ts';
import { createTd3Learner, type Td3Learner } from '../../../../trainer/algorithms/td3/learner.ts';
import type { Engine } from '../../../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../../../trainer/engine/traced.ts';
import { type Batch, createBatch } from '../../../../trainer/replay/batch.ts';

/** Bounds away from +-1, so that a forgotten scaling shows. */
export const specs: PolicySpecs = {
  observation: plainSpec('observation', 5),
  action: plainSpec('action', 3, { low: -0.5, high: 2 }),
  context: null,
};

export const criticConfigs: Record<string, CriticConfig> = {
  'mlp-standard': { architecture: 'mlp-standard' },
  'sa-hyper': { architecture: 'sa-hyper', trunkSizes: [16, 24], dynamicHiddenSizes: [8] },
  // Its twins share a parameter.
  'emb-hyper': { architecture: 'emb-hyper', trunkSizes: [16, 24], dynamicHiddenSizes: [8] },
};

export const tracedEngine = createTracedEngine({ threadCount: 1 });

export const smallConfig = (critic: CriticConfig): Td3Config => ({
  ...td3Defaults(critic),
  actorHiddenSizes: [16, 16],
  batchSize: 12,
});

export const smallLearner = (critic: CriticConfig, engine: Engine = tracedEngine, seed = 3): Td3Learner =>
  createTd3Learner({ config: smallConfig(critic), specs, engine, seed });

/** Its losses are finite, at most 1e37; the critics' gradients, a million times their roots, have squares that float32 does not hold. */
export function steepBatch(seed: number): Batch {
  const batch = randomBatch(seed);
  batch.reward.fill(1e18);
  for (let i = 0; i < batch.observation.length; i++) batch.observation[i]! *= 1e6;
  return batch;
}

export function randomBatch(seed: number, size = 12): Batch {
  const random = createRandom(seed);
  const batch = createBatch({ size, observationSize: 5, actionSize: 3 });
  for (const field of ['observation', 'nextObservation', 'reward'] as const) random.fillNormal(batch[field]);
  for (let i = 0; i < batch.action.length; i++) batch.action[i] = -0.5 + 2.5 * random.uniform();
  for (let i = 0; i < size; i++) batch.terminated[i] = random.uniform() < 0.3 ? 1 : 0;
  return batch;
}
