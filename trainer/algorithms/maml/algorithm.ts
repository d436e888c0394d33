/** MAML as the runner and the command know it. */

import { iterationsDefaults, iterationsSchema } from '../../loops/iterations.ts';
import type { Algorithm } from '../../run/algorithm.ts';
import { type MamlConfig, mamlDefaults, mamlSchema, unusedByPolicy } from './config.ts';

export const algorithm: Algorithm = {
  name: 'maml',
  description:
    'MAML with a trust-region outer step, for environments with tasks: a policy that a few episodes adapt. ' +
    'Defaults are those of the hypernetwork paper.',
  examples: [
    'hyperpolicy train maml --env HalfCheetah-Vel --policy hyper-maml --model my-runner',
    'hyperpolicy train maml --env HalfCheetah-Fwd-Back --policy maml --inner-lr 0.1 --seed 1 --run runs/maml-1',
    'hyperpolicy train maml --env Point-Robot --policy context-maml --iterations 20 --tasks 20 --episodes 10',
  ],
  environmentDefault: 'HalfCheetah-Vel',
  schemas: { algorithm: mamlSchema, loop: iterationsSchema },
  defaults: ({ algorithm: { policy } }) => ({
    algorithm: mamlDefaults((policy as MamlConfig['policy'] | undefined) ?? 'hyper-maml'),
    loop: iterationsDefaults,
  }),
  stepUnit: 'iterations',
  resumable: ['iterationCount', 'evaluationInterval', 'checkpointInterval'],
  beforeAdaptation: ({ algorithm: settings }) =>
    (settings as MamlConfig).inner.stepCount > 0
      ? { metric: 'testPreReturn', deviation: 'testPreDeviation' }
      : undefined,
  variant: ({ algorithm: settings }) => (settings as MamlConfig).policy,
  unused: (settings) => unusedByPolicy(settings as MamlConfig),
  check: async (setup) => (await import('./training.ts')).checkMaml(setup),
  open: async (setup) => (await import('./training.ts')).openMaml(setup),
};
