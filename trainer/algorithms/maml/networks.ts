/** MAML's policy as a description without parameters, and the meta-parameters: the policy's, and the inner rates where they are learnt. */

import { type PolicySpecs, specSize } from '../../../src/contract/tensor-spec.ts';
import type { TaskDistribution } from '../../../src/envs/task-distribution.ts';
import { type ActionScaling, actionScaling } from '../../../src/nn/action-scaling.ts';
import { constant } from '../../../src/nn/initialisers.ts';
import { type Normalisation, rangeNormalisation } from '../../../src/nn/normalisation.ts';
import { type ParameterSpecs, withPrefix } from '../../../src/nn/parameters.ts';
import type { Policy } from '../../../src/nn/policies/policy.ts';
import { createPolicy } from '../../../src/nn/policies/registry.ts';
import type { MamlConfig } from './config.ts';

export type MamlNetworks = {
  readonly policy: Policy;
  readonly scaling: ActionScaling;
  /** Of contexts, inside the graphs. */
  readonly context: Normalisation | undefined;
  readonly observationSize: number;
  readonly actionSize: number;
  /** 0 where the policy takes none, whatever the environment has. */
  readonly contextSize: number;
};

/** @throws HyperpolicyError invalid_argument: a policy that needs a context, and an environment without */
export function createMamlNetworks(
  { policy: name, hiddenSizes, hyper, contextScale }: MamlConfig,
  { observation, action, context }: PolicySpecs,
  tasks: TaskDistribution | null,
): MamlNetworks {
  const sizes = {
    observationSize: specSize(observation),
    actionSize: specSize(action),
    contextSize: name === 'maml' || context === null ? 0 : specSize(context),
  };
  const architecture = name === 'multi-task-hyper' ? 'hyper-maml' : name;
  const policy = createPolicy({ ...hyper, architecture, hiddenSizes }, sizes);
  const isScaled = sizes.contextSize > 0 && contextScale === 'range' && tasks !== null;
  return { policy, scaling: actionScaling(action), context: isScaled ? trainingRange(tasks) : undefined, ...sizes };
}

const trainingRange = ({ ranges: { train } }: TaskDistribution): Normalisation =>
  rangeNormalisation(
    train.map(([low]) => low),
    train.map(([, high]) => high),
  );

/** `policy.<name>` and, where rates are learnt, `rate.<name>`. */
export function metaSpecs({ specs }: Policy, { start, learnt }: MamlConfig['rate']): ParameterSpecs {
  if (learnt === 'no') return withPrefix('policy', specs);
  const rates = Object.fromEntries(
    Object.entries(specs).map(([name, { shape }]) => [
      name,
      { shape: learnt === 'per-tensor' ? [] : shape, initialise: constant(start) },
    ]),
  );
  return { ...withPrefix('policy', specs), ...withPrefix('rate', rates) };
}
