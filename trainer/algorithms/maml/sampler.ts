/**
 * Tasks x episodes on all threads: one batched policy run per step. What a batch of episodes gives is a function of the seed, the
 * batch's number, the tasks and the policies; neither threads nor earlier batches matter.
 */

import type { Sliced } from '../../../src/contract/sliced.ts';
import { finished, type Rollout, rolloutSlices } from '../../rollout/collect.ts';
import { createVectorEnv, type VectorEnv, type VectorEnvOptions } from '../../rollout/vector-env.ts';
import type { TaskPolicies } from './task-policies.ts';

export type SamplerOptions = {
  /** The environment, as for `createVectorEnv`. */
  readonly env: VectorEnvOptions['env'];
  /** Contexts of the first batch, [C] each: as many as every batch has. */
  readonly contexts: readonly ArrayLike<number>[];
  /** Episode count of each task. */
  readonly episodeCount: number;
  /** Seed of the episodes' starts. */
  readonly seed: number;
  /** Threads that step, the caller's included; one per core unless given. */
  readonly threadCount?: number | undefined;
};

export type Sampler = {
  readonly env: Pick<VectorEnv, 'name' | 'specs' | 'episodeStepCountMax' | 'threadCount'>;
  /**
   * One episode per row of each task, a step of all rows in each slice.
   * @param contexts [C] of each task
   * @param batch from 0; below 2^31 / (steps of an episode + 1)
   */
  collect(policies: TaskPolicies, contexts: readonly ArrayLike<number>[], batch: number): Sliced<Rollout>;
  dispose(): Promise<void>;
};

/** @throws HyperpolicyError invalid_argument: an environment without contexts, or contexts that do not fit it */
export async function createSampler(options: SamplerOptions): Promise<Sampler> {
  const { episodeCount, seed, threadCount } = options;
  const ofRows = (contexts: readonly ArrayLike<number>[]) =>
    contexts.flatMap((context) => Array.from({ length: episodeCount }, () => context));
  const env = await createVectorEnv({
    env: options.env,
    environmentCount: options.contexts.length * episodeCount,
    seed,
    ...(threadCount !== undefined && { threadCount }),
    contexts: ofRows(options.contexts),
  });
  const stepCount = env.episodeStepCountMax;
  return {
    env,
    *collect(policies, contexts, batch) {
      env.setContexts(ofRows(contexts));
      // Episodes that begin when one ends early have numbers as well, at most one per step.
      env.beginReset(batch * (stepCount + 1));
      yield* finished(env);
      policies.seek(batch * stepCount);
      return yield* rolloutSlices({ env, policy: policies, stepCount });
    },
    dispose: () => env.dispose(),
  };
}
