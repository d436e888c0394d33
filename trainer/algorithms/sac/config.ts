/** SAC's settings, with the paper's values and those of the usual implementations. */

import { type CriticConfig, hyperCriticNames } from '../../../src/nn/critics/registry.ts';

/** alpha, the weight of the entropy: given once, or learned so that the entropy approaches a target. */
export type Temperature =
  | { readonly kind: 'fixed'; readonly alpha: number }
  | {
      readonly kind: 'learned';
      readonly initialAlpha: number;
      /** Of log alpha. */
      readonly learningRate: number;
      /** In nats, of normalised actions; minus the number of action values where absent. */
      readonly targetEntropy?: number | undefined;
    };

export type SacConfig = {
  readonly critic: CriticConfig;
  /** Widths of the actor's hidden layers. */
  readonly actorHiddenSizes: readonly number[];
  readonly actorLearningRate: number;
  readonly criticLearningRate: number;
  readonly batchSize: number;
  /** Discount per step, in [0, 1). */
  readonly gamma: number;
  /** Fraction of the way that the target critics follow at each update. */
  readonly tau: number;
  /** Rewards are multiplied by it in the critics' target, so q is in units of it. */
  readonly rewardScale: number;
  readonly temperature: Temperature;
};

const common = {
  actorHiddenSizes: [256, 256],
  actorLearningRate: 3e-4,
  criticLearningRate: 3e-4,
  batchSize: 256,
  gamma: 0.99,
  tau: 0.005,
} as const;

/**
 * The paper's settings. With a hypernetwork as critic the learning rates are lower, the actor's by environment.
 *
 * Source: Sarafian et al. 2021, appendix (SAC).
 * @param environment name in the registry of environments
 */
export function paperSac(critic: CriticConfig, environment: string): SacConfig {
  const settings = { ...common, critic, rewardScale: 5, temperature: { kind: 'fixed', alpha: 1 } } as const;
  if (!hyperCriticNames.includes(critic.architecture)) return settings;
  const actorLearningRate = environment.startsWith('HalfCheetah') ? 1e-4 : 2e-5;
  return { ...settings, actorLearningRate, criticLearningRate: 5e-5 };
}

/** Temperature learned from 1 towards the entropy -A, rewards unscaled. Source: Haarnoja et al. 2018b, as in Stable-Baselines3. */
export const tunedSac = (critic: CriticConfig): SacConfig => ({
  ...common,
  critic,
  rewardScale: 1,
  temperature: { kind: 'learned', initialAlpha: 1, learningRate: 3e-4 },
});
