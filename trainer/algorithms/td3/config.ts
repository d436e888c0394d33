/** TD3's settings, with the paper's values and those of the authors' code. */

import { z } from 'zod';
import type { CriticConfig } from '../../../src/nn/critics/registry.ts';
import { hyperCriticNames } from '../../../src/nn/names.ts';
import { actorCriticShape } from '../../off-policy/settings.ts';
import { atLeast, integer, oneOf, setting } from '../../run/setting.ts';

const presets = ['paper', 'td3'] as const;

/** One run of several updates (`--updates-per-run`) has the graphs of so many: they take 5 s to compile for 100 of the smallest networks. */
const policyDelayMax = 1000;

export const td3Schema = z.strictObject({
  preset: setting(oneOf(presets), {
    flag: '--preset <name>',
    help: "where defaults come from: Sarafian et al. 2021, or the TD3 authors' code, with a warm-up of 25000 steps",
  }),
  ...actorCriticShape,
  policyDelay: setting(integer(1, policyDelayMax), {
    flag: '--policy-delay <count>',
    help: 'critic updates per policy update',
  }),
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
    help: 'bound that this noise is clipped to',
  }),
});

export type Td3Config = Readonly<z.infer<typeof td3Schema>>;

/**
 * The settings of a preset.
 *
 * `paper`: with a hypernetwork as critic its learning rate is lower.
 * `td3`: batches of 256, one learning rate; `td3WarmUpSteps` belongs to it.
 *
 * Sources: Sarafian et al. 2021, appendix (TD3); the code of Fujimoto et al. 2018.
 */
export function td3Defaults(critic: CriticConfig, preset: Td3Config['preset'] = 'paper'): Td3Config {
  const isSlow = preset === 'paper' && hyperCriticNames.includes(critic.architecture);
  return {
    preset,
    critic,
    actorHiddenSizes: [256, 256],
    actorLearningRate: 3e-4,
    criticLearningRate: isSlow ? 5e-5 : 3e-4,
    batchSize: preset === 'td3' ? 256 : 100,
    gamma: 0.99,
    tau: 0.005,
    policyDelay: 2,
    explorationNoise: 0.1,
    targetNoise: 0.2,
    targetNoiseClip: 0.5,
  };
}

/** Steps with random actions of the authors' code. */
export const td3WarmUpSteps = 25_000;
