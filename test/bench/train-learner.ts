/** The learners of the training bench. */

import { createEnvironment } from '../../src/envs/registry.ts';
import { sacDefaults } from '../../trainer/algorithms/sac/config.ts';
import { createSacLearner } from '../../trainer/algorithms/sac/learner.ts';
import { td3Defaults } from '../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../trainer/algorithms/td3/learner.ts';
import type { Engine } from '../../trainer/engine/engine.ts';

export type TrainRun = {
  readonly algorithm: 'td3' | 'sac';
  readonly critic: 'mlp-standard' | 'sa-hyper';
  /** Inside an operator. */
  readonly threadCount: number;
  /** That step environments. */
  readonly collectorThreadCount: number;
};

export const benchEnvironment = 'HalfCheetah-v5';

/** With the paper's sizes; SAC's temperature is learned, as the references' is. */
export async function createBenchLearner(
  { algorithm, critic }: Pick<TrainRun, 'algorithm' | 'critic'>,
  engine: Engine,
) {
  const env = await createEnvironment(benchEnvironment);
  const { specs } = env;
  env.dispose();
  const options = { specs, engine, seed: 0 };
  const architecture = { architecture: critic };
  if (algorithm === 'td3') {
    const config = td3Defaults(architecture);
    return { batchSize: config.batchSize, learner: createTd3Learner({ ...options, config }) };
  }
  const config = { ...sacDefaults(architecture, benchEnvironment), temperature: 'learned' as const };
  return { batchSize: config.batchSize, learner: createSacLearner({ ...options, config }) };
}
