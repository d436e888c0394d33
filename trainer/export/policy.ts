/** Exports a policy as the graph contract asks: observation, and context and noise if it takes them, to actions in environment units. */

import * as tf from '@tensorflow/tfjs-core';
import { logVolume, toEnvironment } from '../../src/nn/action-scaling.ts';
import { normalise } from '../../src/nn/normalisation.ts';
import { actionOf, type Policy, type PolicyOutput, policyOutput, sampleOf } from '../../src/nn/policies/policy.ts';
import type { Units } from '../../src/nn/units.ts';
import { type InputSpec, trace } from '../../src/trace/trace.ts';
import {
  asConstants,
  graphFile,
  layersFrom,
  type NetworkFiles,
  type NetworkParameters,
  namedLayers,
  splitFiles,
} from './graphs.ts';

export type PolicyExport = Units & {
  readonly policy: Policy;
  readonly parameters: NetworkParameters;
  /** Values of a context that the model's specs have and the policy does not read: its graph takes them, as the contract asks. */
  readonly unreadContextSize?: number | undefined;
};

/** Split into primary and dynamic if a primary generates the policy from the context; else plain. */
export const exportPolicy = (options: PolicyExport): NetworkFiles =>
  options.policy.split === undefined ? exportPlain(options) : exportSplit(options, options.policy.split);

/**
 * Outputs of a policy's graph: `action` [B, A] in environment units and, if the policy is stochastic, `log_prob` [B], the
 * log-density of the unclipped sample in environment units.
 * @param noise standard normal, [B, A]; zeros give the deterministic action
 */
export function policyResults(
  { policy, scaling }: Pick<PolicyExport, 'policy' | 'scaling'>,
  output: PolicyOutput,
  noise: tf.Tensor | undefined,
): Record<string, tf.Tensor> {
  if (noise === undefined) return { action: toEnvironment(scaling, actionOf(policy, output)) };
  const { action, logProb } = sampleOf(policy, output, noise);
  return { action: toEnvironment(scaling, action), log_prob: tf.sub(logProb, logVolume(scaling)) };
}

function noiseInput({ distribution, sizes }: Policy): Record<string, InputSpec> {
  return distribution === 'deterministic' ? {} : { noise: { shape: ['B', sizes.actionSize] } };
}

/** `policy.onnx`: observation [B, O], context [B, C], noise [B, A] -> action [B, A], log_prob [B]. */
function exportPlain(options: PolicyExport): NetworkFiles {
  const { policy, parameters } = options;
  const { observationSize, contextSize = 0 } = policy.sizes;
  const taken = contextSize || (options.unreadContextSize ?? 0);
  const inputs: Record<string, InputSpec> = {
    observation: { shape: ['B', observationSize] },
    ...(taken > 0 && { context: { shape: ['B', taken] } }),
    ...noiseInput(policy),
  };
  const graph = trace('policy', inputs, ({ observation, context, noise }) => {
    const output = policyOutput(
      policy,
      asConstants(parameters),
      normalise(options.observation, observation as tf.Tensor2D),
      contextSize > 0 ? normalise(options.context, context as tf.Tensor2D) : undefined,
    );
    return policyResults(options, output, noise);
  });
  return { kind: 'plain', graph: graphFile('policy.onnx', graph) };
}

/**
 * `policy.primary.onnx`: context [K, C] -> w0 [K, I, O] g0 b0 [K, 1, O] w1 ...; a log-std head's layer comes last.
 * `policy.dynamic.onnx`: these, index [B], observation [B, O], noise [B, A] -> action [B, A], log_prob [B].
 */
function exportSplit(options: PolicyExport, split: NonNullable<Policy['split']>): NetworkFiles {
  const { policy, parameters } = options;
  const { observationSize, contextSize = 0 } = policy.sizes;
  return splitFiles(
    'policy',
    {
      inputs: { context: { shape: ['K', contextSize] } },
      fn: ({ context }) =>
        namedLayers(split.generate(asConstants(parameters), normalise(options.context, context as tf.Tensor2D))),
    },
    {
      inputs: { observation: { shape: ['B', observationSize] }, ...noiseInput(policy) },
      fn: ({ observation, noise }, weights) => {
        const base = normalise(options.observation, observation!);
        return policyResults(options, split.evaluate(asConstants(parameters), layersFrom(weights), base), noise);
      },
    },
  );
}
