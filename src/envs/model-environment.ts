/** The environment that a model was trained in, with the tasks that it was trained in. */

import { basename } from 'node:path';
import { failedPrecondition } from '../contract/errors.ts';
import { createRandom } from '../contract/random.ts';
import { specSize } from '../contract/tensor-spec.ts';
import type { Env } from './env.ts';
import { isEnvFile } from './env-file.ts';
import { contextStream } from './episode.ts';
import { createEnvironment, environmentNames } from './registry.ts';
import { type TaskDistribution, type TaskSplit, uniformTasks } from './task-distribution.ts';

/** What a model says of its environment. */
export type TrainedIn = {
  /** Its name, or the path that the trainer was given. */
  readonly environment: string;
  /** Low and high of each value of the training tasks, if its run was given these in place of the environment's: `trainedIn` of a manifest has it. */
  readonly taskRange: { readonly low: readonly number[]; readonly high: readonly number[] } | undefined;
};

/**
 * Creates the model's environment, or the user's own. A path is only taken from the user: neither a server nor a store must choose
 * what is loaded here.
 * @param model its name, and what it says of its environment
 * @param options.own a name or a path
 * @param options.where who asks, in errors
 * @throws HyperpolicyError failed_precondition: the model's is none of ours; as createEnvironment and withModelTasks
 */
export async function createModelEnvironment(
  { model, ...trainedIn }: TrainedIn & { readonly model: string },
  { own, where }: { readonly own: string | undefined; readonly where: string },
): Promise<Env> {
  const { environment } = trainedIn;
  const name = own ?? (environmentNames.includes(environment) ? environment : undefined);
  if (name !== undefined) return withModelTasks(await createEnvironment(name), name, trainedIn);
  throw failedPrecondition({
    where: `${where}: environment of "${model}"`,
    expected: 'one that "hyperpolicy environments" lists',
    actual: `"${environment}"`,
    remedy: 'Name yours with --env: its name, or its file such as ./my-env.js',
  });
}

/**
 * The environment as the model knew it: where no task is given, `reset` draws one from the range of its training, by the seed, and its
 * training tasks are of that range. The same environment where that range was its own, or where it is another one than the model's.
 * @param place the name or path that it was opened by; files are the same by their names, as a store goes to other machines
 * @throws HyperpolicyError failed_precondition: a range of other tasks than the environment's
 */
export function withModelTasks(env: Env, place: string, { environment, taskRange }: TrainedIn): Env {
  if (taskRange === undefined || nameOf(place) !== nameOf(environment)) return env;
  const { tasks: own } = env;
  const { low, high } = taskRange;
  if (own === null || specSize(own.spec) !== low.length) {
    throw failedPrecondition({
      where: `tasks of ${env.name}`,
      expected: `a model trained in tasks of ${own === null ? 'no' : specSize(own.spec)} values`,
      actual: `one trained in tasks of ${low.length}`,
      remedy: 'The environment has changed since the model was trained: train it anew',
    });
  }
  const tasks = trainedTasks(
    own,
    low.map((value, i) => [value, high[i]!]),
  );
  return withTaskOf(env, tasks, (seed) => {
    const context = new Float64Array(low.length);
    tasks.draw(createRandom(seed, contextStream), context, 'train');
    return context;
  });
}

/**
 * The environment for episodes that are compared: where no task is given, a family of few tasks has them in turn, by the seed, so that
 * few episodes have each equally often. Others draw theirs as before.
 */
export function withTasksInTurn(env: Env): Env {
  const { tasks } = env;
  return tasks?.inTurn === undefined ? env : withTaskOf(env, tasks, tasks.inTurn);
}

/** @param taskOf the task of a seed where `reset` is given none */
const withTaskOf = (env: Env, tasks: TaskDistribution, taskOf: (seed: number) => Float64Array): Env => ({
  ...env,
  tasks,
  get context() {
    return env.context;
  },
  reset: (seed, options = {}) => env.reset(seed, { ...options, context: options.context ?? taskOf(seed) }),
});

/** The family with training tasks that are uniform in a range of their own. */
function trainedTasks(own: TaskDistribution, train: TaskDistribution['ranges']['train']): TaskDistribution {
  const { spec, counts } = own;
  const uniform = uniformTasks({ spec, counts, train, test: own.ranges.test });
  const familyOf = (split: TaskSplit) => (split === 'train' ? uniform : own);
  return {
    ...own,
    ranges: uniform.ranges,
    draw: (random, context, split) => familyOf(split).draw(random, context, split),
    sample: (options) => familyOf(options.split).sample(options),
    inTurn: undefined,
  };
}

const nameOf = (place: string): string => (isEnvFile(place) ? basename(place) : place);
