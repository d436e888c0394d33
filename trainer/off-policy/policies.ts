/** Policies of an actor-critic learner in an environment with tasks, and the task inputs of their networks. */

import { z } from 'zod';
import { invalidArgument } from '../../src/contract/errors.ts';
import { type PolicySpecs, type SpecSizes, specSizes } from '../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../src/envs/task-distribution.ts';
import { hyperDefaults } from '../../src/nn/defaults.ts';
import { type Normalisation, rangeNormalisation } from '../../src/nn/normalisation.ts';
import type { PolicyConfig } from '../../src/nn/policies/registry.ts';
import type { Unused } from '../run/algorithm.ts';
import { namesIn, oneOf, setting } from '../run/setting.ts';
import { hyperPolicyShape } from './hyper-settings.ts';

const policyKinds = ['mlp', 'context-mlp', 'hyper'] as const;

/** Settings of the policy, each with its flag. */
export const policyShape = {
  policy: setting(oneOf(policyKinds).optional(), {
    flag: '--policy <kind>',
    help:
      'where the environment poses tasks: mlp does not see the task, context-mlp has it beside the observation, ' +
      'hyper generates a network from it. The critics see the task in each case',
    defaultText: 'mlp; must be given for an environment with tasks',
  }),
  hyperPolicy: z.strictObject(hyperPolicyShape, { error: 'an object with settings of a hyper policy' }).optional(),
  contextUnits: setting(oneOf(['range', 'raw']).optional(), {
    flag: '--context-units <kind>',
    help: 'what the networks see of a task: its place in the training range, 0 to 1, or its raw values',
    defaultText: 'range',
  }),
};

export type PolicySettings = Readonly<z.infer<z.ZodObject<typeof policyShape>>>;

/** What this policy reads of the settings that are absent with others. */
export function policyDefaults({ policy }: PolicySettings): PolicySettings {
  return {
    ...(policy !== undefined && { contextUnits: 'range' }),
    ...(policy === 'hyper' && { hyperPolicy: hyperDefaults }),
  };
}

/** Whether the policy reads the task. */
const readsTask = ({ policy }: PolicySettings): boolean => policy === 'context-mlp' || policy === 'hyper';

/**
 * The policy as the registry of policies takes it.
 * @param names of the algorithm's MLP and of its hyper policy
 */
export const policyConfig = (
  {
    policy,
    hyperPolicy,
    actorHiddenSizes,
  }: PolicySettings & { readonly actorHiddenSizes?: readonly number[] | undefined },
  names: { readonly mlp: string; readonly hyper: string },
): PolicyConfig =>
  policy === 'hyper'
    ? { ...hyperPolicy, architecture: names.hyper }
    : { architecture: names.mlp, hiddenSizes: actorHiddenSizes };

/** What this policy has no use for. */
export function unusedByPolicy({ policy }: PolicySettings): Unused[] {
  const isHyper = policy === 'hyper';
  const hyper = namesIn('hyperPolicy', hyperPolicyShape);
  const unused = { by: `policy "${policy ?? 'mlp'}"`, names: isHyper ? ['actorHiddenSizes'] : hyper };
  // Only where there are tasks is there a choice.
  return policy === undefined ? [unused, { by: 'an environment without tasks', names: ['contextUnits'] }] : [unused];
}

/** Sizes of the policy's inputs: no context if it does not see the task. */
export function policySizes(settings: PolicySettings, specs: PolicySpecs): SpecSizes {
  const sizes = specSizes(specs);
  return readsTask(settings) ? sizes : { ...sizes, contextSize: 0 };
}

/**
 * (c - low) / (high - low) of the training range, not clipped: a task beyond the range lies beyond [0, 1]. A value whose range is
 * [-1, 1], such as a direction, stays as it is.
 *
 * Source: Sarafian et al. 2021, appendix E, which says that it feeds the raw values: `raw`.
 * @throws HyperpolicyError invalid_argument: a range without an end, which has no places
 */
export function taskNormalisation(
  { contextUnits }: Pick<PolicySettings, 'contextUnits'>,
  tasks: Pick<TaskDistribution, 'ranges'> | null,
): Normalisation | undefined {
  if (contextUnits === 'raw' || tasks === null) return undefined;
  const ranges = tasks.ranges.train.map(([low, high], i) => {
    checkRange(i, low, high);
    return low === -1 && high === 1 ? [0, 1] : [low, high];
  });
  return rangeNormalisation(
    ranges.map(([low]) => low!),
    ranges.map(([, high]) => high!),
  );
}

function checkRange(i: number, low: number, high: number): void {
  if ([low, high, high - low].every((value) => Number.isFinite(Math.fround(value)))) return;
  throw invalidArgument({
    where: `context value ${i}`,
    expected: 'a training range with two ends, as networks see the place of a task in it',
    actual: `${low} to ${high}`,
    remedy: 'Give tasks.ranges in the environment file, or --context-units raw',
  });
}

/**
 * An environment with tasks needs a policy that was chosen for them: one that does not see the task averages over all.
 * @throws HyperpolicyError invalid_argument: no choice if there are tasks, or a policy of tasks if there are none
 */
export function checkPolicy(
  where: string,
  settings: PolicySettings,
  { environment, specs: { context } }: { readonly environment: string; readonly specs: PolicySpecs },
): void {
  if (context !== null && settings.policy === undefined) {
    throw invalidArgument({
      where,
      expected: 'a policy for tasks, or an environment without a context',
      actual: `"${environment}" with context ${context.names.join(', ')}`,
      remedy: 'Choose --policy hyper or context-mlp, or mlp, which does not see the task',
    });
  }
  if (context === null && readsTask(settings)) {
    const [expected, actual] = ['an environment with a context', `"${environment}", which has none`];
    throw invalidArgument({ where, expected, actual, remedy: 'Leave out --policy' });
  }
}

/** Learning rate of hyper policies. Source: Sarafian et al. 2021, appendix E.4, the paper's only off-policy one. */
export const hyperPolicyRate = 1e-4;
