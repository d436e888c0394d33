/** Plays R rows of episodes at once, each in a task of its own with a z of its own. */

import type { Random } from '../../../src/contract/random.ts';
import type { Sliced } from '../../../src/contract/sliced.ts';
import { requireMemory } from '../../machine/memory.ts';
import { finished, type Rollout, rolloutSlices, rolloutStepBytes } from '../../rollout/collect.ts';
import { createVectorEnv, type VectorEnv, type VectorEnvOptions } from '../../rollout/vector-env.ts';
import { checkObservations } from '../../run/observation.ts';
import { checkRewards } from '../../run/reward.ts';
import { createRowPolicy, type RowPolicyOptions } from './row-policy.ts';

export type SamplerOptions = RowPolicyOptions & {
  /** The environment, as for `createVectorEnv`. */
  readonly env: VectorEnvOptions['env'];
  /** Step count of each row. */
  readonly stepCount: number;
  /** Seed of the episodes' starts. */
  readonly seed: number;
  /** Threads that step, the caller's included. */
  readonly threadCount: number;
  /** Any task; each sampling has its own. */
  readonly context: ArrayLike<number>;
};

export type Sampler = {
  readonly rowCount: number;
  readonly stepCount: number;
  /** z of each row, [R, Z], as the networks read it; to be written before `play`. */
  readonly latents: Float32Array;
  /**
   * `stepCount` steps of each row, beginning with an episode.
   * @param options.contexts task of each row
   * @param options.number of the episodes in their rows' sequences: another one, other starts
   * @param options.noise of the actions; deterministic without
   * @throws what the environment throws, and HyperpolicyError invalid_argument: a reward or an observation that no loss can hold
   */
  play(options: {
    readonly contexts: readonly ArrayLike<number>[];
    readonly number: number;
    readonly noise?: Random | undefined;
  }): Sliced<Rollout>;
  dispose(): Promise<void>;
};

/** @throws HyperpolicyError invalid_argument: an environment without contexts, a context that does not fit it, steps that do not fit in memory */
export async function createSampler(options: SamplerOptions): Promise<Sampler> {
  const { env: name, rowCount, stepCount, seed, threadCount, context } = options;
  const { observationSize, actionSize } = options.networks.q.sizes;
  const sizes = { observationSize, actionSize, contextSize: context.length };
  requireMemory('train pearl', { rowCount, stepCount }, rolloutStepBytes(sizes));
  const env: VectorEnv = await createVectorEnv({
    env: name,
    environmentCount: rowCount,
    seed,
    threadCount,
    contexts: Array.from({ length: rowCount }, () => context),
  });
  const policy = createRowPolicy(options);
  return {
    rowCount,
    stepCount,
    latents: policy.latents,
    *play({ contexts, number, noise }) {
      env.setContexts(contexts);
      env.beginReset(number);
      yield* finished(env);
      policy.begin(noise);
      const rollout = yield* rolloutSlices({ env, policy, stepCount });
      checkRewards(rollout, env.name);
      checkObservations(rollout, { environment: env.name, spec: env.specs.observation });
      return rollout;
    },
    dispose() {
      policy.dispose();
      return env.dispose();
    },
  };
}
