/** A run on environments of the test, in its thread. */

import type { Env } from '../../../src/envs/env.ts';
import { type RunOptions, trainOffPolicy } from '../../../trainer/loops/off-policy.ts';
import { createVectorEnv } from '../../../trainer/rollout/vector-env.ts';
import type { RunResult } from '../../../trainer/run/algorithm.ts';
import type { EvaluationOptions } from '../../../trainer/run/evaluation.ts';
import { type Evaluator, evaluateOn } from '../../../trainer/run/evaluator.ts';

export type AloneOptions = Omit<RunOptions, 'envs' | 'evaluator' | 'stepUnit'> & {
  readonly env: Env;
  readonly evaluationEnv: Env;
};

/** Evaluates in the loop's own thread, which does not learn meanwhile. @param env of evaluations alone; disposed with the evaluator */
export const createLocalEvaluator = (env: Env, act: EvaluationOptions['act']): Evaluator => ({
  isConcurrent: false,
  evaluate: (order, signal) => evaluateOn({ env, act, signal }, order),
  dispose: async () => env.dispose(),
});

export async function trainAlone({ env, evaluationEnv, ...options }: AloneOptions): Promise<RunResult> {
  const { config, learner } = options;
  const envs = await createVectorEnv({ env, environmentCount: 1, seed: config.seed, workerCount: 0 });
  const evaluator = createLocalEvaluator(evaluationEnv, learner.act.bind(learner));
  return trainOffPolicy({ ...options, stepUnit: 'steps', envs, evaluator });
}
