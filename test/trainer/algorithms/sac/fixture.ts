/** A small SAC learner and a batch of random transitions. */

import { createRandom } from '../../../../src/contract/random.ts';
import { type PolicySpecs, plainSpec } from '../../../../src/contract/tensor-spec.ts';
import type { CriticConfig } from '../../../../src/nn/critics/registry.ts';
import { type SacConfig, sacDefaults } from '../../../../trainer/algorithms/sac/config.ts';
import { createSacLearner, type SacLearner } from '../../../../trainer/algorithms/sac/learner.ts';
import type { Engine } from '../../../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../../../trainer/engine/traced.ts';
import { type Batch, createBatch } from '../../../../trainer/replay/batch.ts';

/** Bounds that are not symmetric, so that a forgotten scaling shows. */
export const specs: PolicySpecs = {
  observation: plainSpec('observation', 5),
  action: { ...plainSpec('action', 3), low: [-0.5, -2, 0], high: [2, 0.5, 1] },
  context: null,
};

export const tracedEngine = createTracedEngine({ threadCount: 1 });

/** Learned temperature, and a reward scale that is not 1. */
export const smallConfig = (critic: CriticConfig): SacConfig => ({
  ...sacDefaults(critic, 'Hopper-v5'),
  actorHiddenSizes: [16, 16],
  batchSize: 12,
  temperature: 'learned',
  alpha: 0.7,
});

export const smallLearner = (
  critic: CriticConfig,
  { engine = tracedEngine, seed = 3, ...settings }: Partial<SacConfig> & { engine?: Engine; seed?: number } = {},
): SacLearner => createSacLearner({ config: { ...smallConfig(critic), ...settings }, specs, engine, seed });

export function randomBatch(seed: number, size = 12): Batch {
  const random = createRandom(seed);
  const batch = createBatch({ size, observationSize: 5, actionSize: 3 });
  for (const field of ['observation', 'nextObservation', 'reward'] as const) random.fillNormal(batch[field]);
  const { low, high } = specs.action;
  for (let i = 0; i < batch.action.length; i++) {
    const [from, to] = [low[i % 3]!, high[i % 3]!];
    batch.action[i] = from + (to - from) * random.uniform();
  }
  for (let i = 0; i < size; i++) batch.terminated[i] = random.uniform() < 0.3 ? 1 : 0;
  return batch;
}
