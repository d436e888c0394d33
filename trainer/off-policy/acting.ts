/** The action for one observation, as a compiled computation over fixed arrays. */

import type * as tf from '@tensorflow/tfjs-core';
import { mapValues } from '../../src/contract/records.ts';
import { specSizes } from '../../src/contract/tensor-spec.ts';
import { toEnvironment } from '../../src/nn/action-scaling.ts';
import { type Parameters, under } from '../../src/nn/parameters.ts';
import { boundParameters, type ComputationDefinition, type Engine } from '../engine/engine.ts';
import { modelOf } from '../engine/traced.ts';
import type { PortablePolicy } from '../run/portable-policy.ts';
import type { ReadArrays } from './actor-critic.ts';
import type { ContextValues, ObservationValues } from './learner.ts';
import type { ActorCriticNetworks } from './networks.ts';
import { type States, statesOf } from './transitions.ts';

export type Acting = {
  /** Standard normal draws for the next action, [A]; zeros give the deterministic one. Not read without `noisy`. */
  readonly noise: Float32Array;
  /** @param out [A], environment units */
  act(observation: ObservationValues, context: ContextValues, out: Float32Array): void;
  /** The same computation for other threads, without noise. */
  portablePolicy(): PortablePolicy;
  dispose(): void;
};

export type ActingOptions = {
  readonly engine: Engine;
  /** Name of the computation. */
  readonly name: string;
  readonly networks: ActorCriticNetworks;
  readonly actor: ReadArrays;
  /** Whether `action` takes noise. */
  readonly noisy: boolean;
  /** Normalised action [1, A] of one observation. */
  readonly action: (parameters: Parameters, states: States, noise: tf.Tensor2D | undefined) => tf.Tensor;
};

export function compileActing({ engine, name, networks, actor, noisy, action }: ActingOptions): Acting {
  const { observationSize, actionSize, contextSize } = specSizes(networks.specs);
  const observation = new Float32Array(observationSize);
  const context = new Float32Array(contextSize);
  const noise = new Float32Array(actionSize);
  const result = new Float32Array(actionSize);
  const parameters = boundParameters('actor', actor.parameters, actor.shapes);
  const definition: ComputationDefinition = {
    name,
    inputs: {
      ...parameters,
      observation: { shape: [1, observationSize], data: observation },
      ...(contextSize > 0 && { context: { shape: [1, contextSize], data: context } }),
      ...(noisy && { noise: { shape: [1, actionSize], data: noise } }),
    },
    outputs: { action: result },
    fn: (inputs) => ({
      action: toEnvironment(
        networks.scaling,
        action(under('actor', inputs), statesOf(inputs, networks), inputs.noise as tf.Tensor2D | undefined),
      ),
    }),
  };
  const computation = engine.compile(definition);
  let model: Uint8Array | undefined;
  return {
    noise,
    act(values, task, out) {
      observation.set(values);
      if (contextSize > 0) context.set(task!);
      computation.run();
      out.set(result);
    },
    portablePolicy() {
      model ??= modelOf(definition);
      return {
        model,
        parameters: mapValues(parameters, ({ data }) => data),
      };
    },
    dispose: () => computation.dispose(),
  };
}
