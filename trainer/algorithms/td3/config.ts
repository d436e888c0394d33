/** TD3's settings, with the paper's values. */

import { z } from 'zod';
import type { CriticConfig } from '../../../src/nn/critics/registry.ts';
import { hyperCriticNames } from '../../../src/nn/names.ts';
import { actorCriticShape } from '../../off-policy/settings.ts';
import { atLeast, integer, setting } from '../../run/setting.ts';

export const td3Schema = z.strictObject({
  ...actorCriticShape,
  policyDelay: setting(integer(1), { flag: '--policy-delay <count>', help: 'critic updates per policy update' }),
  explorationNoise: setting(atLeast(0), {
    flag: '--exploration-noise <size>',
    help: 'standard deviation of exploration noise, for actions in [-1, 1]',
  }),
  targetNoise: setting(atLeast(0), {
    flag: '--target-noise <size>',
    help: "standard deviation of the noise that smooths the target's action",
  }),
  targetNoiseClip: setting(atLeast(0), {
    flag: '--target-noise-clip <size>',
    help: 'where that noise is clipped',
  }),
});

export type Td3Config = Readonly<z.infer<typeof td3Schema>>;

/** Source: Sarafian et al. 2021, appendix (TD3); Fujimoto et al. 2018. */
export const td3Defaults = (critic: CriticConfig): Td3Config => ({
  critic,
  actorHiddenSizes: [256, 256],
  actorLearningRate: 3e-4,
  criticLearningRate: hyperCriticNames.includes(critic.architecture) ? 5e-5 : 3e-4,
  batchSize: 100,
  gamma: 0.99,
  tau: 0.005,
  policyDelay: 2,
  explorationNoise: 0.1,
  targetNoise: 0.2,
  targetNoiseClip: 0.5,
});
