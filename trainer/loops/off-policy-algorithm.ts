/** Makes the descriptor of an algorithm that the off-policy loop trains. */

import type { z } from 'zod';
import type { PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../src/envs/task-distribution.ts';
import type { Engine } from '../engine/engine.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import { checkPolicy, type PolicySettings } from '../off-policy/policies.ts';
import type { Algorithm, Publishable, Setup, Training } from '../run/algorithm.ts';
import { environmentPlace } from '../run/environment-place.ts';
import { type OffPolicyLoopConfig, offPolicyDefaults, offPolicyLoopSchema } from './off-policy-config.ts';

/** Evaluations of a run use its seed + 100. */
const freshSeedOffset = 200;

type LearnerSettings = PolicySettings & { readonly batchSize: number };

export type OffPolicyAlgorithm<Config extends LearnerSettings> = Pick<
  Algorithm,
  'name' | 'description' | 'examples'
> & {
  readonly schema: z.ZodObject;
  /** A value for every setting; those that are given, and the environment, may decide others. */
  readonly defaults: (given: Partial<Config>, environment: string) => Config;
  readonly variant: (config: Config) => string;
  readonly createLearner: (options: {
    readonly config: Config;
    readonly specs: PolicySpecs;
    /** Of the environment; null where it poses one task only. */
    readonly tasks: TaskDistribution | null;
    readonly engine: Engine;
    /** Of the parameters' first values. */
    readonly seed: number;
  }) => Promise<OffPolicyLearner & Publishable>;
};

export function offPolicyAlgorithm<Config extends LearnerSettings>(own: OffPolicyAlgorithm<Config>): Algorithm {
  const { name, description, examples, schema, variant } = own;
  return {
    name,
    description,
    examples,
    schemas: { algorithm: schema, loop: offPolicyLoopSchema },
    defaults: ({ algorithm, environment }) => ({
      algorithm: own.defaults(algorithm as Partial<Config>, environment),
      loop: offPolicyDefaults,
    }),
    resumable: ['stepCount', 'evaluationInterval', 'evaluationEpisodeCount', 'checkpointInterval'],
    variant: ({ algorithm }) => variant(algorithm as Config),
    async open(setup) {
      const { environment, algorithm } = setup.config;
      checkPolicy(`train ${name}`, algorithm as unknown as Config, { environment, specs: setup.env.specs });
      return openTraining(own, setup);
    },
  };
}

async function openTraining<Config extends LearnerSettings>(
  { createLearner }: OffPolicyAlgorithm<Config>,
  { config, env, engine }: Setup,
): Promise<Training> {
  const { createEnvironment } = await import('../../src/envs/registry.ts');
  const { trainOffPolicy } = await import('./off-policy.ts');
  const { evaluate } = await import('../run/evaluation.ts');
  const { loadBestLearner } = await import('../run/evaluations.ts');
  const algorithm = config.algorithm as unknown as Config;
  const loop = config.loop as OffPolicyLoopConfig;
  const evaluationEnv = await createEnvironment(environmentPlace(config));
  let learner: OffPolicyLearner & Publishable;
  try {
    learner = await createLearner({ config: algorithm, specs: env.specs, tasks: env.tasks, engine, seed: loop.seed });
  } catch (error) {
    evaluationEnv.dispose();
    throw error;
  }
  return {
    stepCount: loop.stepCount,
    run: (context) =>
      trainOffPolicy({ ...context, env, evaluationEnv, learner, config: { ...loop, batchSize: algorithm.batchSize } }),
    evaluateAfresh: (signal) =>
      evaluate({
        env: evaluationEnv,
        act: learner.act.bind(learner),
        episodeCount: loop.evaluationEpisodeCount,
        seed: loop.seed + freshSeedOffset,
        signal,
      }),
    async restoreBest(runDirectory, best) {
      learner.restore(await loadBestLearner(runDirectory, best));
    },
    model: learner.model,
    networkFiles: learner.networkFiles,
    dispose() {
      learner.dispose();
      evaluationEnv.dispose();
    },
  };
}
