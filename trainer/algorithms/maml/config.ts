/** MAML's settings, with the paper's values. */

import { z } from 'zod';
import { invalidArgument } from '../../../src/contract/errors.ts';
import { hyperDefaults } from '../../../src/nn/defaults.ts';
import { taskCount } from '../../loops/iterations.ts';
import { hyperShape } from '../../off-policy/hyper-settings.ts';
import type { Unused } from '../../run/algorithm.ts';
import {
  atLeast,
  discountSetting,
  integer,
  namesIn,
  oneOf,
  positive,
  rate,
  setting,
  widths,
} from '../../run/setting.ts';
import { trpoDefaults } from './trpo.ts';

/**
 * - `maml`: an MLP of the observation.
 * - `context-maml`: an MLP of observation and context.
 * - `hyper-maml`: the context generates a network of the observation.
 * - `multi-task-hyper`: the same network without an inner step.
 */
export const mamlPolicies = ['maml', 'context-maml', 'hyper-maml', 'multi-task-hyper'] as const;
export type MamlPolicy = (typeof mamlPolicies)[number];

/** The time before the first iteration grows with the square, and nothing ends it: 20 s of a tiny network with 10 steps. */
const innerStepCountMax = 20;

const innerSchema = z.strictObject({
  stepCount: setting(integer(0, innerStepCountMax), {
    flag: '--inner-steps <count>',
    help: 'steps of adaptation; 0 for multi-task-hyper',
  }),
  order: setting(oneOf(['first', 'second']), {
    flag: '--order <order>',
    help: 'whether the outer gradient passes through the inner ones (second) or takes them as constants (first)',
  }),
});

const rateSchema = z.strictObject({
  start: setting(atLeast(0), {
    flag: '--inner-lr <rate>',
    help: 'learning rate of the inner step; its first value if it is learned',
    defaultText: '0.1 for MLPs, 0.00005 for hyper policies',
  }),
  learnt: setting(oneOf(['no', 'per-tensor', 'per-value']), {
    flag: '--learn-rates <kind>',
    help: 'whether the outer step learns the inner rates too (Meta-SGD), and how many of them',
  }),
});

const trpoSchema = z.strictObject({
  klMax: setting(positive(), { flag: '--max-kl <divergence>', help: 'largest KL divergence of an outer step' }),
  damping: setting(atLeast(0), { help: "multiple of the identity that is added to the divergence's Hessian" }),
  iterationCount: setting(integer(1), { flag: '--cg-iterations <count>', help: 'iterations of conjugate gradient' }),
  residualSquaredMin: setting(atLeast(0), { help: 'conjugate gradient ends below this squared residual' }),
  tryCount: setting(integer(1), { help: 'most step lengths that the line search tries' }),
  backtrackRatio: setting(rate(), { help: 'ratio of one length to the one before' }),
});

export const mamlSchema = z.strictObject({
  policy: setting(oneOf(mamlPolicies), { flag: '--policy <name>', help: 'policy, and whether and how it adapts' }),
  hiddenSizes: setting(widths().optional(), { flag: '--hidden <widths>', help: "widths of an MLP's hidden layers" }),
  hyper: z.strictObject(hyperShape).optional(),
  contextUnits: setting(oneOf(['range', 'raw']), {
    flag: '--context-units <kind>',
    help: 'what the networks see of a task: its place in the training range, 0 to 1, or its raw values',
  }),
  inner: innerSchema,
  rate: rateSchema,
  advantages: z.strictObject({
    discount: discountSetting(),
    lambda: setting(atLeast(0), { help: 'lambda of generalised advantage estimation, at most 1' }),
    weighting: setting(oneOf(['steps', 'episodes']), { help: 'whether each step or each episode has the same weight' }),
  }),
  trpo: trpoSchema,
  taskCount: setting(taskCount(), { flag: '--tasks <count>', help: 'tasks of an iteration' }),
  episodeCount: setting(integer(1), {
    flag: '--episodes <count>',
    help: 'episodes of each task, before adaptation and again after it',
  }),
});

export type MamlConfig = Readonly<z.infer<typeof mamlSchema>>;

/** Whether a primary generates the policy. */
export const isHyper = (policy: MamlPolicy): boolean => policy === 'hyper-maml' || policy === 'multi-task-hyper';

/**
 * MLPs of 2 x 100, inner rate 0.1 (hypernetworks: 5e-5 of the released code), gamma 0.95, lambda 1, 40 tasks of 20 episodes.
 *
 * Source: Sarafian et al. 2021, appendix E.3 and released code.
 */
export const mamlDefaults = (policy: MamlPolicy): MamlConfig => ({
  policy,
  ...(isHyper(policy) ? { hyper: hyperDefaults } : { hiddenSizes: [100, 100] }),
  contextUnits: 'range',
  inner: { stepCount: policy === 'multi-task-hyper' ? 0 : 1, order: 'second' },
  rate: { start: isHyper(policy) ? 5e-5 : 0.1, learnt: 'no' },
  advantages: { discount: 0.95, lambda: 1, weighting: 'steps' },
  trpo: trpoDefaults,
  taskCount: 40,
  episodeCount: 20,
});

/** What this policy has no use for. */
export function unusedByPolicy({ policy, inner }: MamlConfig): Unused[] {
  const names = isHyper(policy) ? ['hiddenSizes'] : namesIn('hyper', hyperShape);
  if (policy === 'maml') names.push('contextUnits');
  if (inner.stepCount === 0) names.push('inner.order', 'rate.start');
  return [{ by: `policy "${policy}"`, names }];
}

/** @throws HyperpolicyError invalid_argument: values that do not fit each other */
export function checkMamlConfig({ policy, inner, rate: { learnt }, advantages }: MamlConfig): void {
  const refuse = (name: string, expected: string, actual: unknown) =>
    invalidArgument({ where: `MAML ${name}`, expected, actual: String(actual) });
  const isMultiTask = policy === 'multi-task-hyper';
  if (isMultiTask !== (inner.stepCount === 0)) {
    throw refuse(`inner steps of ${policy}`, isMultiTask ? 'none' : 'at least one', inner.stepCount);
  }
  if (isMultiTask && learnt !== 'no') throw refuse(`inner rates of ${policy}`, 'none that are learnt', learnt);
  if (advantages.lambda > 1) throw refuse('advantages.lambda', 'at most 1', advantages.lambda);
}
