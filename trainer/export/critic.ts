/** Exports a critic as the graph contract asks: q and its gradient with respect to the action, environment units. */

import * as tf from '@tensorflow/tfjs-core';
import { type ActionScaling, toNormalised } from '../../src/nn/action-scaling.ts';
import { type Critic, memberQ } from '../../src/nn/critics/critic.ts';
import type { GeneratedLayer } from '../../src/nn/hyper/head.ts';
import { under } from '../../src/nn/parameters.ts';
import { type InputSpec, trace } from '../../src/trace/trace.ts';
import { asConstants, type GraphFile, graphFile, type NetworkParameters } from './graphs.ts';

export type CriticExport = {
  readonly critic: Critic;
  readonly parameters: NetworkParameters;
  readonly scaling: ActionScaling;
  readonly observationSize: number;
  readonly actionSize: number;
};

export type CriticFiles =
  | { readonly kind: 'plain'; readonly graph: GraphFile }
  | { readonly kind: 'hyper'; readonly primary: GraphFile; readonly dynamic: GraphFile };

/** Split into primary and dynamic where a primary generates the dynamic network from the observation alone; else plain. */
export const exportCritic = (options: CriticExport): CriticFiles =>
  options.critic.member.split === undefined
    ? { kind: 'plain', graph: exportPlain(options) }
    : { kind: 'hyper', ...exportSplit(options, options.critic.member.split) };

/** `critic.onnx`: observation [B, O], action [B, A] -> q [B, Q], dq_da [B, Q, A]. */
function exportPlain({ critic, parameters, scaling, observationSize, actionSize }: CriticExport): GraphFile {
  const inputs = { observation: { shape: ['B', observationSize] }, action: { shape: ['B', actionSize] } };
  const graph = trace('critic', inputs, ({ observation, action }) => {
    const constants = asConstants(parameters);
    const members = Array.from({ length: critic.ensembleSize }, (_, i) => {
      const q = (a: tf.Tensor) =>
        memberQ(critic, i, constants, observation as tf.Tensor2D, toNormalised(scaling, a) as tf.Tensor2D);
      return { q: q(action!), gradient: tf.grad((a: tf.Tensor) => tf.sum(q(a)))(action!) };
    });
    return {
      q: tf.stack(
        members.map(({ q }) => q),
        1,
      ),
      dq_da: tf.stack(
        members.map(({ gradient }) => gradient),
        1,
      ),
    };
  });
  return graphFile('critic.onnx', graph);
}

/**
 * `critic.primary.onnx`: observation [K, O] -> w0 [K, Q, I, O] g0 b0 [K, Q, 1, O] w1 ...
 * `critic.dynamic.onnx`: these, index [B] and action [B, A] -> q [B, Q], dq_da [B, Q, A]; only the dynamic part is differentiated.
 */
function exportSplit(
  { critic, parameters, scaling, observationSize, actionSize }: CriticExport,
  split: NonNullable<Critic['member']['split']>,
): { primary: GraphFile; dynamic: GraphFile } {
  const primary = graphFile(
    'critic.primary.onnx',
    trace('critic-primary', { observation: { shape: ['K', observationSize] } }, ({ observation }) => {
      const constants = asConstants(parameters);
      const members = Array.from({ length: critic.ensembleSize }, (_, i) =>
        split.generate(under(`q${i}`, constants), observation as tf.Tensor2D),
      );
      return namedLayers(stackMembers(members));
    }),
  );
  const weights = Object.fromEntries(
    primary.graph.outputs.map(({ name, shape }): [string, InputSpec] => [name, { shape }]),
  );
  const inputs = { ...weights, index: { shape: ['B'], dtype: 'int64' as const }, action: { shape: ['B', actionSize] } };
  const dynamic = graphFile(
    'critic.dynamic.onnx',
    trace('critic-dynamic', inputs, ({ index, action, ...tensors }) => {
      const layers = layersFrom(tensors, (tensor) => tf.gather(tensor, index as tf.Tensor1D));
      const q = (a: tf.Tensor) => split.evaluate(layers, toNormalised(scaling, a)); // [B, Q, A] -> [B, Q]
      const rows = action!.shape[0]!;
      const perMember = tf.broadcastTo(tf.expandDims(action!, 1), [rows, critic.ensembleSize, actionSize]);
      return { q: q(perMember), dq_da: tf.grad((a: tf.Tensor) => tf.sum(q(a)))(perMember) };
    }),
  );
  return { primary, dynamic };
}

/** The members' layers side by side behind the context: [K, ...] each to [K, Q, ...]. */
const stackMembers = (members: readonly GeneratedLayer[][]): GeneratedLayer[] =>
  members[0]!.map((_, i) => {
    const stack = (part: keyof GeneratedLayer) =>
      tf.stack(
        members.map((layers) => layers[i]![part]),
        1,
      );
    return { weight: stack('weight'), gain: stack('gain'), bias: stack('bias') };
  });

/** w0 g0 b0 w1 g1 b1 ... */
const namedLayers = (layers: readonly GeneratedLayer[]): Record<string, tf.Tensor> =>
  Object.fromEntries(
    layers.flatMap(({ weight, gain, bias }, i) => [
      [`w${i}`, weight],
      [`g${i}`, gain],
      [`b${i}`, bias],
    ]),
  );

function layersFrom(
  tensors: Readonly<Record<string, tf.Tensor>>,
  pick: (tensor: tf.Tensor) => tf.Tensor,
): GeneratedLayer[] {
  const layerCount = Object.keys(tensors).length / 3;
  return Array.from({ length: layerCount }, (_, i) => ({
    weight: pick(tensors[`w${i}`]!),
    gain: pick(tensors[`g${i}`]!),
    bias: pick(tensors[`b${i}`]!),
  }));
}
