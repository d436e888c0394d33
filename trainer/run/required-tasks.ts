/** Algorithms that adapt to tasks need an environment that has them. */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { SetupToCheck } from './algorithm.ts';

/** @throws HyperpolicyError invalid_argument: an environment without tasks */
export function requireTasks({ config, environment: { tasks } }: SetupToCheck) {
  if (tasks !== null) return tasks;
  throw invalidArgument({
    where: `train ${config.algorithm.name}`,
    expected: 'an environment with tasks, such as HalfCheetah-Vel',
    actual: `"${config.environment}", which has one task only`,
  });
}
