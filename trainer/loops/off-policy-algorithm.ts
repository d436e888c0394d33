/** Makes the descriptor of an algorithm that the off-policy loop trains. */

import { availableParallelism } from 'node:os';
import type { z } from 'zod';
import type { LearnerOptions, OffPolicyLearner } from '../off-policy/learner.ts';
import {
  checkPolicy,
  hyperPolicyRate,
  type PolicySettings,
  policyDefaults,
  unusedByPolicy,
} from '../off-policy/policies.ts';
import { type CriticSettings, unusedByCritic, wholeCritic } from '../off-policy/settings.ts';
import { createVectorEnv } from '../rollout/vector-env.ts';
import type { Algorithm, Publishable, Setup, Training, Unused } from '../run/algorithm.ts';
import type { Environment } from '../run/environment/environment.ts';
import type { Portable } from '../run/portable-policy.ts';
import {
  lastStepOf,
  loopWarnings,
  type OffPolicyLoopConfig,
  offPolicyDefaults,
  offPolicyLoopSchema,
  resumableLoopSettings,
  updatesPerRunOf,
} from './off-policy-config.ts';

/** Evaluations of a run use its seed + 100. */
const freshSeedOffset = 200;

type LearnerSettings = PolicySettings & {
  readonly actorHiddenSizes?: readonly number[] | undefined;
  readonly actorLearningRate: number;
  readonly batchSize: number;
  readonly critic: CriticSettings;
};

export type OffPolicyAlgorithm<Config extends LearnerSettings> = Pick<
  Algorithm,
  'name' | 'description' | 'examples' | 'environmentDefault'
> & {
  readonly schema: z.ZodObject;
  /** A value for every setting; those that are given, and the environment, may decide others. A hyper policy learns at `hyperPolicyRate` whatever they are. */
  readonly defaults: (given: Partial<Config>, environment: string) => Config;
  /** Defaults of the loop that depend on the algorithm's given settings. */
  readonly loopDefaults?: (given: Partial<Config>) => Partial<OffPolicyLoopConfig>;
  /** Beside what its policy and critic have no use for. */
  readonly unused?: (config: Config) => readonly Unused[];
  /** Refuses what its learner would. @throws HyperpolicyError as `createLearner` */
  readonly check: (options: Omit<LearnerOptions<Config>, 'engine' | 'seed'>) => Promise<void>;
  readonly createLearner: (options: LearnerOptions<Config>) => Promise<OffPolicyLearner & Publishable & Portable>;
};

export function offPolicyAlgorithm<Config extends LearnerSettings>(own: OffPolicyAlgorithm<Config>): Algorithm {
  const { name, description, examples, environmentDefault, schema } = own;
  return {
    name,
    description,
    examples,
    environmentDefault,
    schemas: { algorithm: schema, loop: offPolicyLoopSchema },
    stepUnit: 'steps',
    defaults({ algorithm, environment }) {
      const given = algorithm as Partial<Config>;
      const { actorHiddenSizes, ...settings } = own.defaults(given, environment);
      const isHyper = given.policy === 'hyper';
      return {
        algorithm: {
          ...policyDefaults(given),
          ...(!isHyper && { actorHiddenSizes }),
          ...settings,
          ...(isHyper && { actorLearningRate: hyperPolicyRate }),
          critic: wholeCritic(settings.critic),
        },
        loop: { ...offPolicyDefaults, ...own.loopDefaults?.(given) },
      };
    },
    resumable: resumableLoopSettings,
    variant({ algorithm }) {
      const { policy, critic } = algorithm as Config;
      // Where there are tasks, policies of all three kinds are trained.
      return policy === undefined ? critic.architecture : `${policy}-policy-${critic.architecture}`;
    },
    unused(settings) {
      const config = settings as Config;
      return [...unusedByCritic(config.critic), ...unusedByPolicy(config), ...(own.unused?.(config) ?? [])];
    },
    warnings({ algorithm, loop }) {
      const { batchSize } = algorithm as unknown as Config;
      return loopWarnings({ ...(loop as OffPolicyLoopConfig), batchSize });
    },
    async check({ config: { environment, algorithm, loop }, environment: { specs, tasks } }) {
      const config = algorithm as unknown as Config;
      checkPolicy(`train ${name}`, config, { environment, specs });
      await own.check({ config, specs, tasks, updatesPerRun: updatesPerRunOf(loop as OffPolicyLoopConfig) });
    },
    open: (setup) => openTraining(own, setup),
  };
}

async function openTraining<Config extends LearnerSettings>(
  { createLearner }: OffPolicyAlgorithm<Config>,
  { config, environment, engine }: Setup,
): Promise<Training> {
  const algorithm = config.algorithm as unknown as Config;
  const loop = config.loop as OffPolicyLoopConfig;
  const { specs, tasks } = environment;
  const updatesPerRun = updatesPerRunOf(loop);
  const learner = await createLearner({ config: algorithm, specs, tasks, engine, seed: loop.seed, updatesPerRun });
  const envs = await openEnvironments(environment, loop).catch((error) => {
    learner.dispose();
    throw error;
  });
  const evaluator = environment.createEvaluator(learner);
  const { evaluationEpisodeCount: episodeCount, seed } = loop;
  return {
    stepCount: lastStepOf(loop),
    async run(context) {
      const { trainOffPolicy } = await import('./off-policy.ts');
      const line = updatesText(updatesPerRun, engine);
      if (line !== undefined) context.reporter?.print(line);
      return trainOffPolicy({
        ...context,
        ...{ envs, evaluator, learner },
        config: { ...loop, batchSize: algorithm.batchSize },
      });
    },
    async evaluateAfresh(signal) {
      const order = { episodeCount, seed: seed + freshSeedOffset, outOfRange: false };
      return (await evaluator.evaluate(order, signal)).inRange;
    },
    ...statesOf(learner),
    model: learner.model,
    networkFiles: learner.networkFiles,
    async dispose() {
      learner.dispose();
      await evaluator.dispose();
      void envs.dispose();
    },
  };
}

/** The learner as it was at other times of the run. */
const statesOf = (learner: OffPolicyLearner): Pick<Training, 'restoreBest' | 'asOf'> => ({
  async restoreBest(runDirectory, best) {
    const { loadBestLearner } = await import('../run/evaluations.ts');
    learner.restore(await loadBestLearner(runDirectory, best));
  },
  async asOf(saved, use) {
    const { copyOf } = await import('../run/saved-state.ts');
    const present = copyOf(learner.save());
    learner.restore(saved);
    try {
      return await use();
    } finally {
      learner.restore(present);
    }
  },
});

/** Tells the user how updates run. */
function updatesText(updatesPerRun: number, { devices = [] }: Setup['engine']): string | undefined {
  if (updatesPerRun > 1) return `updates: ${updatesPerRun} in a run`;
  if (devices.every(({ device }) => device === 'cpu')) return undefined;
  return 'updates: one in a run, which moves all parameters to the device and back; --updates-per-run 50 to 200 is faster';
}

/**
 * This project's are stepped by the loop's thread too, when it has nothing else to do. A user's file is stepped in its own threads alone,
 * as many as there are cores.
 */
function openEnvironments(
  { source }: Environment,
  { environmentCount = 1, seed, collectorThreadCount }: OffPolicyLoopConfig,
) {
  const spare = availableParallelism() - (typeof source === 'string' ? 1 : 0);
  return createVectorEnv({ env: source, environmentCount, seed, workerCount: collectorThreadCount ?? spare });
}
