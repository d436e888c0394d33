/** PEARL as the runner and the command know it. */

import { iterationsDefaults, iterationsSchema } from '../../loops/iterations.ts';
import type { Algorithm } from '../../run/algorithm.ts';
import {
  environmentDefaults,
  infers,
  type PearlAgent,
  type PearlConfig,
  pearlDefaults,
  pearlSchema,
  pearlWarnings,
  unusedByAgent,
} from './config.ts';

export const algorithm: Algorithm = {
  name: 'pearl',
  description:
    'PEARL, off-policy, for environments with tasks: a policy that infers its task from a few episodes. ' +
    'Defaults are those of the hypernetwork paper; for the point robot they are small (--print-config shows them).',
  examples: [
    'hyperpolicy train pearl --env HalfCheetah-Vel --agent hyper-pearl --model my-runner',
    'hyperpolicy train pearl --env Point-Robot --agent pearl --iterations 30 --run runs/pearl-1',
    'hyperpolicy train pearl --env HalfCheetah-Vel-Medium --agent oracle-context --seed 1',
    'hyperpolicy train pearl --env HalfCheetah-Vel --agent hyper-pearl --train-range 0,2.5 --test-range 2.5,4',
  ],
  environmentDefault: 'HalfCheetah-Vel',
  schemas: { algorithm: pearlSchema, loop: iterationsSchema },
  defaults({ environment, algorithm: given }) {
    const agent = (given.agent as PearlAgent | undefined) ?? 'hyper-pearl';
    const isHyper = agent === 'hyper-pearl' || agent === 'oracle-context';
    const networks = (given.networks as PearlConfig['networks'] | undefined) ?? (isHyper ? 'hyper' : 'mlp');
    const settings = { ...pearlDefaults(networks), agent, ...environmentDefaults(environment, { agent, networks }) };
    const encoder = { ...settings.encoder, ...(given.encoder as Partial<PearlConfig['encoder']> | undefined) };
    const joins = infers(agent) && encoder.architecture === 'pearl-encoder';
    return {
      algorithm: { ...settings, ...(joins && { encoder: { ...settings.encoder, aggregation: 'product' } }) },
      loop: { ...iterationsDefaults, evaluationEpisodeCount: 1 },
    };
  },
  stepUnit: 'iterations',
  resumable: ['iterationCount', 'evaluationInterval', 'checkpointInterval'],
  beforeAdaptation: ({ algorithm: settings }) =>
    infers((settings as PearlConfig).agent)
      ? { metric: 'explorationReturn', deviation: 'explorationStandardDeviation' }
      : undefined,
  variant: ({ algorithm: settings }) => (settings as PearlConfig).agent,
  unused: (settings) => unusedByAgent(settings as PearlConfig),
  warnings: ({ algorithm: settings }) => pearlWarnings(settings as unknown as PearlConfig),
  check: async (setup) => (await import('./training.ts')).checkPearl(setup),
  open: async (setup) => (await import('./training.ts')).openPearl(setup),
};
