/** A run on environments of the test, in its thread. */

import type { Env } from '../../../src/envs/env.ts';
import { type RunOptions, trainOffPolicy } from '../../../trainer/loops/off-policy.ts';
import { createVectorEnv } from '../../../trainer/rollout/vector-env.ts';
import type { RunResult } from '../../../trainer/run/algorithm.ts';
import { createLocalEvaluator } from '../../../trainer/run/evaluator.ts';

export type AloneOptions = Omit<RunOptions, 'envs' | 'evaluator'> & {
  readonly env: Env;
  readonly evaluationEnv: Env;
};

export async function trainAlone({ env, evaluationEnv, ...options }: AloneOptions): Promise<RunResult> {
  const { config, learner } = options;
  const envs = await createVectorEnv({ env, environmentCount: 1, seed: config.seed, workerCount: 0 });
  const evaluator = createLocalEvaluator(evaluationEnv, learner.act.bind(learner));
  return trainOffPolicy({ ...options, envs, evaluator });
}
