/** MAML's policy as a description without parameters, and the meta-parameters: the policy's, and the inner rates if they are learnt. */

import * as tf from '@tensorflow/tfjs-core';
import { mapValues } from '../../../src/contract/records.ts';
import { type PolicySpecs, type SpecSizes, specSizes } from '../../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import { type ActionScaling, actionScaling } from '../../../src/nn/action-scaling.ts';
import { constant } from '../../../src/nn/initialisers.ts';
import { type Normalisation, normalise } from '../../../src/nn/normalisation.ts';
import { type ParameterSpecs, type Parameters, under, withPrefix } from '../../../src/nn/parameters.ts';
import type { Policy } from '../../../src/nn/policies/policy.ts';
import { createPolicy, type PolicyConfig } from '../../../src/nn/policies/registry.ts';
import { taskNormalisation } from '../../off-policy/policies.ts';
import { isHyper, type MamlConfig } from './config.ts';
import type { Rates } from './inner-step.ts';
import type { TaskPolicy } from './losses.ts';

export type MamlNetworks = {
  readonly policy: Policy;
  readonly scaling: ActionScaling;
  /** Normalisation of contexts, inside the graphs. */
  readonly context: Normalisation | undefined;
  readonly observationSize: number;
  readonly actionSize: number;
  /** 0 if the policy takes none, whatever the environment has. */
  readonly contextSize: number;
};

/** The policy as the registry takes it. */
export function policyDescription(
  { policy, hiddenSizes, hyper }: MamlConfig,
  specs: PolicySpecs,
): { readonly config: PolicyConfig; readonly sizes: SpecSizes } {
  const sizes = specSizes(specs);
  return {
    config: isHyper(policy) ? { ...hyper, architecture: 'hyper-maml' } : { architecture: policy, hiddenSizes },
    sizes: policy === 'maml' ? { ...sizes, contextSize: 0 } : sizes,
  };
}

/** @throws HyperpolicyError invalid_argument: a policy that needs a context, and an environment without */
export function createMamlNetworks(
  config: MamlConfig,
  specs: PolicySpecs,
  tasks: Pick<TaskDistribution, 'ranges'> | null,
): MamlNetworks {
  const description = policyDescription(config, specs);
  const { sizes } = description;
  const policy = createPolicy(description.config, sizes);
  const normalisation = sizes.contextSize > 0 ? taskNormalisation(config, tasks) : undefined;
  return { policy, scaling: actionScaling(specs.action), context: normalisation, ...sizes };
}

/** Meta-parameters by name, and their shapes: those of {@link metaSpecs}. */
export type MetaViews = Readonly<Record<string, Float32Array>>;
export type MetaShapes = Readonly<Record<string, readonly number[]>>;

/** `policy.<name>` and, if rates are learnt, `rate.<name>`. */
export function metaSpecs({ specs }: Policy, { start, learnt }: MamlConfig['rate']): ParameterSpecs {
  if (learnt === 'no') return withPrefix('policy', specs);
  const rates = mapValues(specs, ({ shape }) => ({
    shape: learnt === 'per-tensor' ? [] : shape,
    initialise: constant(start),
  }));
  return { ...withPrefix('policy', specs), ...withPrefix('rate', rates) };
}

/** The learnt rates among the meta-parameters, or the fixed one for all. */
export function readRates({ policy }: MamlNetworks, { start, learnt }: MamlConfig['rate'], meta: Parameters): Rates {
  if (learnt !== 'no') return under('rate', meta);
  return mapValues(policy.specs, () => tf.scalar(start));
}

/** The policy in a context [1, C] of environment units. */
export const readTask = ({ policy, context: scale }: MamlNetworks, context: tf.Tensor | undefined): TaskPolicy => ({
  policy,
  context: context && normalise(scale, context as tf.Tensor2D),
});
