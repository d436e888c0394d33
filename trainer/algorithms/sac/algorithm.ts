/** SAC as the runner and the command know it. */

import { offPolicyAlgorithm } from '../../loops/off-policy-algorithm.ts';
import { type SacConfig, sacDefaults, sacSchema } from './config.ts';

export const algorithm = offPolicyAlgorithm<SacConfig>({
  name: 'sac',
  description: 'SAC with a tanh-Gaussian actor and twin critics. Defaults are those of the paper, or of --preset sac.',
  examples: [
    'hyperpolicy train sac --env HalfCheetah-v5 --critic sa-hyper --model my-cheetah',
    'hyperpolicy train sac --preset sac --critic mlp-standard --steps 1e5 --seed 1 --run runs/sac-1',
    'hyperpolicy train sac --env HalfCheetah-Vel --policy hyper --model my-runner',
    'hyperpolicy train sac --run runs/sac-1 --resume --steps 2e5',
  ],
  environmentDefault: 'HalfCheetah-v5',
  schema: sacSchema,
  defaults: ({ critic, preset }, environment) =>
    sacDefaults({ architecture: 'sa-hyper', ...critic }, environment, preset),
  unused: ({ temperature }) =>
    temperature === 'fixed' ? [{ by: 'a fixed temperature', names: ['targetEntropy', 'alphaLearningRate'] }] : [],
  check: async ({ config, specs, tasks }) => {
    (await import('./networks.ts')).createSacNetworks(config, specs, tasks);
  },
  createLearner: async (options) => (await import('./learner.ts')).createSacLearner(options),
});
