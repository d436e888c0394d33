/** Exports a deterministic policy as the graph contract asks: observation in, action out, environment units. */

import type * as tf from '@tensorflow/tfjs-core';
import { type ActionScaling, toEnvironment } from '../../src/nn/action-scaling.ts';
import type { Parameters } from '../../src/nn/parameters.ts';
import { trace } from '../../src/trace/trace.ts';
import { asConstants, type GraphFile, graphFile, type NetworkParameters } from './graphs.ts';

export type DeterministicPolicyExport = {
  /** Observation [B, O] to normalised action [B, A]. */
  readonly actor: (parameters: Parameters, observation: tf.Tensor2D) => tf.Tensor2D;
  readonly parameters: NetworkParameters;
  readonly scaling: ActionScaling;
  readonly observationSize: number;
};

/** `policy.onnx`: observation [B, O] -> action [B, A]. */
export const exportDeterministicPolicy = ({
  actor,
  parameters,
  scaling,
  observationSize,
}: DeterministicPolicyExport): GraphFile =>
  graphFile(
    'policy.onnx',
    trace('policy', { observation: { shape: ['B', observationSize] } }, ({ observation }) => ({
      action: toEnvironment(scaling, actor(asConstants(parameters), observation as tf.Tensor2D)),
    })),
  );
