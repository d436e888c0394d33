/** TD3's settings, with the paper's values. */

import type { CriticConfig } from '../../../src/nn/critics/registry.ts';

export type Td3Config = {
  readonly critic: CriticConfig;
  /** Widths of the actor's hidden layers. */
  readonly actorHiddenSizes: readonly number[];
  readonly actorLearningRate: number;
  readonly criticLearningRate: number;
  readonly batchSize: number;
  /** Discount per step, in [0, 1). */
  readonly gamma: number;
  /** Fraction of the way that the targets follow at each policy update. */
  readonly tau: number;
  /** Critic updates per policy update. */
  readonly policyDelay: number;
  /** Standard deviation of exploration noise, normalised action units. */
  readonly explorationNoise: number;
  /** Standard deviation of target smoothing noise, normalised action units, and where it is clipped. */
  readonly targetNoise: number;
  readonly targetNoiseClip: number;
};

/** Critic learning rates of the paper: 5e-5 for hypernetworks, 3e-4 for the others. */
const criticLearningRates: Readonly<Record<string, number>> = {
  'sa-hyper': 5e-5,
  'as-hyper': 5e-5,
  'emb-hyper': 5e-5,
};

/** Source: Sarafian et al. 2021, appendix (TD3); Fujimoto et al. 2018. */
export const td3Defaults = (critic: CriticConfig): Td3Config => ({
  critic,
  actorHiddenSizes: [256, 256],
  actorLearningRate: 3e-4,
  criticLearningRate: criticLearningRates[critic.architecture] ?? 3e-4,
  batchSize: 100,
  gamma: 0.99,
  tau: 0.005,
  policyDelay: 2,
  explorationNoise: 0.1,
  targetNoise: 0.2,
  targetNoiseClip: 0.5,
});
