/** Small MAML problems with random tasks. */

import { createRandom } from '../../../../src/contract/random.ts';
import { type PolicySpecs, plainSpec } from '../../../../src/contract/tensor-spec.ts';
import { initialise, under } from '../../../../src/nn/parameters.ts';
import { type MamlConfig, type MamlPolicy, mamlDefaults } from '../../../../trainer/algorithms/maml/config.ts';
import { createMetaObjective, type MetaObjective } from '../../../../trainer/algorithms/maml/meta-objective.ts';
import { createMamlNetworks, type MamlNetworks } from '../../../../trainer/algorithms/maml/networks.ts';
import { createTaskArrays, type StepArrays, type TaskArrays } from '../../../../trainer/algorithms/maml/steps.ts';
import type { ActionNoise } from '../../../../trainer/algorithms/maml/task-policies.ts';
import { createTracedEngine } from '../../../../trainer/engine/traced.ts';
import type { Objective } from './float64.ts';

export const specs: PolicySpecs = {
  observation: plainSpec('observation', 3),
  action: plainSpec('action', 2, { low: -1, high: 1 }),
  context: { ...plainSpec('context', 2), source: 'oracle' },
};

export const smallConfig = (policy: MamlPolicy): MamlConfig => ({
  ...mamlDefaults(policy),
  hiddenSizes: [4],
  hyper: { trunkSizes: [4], dynamicHiddenSizes: [3] },
  rate: { start: policy.includes('hyper') ? 0.1 : 0.3, learnt: 'no' },
  taskCount: 2,
  episodeCount: 2,
});

/** Actions are deterministic. */
export const noNoise: ActionNoise = {
  seek() {},
  fill(rows) {
    rows.fill(0);
  },
};

export const tracedEngine = createTracedEngine({ threadCount: 1 });

/** Random steps, the last two absent. */
function randomSteps(arrays: StepArrays, seed: number): StepArrays {
  const random = createRandom(seed);
  const valid = arrays.weight.length - 2;
  for (const field of ['observation', 'action'] as const) random.fillNormal(arrays[field]);
  const raw = Array.from({ length: valid }, () => random.normal());
  const mean = raw.reduce((sum, value) => sum + value, 0) / valid;
  raw.forEach((value, n) => {
    arrays.coefficient[n] = (value - mean) / valid;
    arrays.weight[n] = 1 / valid;
  });
  return arrays;
}

export type SmallProblem = {
  readonly networks: MamlNetworks;
  readonly objective: MetaObjective;
  readonly tasks: readonly TaskArrays[];
  /** The same objective in float64. */
  readonly reference: Objective;
};

/** @param stepCount of each task, two absent ones included */
export function smallProblem(config: MamlConfig, { stepCount = 14 } = {}): SmallProblem {
  const networks = createMamlNetworks(config, specs, null);
  const objective = createMetaObjective({ engine: tracedEngine, networks, config, stepCount });
  const random = createRandom(1);
  initialise(objective.specs, objective.parameters, random);
  // Larger than at the start, so that the second order shows; log-stds and biases are no longer 0.
  for (const [name, view] of Object.entries(objective.parameters)) {
    const scale = name.startsWith('rate.') ? 0.002 : name.includes('head') ? 0.4 : 0.2;
    for (let i = 0; i < view.length; i++) view[i]! += scale * random.normal();
  }
  const tasks = [0, 1].map((task) => {
    const arrays = createTaskArrays(networks, stepCount);
    const context = Float32Array.from({ length: networks.contextSize }, (_, i) => 0.7 * (task + 1) - 0.5 * i);
    return {
      ...arrays,
      context,
      pre: randomSteps(arrays.pre, 10 + task),
      post: randomSteps(arrays.post, 20 + task),
    };
  });
  const { specs: policySpecs } = networks.policy;
  const names = Object.keys(policySpecs);
  const learnt = under('rate', objective.parameters);
  const reference: Objective = {
    shapes: Object.fromEntries(Object.entries(policySpecs).map(([name, { shape }]) => [name, shape])),
    sizes: networks,
    inner: config.inner,
    rates: Object.fromEntries(names.map((name) => [name, Float64Array.from(learnt[name] ?? [config.rate.start])])),
  };
  return { networks, objective, tasks, reference };
}

/** The policy's parameters in float64. */
export const policyIn64 = ({ parameters }: MetaObjective): Record<string, Float64Array> =>
  Object.fromEntries(
    Object.entries(under('policy', parameters)).map(([name, view]) => [name, Float64Array.from(view)]),
  );
