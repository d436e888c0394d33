/** The policy in R rows, each with a z of its own: networks are generated once for an episode, and one run answers all rows. */

import type * as tf from '@tensorflow/tfjs-core';
import { sizeOf } from '../../../src/contract/counts.ts';
import type { Random } from '../../../src/contract/random.ts';
import { mapValues } from '../../../src/contract/records.ts';
import { toEnvironment } from '../../../src/nn/action-scaling.ts';
import { type Parameters, prefixed, under } from '../../../src/nn/parameters.ts';
import { actionOf, type PolicySplit, policyOutput } from '../../../src/nn/policies/policy.ts';
import { trace } from '../../../src/trace/trace.ts';
import { type BoundInput, boundParameters, type Computation, type Engine } from '../../engine/engine.ts';
import { layersFrom, namedLayers } from '../../export/graphs.ts';
import type { ReadArrays } from '../../off-policy/actor-critic.ts';
import type { BatchPolicy } from '../../rollout/policy.ts';
import type { TaskNetworks } from './networks.ts';

export type RowPolicy = BatchPolicy & {
  /** z of each row, [R, Z], as the networks read it. */
  readonly latents: Float32Array;
  /**
   * Takes the present parameters and what was written to `latents`.
   * @param noise of the actions; deterministic without
   */
  begin(noise: Random | undefined): void;
};

export type RowPolicyOptions = {
  readonly engine: Engine;
  readonly networks: TaskNetworks;
  readonly policy: ReadArrays;
  readonly latentSize: number;
  readonly rowCount: number;
};

export function createRowPolicy(options: RowPolicyOptions): RowPolicy {
  const { networks, latentSize, rowCount } = options;
  const { observationSize, actionSize } = networks.q.sizes;
  const memory: Memory = {
    latents: new Float32Array(rowCount * latentSize),
    observation: new Float32Array(rowCount * observationSize),
    noise: new Float32Array(rowCount * actionSize),
    action: new Float32Array(rowCount * actionSize),
  };
  const generation = networks.policy.split && compileGeneration(options, networks.policy.split, memory.latents);
  const acting = compileActing(options, memory, generation?.layers);
  let random: Random | undefined;
  return {
    latents: memory.latents,
    begin(given) {
      random = given;
      generation?.computation.run();
    },
    act(observations, _, actions) {
      memory.observation.set(observations);
      if (random === undefined) memory.noise.fill(0);
      else random.fillNormal(memory.noise);
      acting.run();
      actions.set(memory.action);
    },
    dispose() {
      generation?.computation.dispose();
      acting.dispose();
    },
  };
}

/** The arrays of all rows. */
type Memory = Readonly<Record<'latents' | 'observation' | 'noise' | 'action', Float32Array>>;

/** @param layers that the primary has generated, if the policy has one */
function compileActing(
  { engine, networks, policy: arrays, latentSize, rowCount }: RowPolicyOptions,
  { latents, observation, noise, action }: Memory,
  layers: Readonly<Record<string, BoundInput>> | undefined,
): Computation {
  const { observationSize, actionSize } = networks.q.sizes;
  return engine.compile({
    name: 'pearl-act',
    inputs: {
      ...boundParameters('policy', arrays.parameters, arrays.shapes),
      ...(layers ?? (latentSize > 0 && { latent: { shape: [rowCount, latentSize], data: latents } })),
      observation: { shape: [rowCount, observationSize], data: observation },
      noise: { shape: [rowCount, actionSize], data: noise },
    },
    outputs: { action },
    fn: (inputs) => {
      const { policy, scaling } = networks;
      const parameters = under('policy', inputs);
      const states = inputs.observation as tf.Tensor2D;
      const output =
        policy.split === undefined
          ? policyOutput(policy, parameters, states, inputs.latent as tf.Tensor2D | undefined)
          : policy.split.evaluate(parameters, layersFrom(under('layer', inputs)), states);
      return { action: toEnvironment(scaling, actionOf(policy, output, inputs.noise as tf.Tensor2D)) };
    },
  });
}

/** The primary, which writes the layers that acting reads. */
function compileGeneration(
  { engine, policy: { parameters, shapes }, latentSize, rowCount }: RowPolicyOptions,
  split: PolicySplit,
  latents: Float32Array,
) {
  const inputs = {
    ...boundParameters('policy', parameters, shapes),
    latent: { shape: [rowCount, latentSize], data: latents },
  };
  const fn = ({ latent, ...rest }: Parameters) =>
    prefixed('layer', namedLayers(split.generate(under('policy', rest), latent as tf.Tensor2D)));
  const layers = Object.fromEntries(
    trace('pearl-generate', inputs, fn).outputs.map(({ name, value: { shape } }) => [
      name,
      { shape, data: new Float32Array(sizeOf(shape)) },
    ]),
  );
  const outputs = mapValues(layers, ({ data }) => data);
  return { layers, computation: engine.compile({ name: 'pearl-generate', inputs, outputs, fn }) };
}
