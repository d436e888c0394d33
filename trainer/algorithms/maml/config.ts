/** MAML's settings, with the paper's values. */

import type { AdvantageConfig } from '../../../src/advantages/policy-gradient.ts';
import { invalidArgument } from '../../../src/contract/errors.ts';
import type { HyperOptions } from '../../../src/nn/hyper/hypernetwork.ts';
import type { InnerSteps } from './inner-step.ts';
import { type TrpoConfig, trpoDefaults } from './trpo.ts';

/**
 * - `maml`: an MLP of the observation.
 * - `context-maml`: an MLP of observation and context.
 * - `hyper-maml`: the context generates a network of the observation.
 * - `multi-task-hyper`: the same network without an inner step.
 */
export const mamlPolicies = ['maml', 'context-maml', 'hyper-maml', 'multi-task-hyper'] as const;
export type MamlPolicy = (typeof mamlPolicies)[number];

export type RateConfig = {
  /** Learning rate of the inner step; where it is learnt, what it starts from. */
  readonly start: number;
  /** Not at all, one rate per parameter tensor, or one per value; learnt rates are meta-parameters of the same outer step. */
  readonly learnt: 'no' | 'per-tensor' | 'per-value';
};

export type MamlConfig = {
  readonly policy: MamlPolicy;
  /** Widths of the MLP's hidden layers; not of hypernetworks. */
  readonly hiddenSizes: readonly number[];
  /** Of hypernetworks; the paper's where absent. */
  readonly hyper: HyperOptions;
  /** Whether contexts are mapped from the training range to [0, 1] first, or taken as they are. */
  readonly contextScale: 'range' | 'raw';
  readonly inner: InnerSteps;
  readonly rate: RateConfig;
  readonly advantages: AdvantageConfig;
  readonly trpo: TrpoConfig;
  /** Tasks of an iteration. */
  readonly taskCount: number;
  /** Episodes of each task, before adaptation and again after it. */
  readonly episodeCount: number;
};

const isHyper = (policy: MamlPolicy): boolean => policy === 'hyper-maml' || policy === 'multi-task-hyper';

/**
 * MLPs of 2 x 100, inner rate 0.1 (hypernetworks: 5e-5 of the released code), gamma 0.95, lambda 1, 40 tasks of 20 episodes.
 *
 * Source: Sarafian et al. 2021, appendix E.3 and released code.
 */
export const mamlDefaults = (policy: MamlPolicy): MamlConfig => ({
  policy,
  hiddenSizes: [100, 100],
  hyper: {},
  contextScale: 'range',
  inner: { stepCount: policy === 'multi-task-hyper' ? 0 : 1, order: 'second' },
  rate: { start: isHyper(policy) ? 5e-5 : 0.1, learnt: 'no' },
  advantages: { discount: 0.95, lambda: 1, weighting: 'steps' },
  trpo: trpoDefaults,
  taskCount: 40,
  episodeCount: 20,
});

/** @throws HyperpolicyError invalid_argument: a value out of its range, or values that do not fit each other */
export function checkMamlConfig({ policy, inner, rate, taskCount, episodeCount, trpo }: MamlConfig): void {
  const refuse = (name: string, expected: string, actual: unknown) =>
    invalidArgument({ where: `MAML ${name}`, expected, actual: String(actual) });
  if (!mamlPolicies.includes(policy)) throw refuse('policy', `one of ${mamlPolicies.join(', ')}`, `"${policy}"`);
  const counts = {
    taskCount,
    episodeCount,
    'trpo.iterationCount': trpo.iterationCount,
    'trpo.tryCount': trpo.tryCount,
  };
  for (const [name, count] of Object.entries(counts)) {
    if (!Number.isSafeInteger(count) || count < 1) throw refuse(name, 'a positive integer', count);
  }
  const isMultiTask = policy === 'multi-task-hyper';
  const stepsFit = isMultiTask ? inner.stepCount === 0 : Number.isSafeInteger(inner.stepCount) && inner.stepCount >= 1;
  if (!stepsFit) {
    throw refuse(`inner steps of ${policy}`, isMultiTask ? 'none' : 'a positive integer', inner.stepCount);
  }
  if (!(rate.start >= 0 && rate.start < Number.POSITIVE_INFINITY)) {
    throw refuse('inner rate', 'a number of at least 0', rate.start);
  }
  if (isMultiTask && rate.learnt !== 'no')
    throw refuse('inner rate of multi-task-hyper', 'none that is learnt', rate.learnt);
  if (!(trpo.klMax > 0)) throw refuse('trpo.klMax', 'a number above 0', trpo.klMax);
}
