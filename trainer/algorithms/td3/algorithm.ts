/** TD3 as the runner and the command know it. */

import { offPolicyAlgorithm } from '../../loops/off-policy-algorithm.ts';
import { type Td3Config, td3Defaults, td3Schema, td3WarmUpSteps } from './config.ts';

export const algorithm = offPolicyAlgorithm<Td3Config>({
  name: 'td3',
  description: 'TD3 with a deterministic actor and twin critics. Defaults are those of the paper.',
  examples: [
    'hyperpolicy train td3 --env HalfCheetah-v5 --critic sa-hyper --model my-cheetah',
    'hyperpolicy train td3 --critic mlp-standard --steps 1e5 --seed 1 --run runs/mlp-1',
    'hyperpolicy train td3 --env HalfCheetah-Vel --policy hyper --model my-runner',
    'hyperpolicy train td3 --run runs/mlp-1 --resume --steps 2e5',
  ],
  environmentDefault: 'HalfCheetah-v5',
  schema: td3Schema,
  defaults: ({ critic, preset }) => td3Defaults({ architecture: 'sa-hyper', ...critic }, preset),
  loopDefaults: ({ preset }) => (preset === 'td3' ? { warmUpStepCount: td3WarmUpSteps } : {}),
  check: async (options) => (await import('./learner.ts')).checkTd3(options),
  createLearner: async (options) => (await import('./learner.ts')).createTd3Learner(options),
});
