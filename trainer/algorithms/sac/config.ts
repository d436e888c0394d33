/** SAC's settings, with the paper's values and those of the usual implementations. */

import { z } from 'zod';
import type { CriticConfig } from '../../../src/nn/critics/registry.ts';
import { hyperCriticNames } from '../../../src/nn/names.ts';
import { actorCriticShape } from '../../off-policy/settings.ts';
import { anyNumber, oneOf, positive, rate, setting } from '../../run/setting.ts';

const presets = ['paper', 'sac'] as const;

export const sacSchema = z.strictObject({
  preset: setting(oneOf(presets), {
    flag: '--preset <name>',
    help: "where defaults come from: Sarafian et al. 2021, or the usual SAC with a learned temperature. The warm-up is 1000 steps with both; --warm-up 100 is Stable-Baselines3's",
  }),
  ...actorCriticShape,
  rewardScale: setting(positive(), {
    flag: '--reward-scale <factor>',
    help: "factor of rewards in the critics' target",
    defaultText: '5 for the preset paper, else 1',
  }),
  temperature: setting(oneOf(['fixed', 'learned']), {
    flag: '--temperature <kind>',
    help: 'whether the weight of the entropy, alpha, is fixed, or learned so that the entropy approaches its target',
    defaultText: 'fixed for the preset paper, else learned',
  }),
  alpha: setting(positive(), { flag: '--alpha <weight>', help: 'alpha; its first value if it is learned' }),
  alphaLearningRate: setting(rate(), { help: 'learning rate of log alpha' }),
  targetEntropy: setting(anyNumber().optional(), {
    flag: '--target-entropy <nats>',
    help: 'target of the entropy, of actions in [-1, 1]; default: minus the number of action values',
  }),
});

/** Rewards and q are in units of `rewardScale`; alpha, too. */
export type SacConfig = Readonly<z.infer<typeof sacSchema>>;

const common = {
  actorHiddenSizes: [256, 256],
  actorLearningRate: 3e-4,
  criticLearningRate: 3e-4,
  batchSize: 256,
  gamma: 0.99,
  tau: 0.005,
  alpha: 1,
  alphaLearningRate: 3e-4,
} as const;

/**
 * The settings of a preset.
 *
 * `paper`: reward scale 5, alpha 1; with a hypernetwork as critic the learning rates are lower, the actor's by environment.
 * `sac`: alpha learned from 1, rewards as they are.
 *
 * Sources: Sarafian et al. 2021, appendix (SAC); Haarnoja et al. 2018b, as in Stable-Baselines3.
 * @param environment name in the registry of environments
 */
export function sacDefaults(
  critic: CriticConfig,
  environment: string,
  preset: SacConfig['preset'] = 'paper',
): SacConfig {
  if (preset === 'sac') return { preset, ...common, critic, rewardScale: 1, temperature: 'learned' };
  const settings = { preset, ...common, critic, rewardScale: 5, temperature: 'fixed' } as const;
  if (!hyperCriticNames.includes(critic.architecture)) return settings;
  const actorLearningRate = environment.startsWith('HalfCheetah') ? 1e-4 : 2e-5;
  return { ...settings, actorLearningRate, criticLearningRate: 5e-5 };
}
