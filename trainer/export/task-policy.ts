/**
 * Exports a policy that adapts all of its parameters to a task: as the network of the observation that it is in each context, so that
 * adapted ones are served beside it; and the adaptation itself.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { AdvantageConfig } from '../../src/advantages/policy-gradient.ts';
import { invalidArgument } from '../../src/contract/errors.ts';
import { toNormalised } from '../../src/nn/action-scaling.ts';
import { normalise } from '../../src/nn/normalisation.ts';
import type { Parameters } from '../../src/nn/parameters.ts';
import { taskOutput, taskWeights } from '../../src/nn/policies/task-weights.ts';
import { type InputSpec, trace } from '../../src/trace/trace.ts';
import { asConstants, type GraphFile, graphFile, type NetworkFiles, splitFiles } from './graphs.ts';
import { type PolicyExport, policyResults } from './policy.ts';

/** N steps of one task as the policy's network reads them. */
export type AdaptationSteps = {
  readonly observation: tf.Tensor2D; // [N, O]
  readonly action: tf.Tensor2D; // [N, A]
  readonly coefficient: tf.Tensor1D; // [N]
};

/** An adaptation of all parameters; `weighting` and the rest are those of its advantages, see policy-gradient.ts. */
export type AdaptationExport = AdvantageConfig & {
  /**
   * The parameters after all inner steps.
   * @param context [1, C]; undefined if the policy has none
   */
  readonly adapt: (parameters: Parameters, context: tf.Tensor2D | undefined, steps: AdaptationSteps) => Parameters;
};

const contextSizeOf = ({ policy }: PolicyExport): number => policy.sizes.contextSize ?? 0;

/** Contexts as the network reads them; for a policy without, [K, 0]. */
function contextsOf(options: PolicyExport, context: tf.Tensor): tf.Tensor2D {
  return contextSizeOf(options) === 0 ? (context as tf.Tensor2D) : normalise(options.context, context as tf.Tensor2D);
}

/**
 * `policy.primary.onnx`: context [K, C] (C may be 0) -> w0 [K, I, O] ... log_std [K, A], see task-weights.ts.
 * `policy.dynamic.onnx`: these, index [B], observation [B, O], noise [B, A] -> action [B, A], log_prob [B].
 */
export function exportTaskPolicy(options: PolicyExport): NetworkFiles {
  const { policy, parameters } = options;
  const { observationSize, actionSize } = policy.sizes;
  return splitFiles(
    'policy',
    {
      inputs: { context: { shape: ['K', contextSizeOf(options)] } },
      fn: ({ context }) => taskWeights(policy, asConstants(parameters), contextsOf(options, context!)),
    },
    {
      inputs: { observation: { shape: ['B', observationSize] }, noise: { shape: ['B', actionSize] } },
      fn: ({ observation, noise }, weights) => {
        const output = taskOutput(policy, weights, normalise(options.observation, observation!));
        return policyResults(options, output, noise);
      },
    },
  );
}

/**
 * The adapted policy's weights, each as `adapted_<name>` [1, ...].
 * @param inputs in environment units: context [1, C] if the policy has one, observation, action, coefficient
 */
export function adaptationResults(
  options: PolicyExport,
  { adapt }: AdaptationExport,
  parameters: Parameters,
  inputs: Parameters,
): Record<string, tf.Tensor> {
  const { observation, action, coefficient } = inputs;
  const context = inputs.context && contextsOf(options, inputs.context);
  const adapted = adapt(parameters, context, {
    observation: normalise(options.observation, observation as tf.Tensor2D),
    action: toNormalised(options.scaling, action!) as tf.Tensor2D,
    coefficient: coefficient as tf.Tensor1D,
  });
  const weights = taskWeights(options.policy, adapted, context ?? tf.zeros<tf.Rank.R2>([1, 0]));
  return Object.fromEntries(Object.entries(weights).map(([name, tensor]) => [`adapted_${name}`, tensor]));
}

/**
 * `adapt.onnx`: context [1, C] if the policy has one, observation [N, O], action [N, A], coefficient [N] -> the adapted weights.
 * @throws HyperpolicyError invalid_argument for a policy without a density, or none
 */
export function exportAdaptation(options: PolicyExport | null, adaptation: AdaptationExport): GraphFile {
  if (options === null || options.policy.distribution === 'deterministic') {
    throw invalidArgument({
      where: 'export of an adaptation',
      expected: 'a stochastic policy',
      actual: options?.policy.architecture ?? 'none',
    });
  }
  const { observationSize, actionSize } = options.policy.sizes;
  const contextSize = contextSizeOf(options);
  const inputs: Record<string, InputSpec> = {
    ...(contextSize > 0 && { context: { shape: [1, contextSize] } }),
    observation: { shape: ['N', observationSize] },
    action: { shape: ['N', actionSize] },
    coefficient: { shape: ['N'] },
  };
  const graph = trace('adapt', inputs, (tensors) =>
    adaptationResults(options, adaptation, asConstants(options.parameters), tensors),
  );
  return graphFile('adapt.onnx', graph);
}
