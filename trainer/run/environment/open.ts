/** Opens the environment of a run, whichever it is. */

import { isEnvFile } from '../../../src/envs/env-file.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { createEvaluationThread } from '../evaluation-thread.ts';
import type { Environment, OpenOptions } from './environment.ts';
import { openUserEnvironment } from './user-environment.ts';

/**
 * @param place a name, or the path of a user's file
 * @throws HyperpolicyError as `createEnvironment`; HangError: a file that does not load in the time after an interrupt
 */
export async function openEnvironment(place: string, options: OpenOptions): Promise<Environment> {
  if (isEnvFile(place)) return openUserEnvironment(place, options);
  const env = await createEnvironment(place);
  const { name, specs, episodeStepCountMax, tasks } = env;
  env.dispose();
  return {
    ...{ name, specs, episodeStepCountMax, tasks, source: place },
    createEvaluator: (learner) => createEvaluationThread(place, learner),
    settle: async () => undefined,
    dispose: async () => {},
  };
}
