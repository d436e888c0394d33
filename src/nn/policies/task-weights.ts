/**
 * A Gaussian policy in a given context is one network of the observation. Here are that network's tensors for each of K contexts, so
 * that policies of different tasks, or adapted to them, act side by side in one run.
 *
 * `w0 g0 b0 w1 ...` are the layers, weight [K, I, O], gain and bias [K, 1, O], and `log_std` [K, A]. An MLP has no gains; its
 * context is inside `b0`.
 */

import * as tf from '@tensorflow/tfjs-core';
import { dynamic } from '../hyper/dynamic.ts';
import { factorsOf, type GeneratedLayer } from '../hyper/head.ts';
import type { LinearMap } from '../linear.ts';
import { type Parameters, under } from '../parameters.ts';
import { globalLogStd } from './log-std.ts';
import type { Policy, PolicyOutput } from './policy.ts';

/**
 * The tensors of K contexts. K is that of the contexts; a policy without has `contexts` [K, 0].
 * @param parameters those that are no weights of linear layers of a hypernetwork may have a leading K: a copy for every context
 * @param contexts [K, C], as the network reads them
 * @param map stands in for the linear layers of a hypernetwork
 */
export function taskWeights(
  policy: Policy,
  parameters: Parameters,
  contexts: tf.Tensor2D,
  map?: LinearMap,
): Record<string, tf.Tensor> {
  const layers =
    policy.split === undefined
      ? mlpLayers(policy, parameters, contexts)
      : policy.split
          .generate(parameters, contexts, map)
          .map((layer, i) => wholeLayer(layer, under(`head${i}`, parameters)));
  const named = layers.flatMap(({ weight, gain, bias }, i): [string, tf.Tensor][] => [
    [`w${i}`, weight],
    ...(gain === undefined ? [] : [[`g${i}`, gain] as [string, tf.Tensor]]),
    [`b${i}`, bias],
  ]);
  const logStd = globalLogStd(parameters);
  return { ...Object.fromEntries(named), log_std: forEach(contexts, logStd, 1) };
}

/**
 * What the policy gives for observations, from the tensors of {@link taskWeights}.
 * @param observation [K, R, O] with tensors of K contexts, or [B, O] with tensors of B rows, or of one context without the leading 1
 * @returns mean as the observations have rows; logStd broadcasts to it
 */
export function taskOutput(policy: Policy, weights: Parameters, observation: tf.Tensor): PolicyOutput {
  const layers = layersIn(weights);
  const logStd = observation.rank === 3 ? tf.expandDims(weights.log_std!, 1) : weights.log_std!;
  const mean =
    policy.split === undefined
      ? dynamic(layers, observation)
      : policy.split.evaluate({ logStd: weights.log_std! }, layers, observation).mean;
  return { mean, logStd };
}

/** Shapes of the tensors of {@link taskWeights}, without the leading K. */
export function taskWeightShapes({ specs, sizes, split }: Policy): Record<string, readonly number[]> {
  const { observationSize, actionSize } = sizes;
  const shapes: Record<string, readonly number[]> = {};
  const layer = (i: number, inputSize: number, outputSize: number) => {
    shapes[`w${i}`] = [inputSize, outputSize];
    if (split !== undefined) shapes[`g${i}`] = [1, outputSize];
    shapes[`b${i}`] = [1, outputSize];
  };
  for (let i = 0; `mlp.layer${i}.weight` in specs; i++) {
    const [inputSize, outputSize] = specs[`mlp.layer${i}.weight`]!.shape as [number, number];
    layer(i, i === 0 ? observationSize : inputSize, outputSize);
  }
  for (let i = 0; `head${i}.bias.bias` in specs; i++) {
    const outputSize = specs[`head${i}.bias.bias`]!.shape[0]!;
    const inputSize = specs[`head${i}.base`]?.shape[0] ?? specs[`head${i}.weight.bias`]!.shape[0]! / outputSize;
    layer(i, inputSize, outputSize);
  }
  return { ...shapes, log_std: [actionSize] };
}

type Layer = Pick<GeneratedLayer, 'weight' | 'bias'> & { readonly gain?: tf.Tensor };

function layersIn(weights: Parameters): GeneratedLayer[] {
  const layers: GeneratedLayer[] = [];
  for (let i = 0; `w${i}` in weights; i++) {
    const weight = weights[`w${i}`]!;
    const gain = weights[`g${i}`] ?? tf.ones(weight.shape.map(() => 1));
    layers.push({ weight, gain, bias: weights[`b${i}`]! });
  }
  return layers;
}

/** The layers of an MLP, where the context's part of the first product is a bias. */
function mlpLayers({ sizes }: Policy, parameters: Parameters, contexts: tf.Tensor2D): Layer[] {
  const { observationSize, contextSize = 0 } = sizes;
  const layers: Layer[] = [];
  for (let i = 0; `mlp.layer${i}.weight` in parameters; i++) {
    const weight = forEach(contexts, parameters[`mlp.layer${i}.weight`]!, 2) as tf.Tensor3D; // [K, I, O]
    const bias = tf.expandDims(forEach(contexts, parameters[`mlp.layer${i}.bias`]!, 1), 1); // [K, 1, O]
    if (i > 0 || contextSize === 0) {
      layers.push({ weight, bias });
      continue;
    }
    const [ofObservation, ofContext] = tf.split(weight, [observationSize, contextSize], 1) as [tf.Tensor, tf.Tensor];
    layers.push({ weight: ofObservation, bias: tf.add(tf.matMul(tf.expandDims(contexts, 1), ofContext), bias) });
  }
  return layers;
}

/** A tensor of that rank that is the same for every context, [K, ...]; itself where it has the leading K. */
const forEach = (contexts: tf.Tensor2D, tensor: tf.Tensor, rank: number): tf.Tensor =>
  tensor.rank > rank ? tensor : tf.broadcastTo(tf.expandDims(tensor, 0), [contexts.shape[0], ...tensor.shape]);

/** A low-rank head's weight is formed: its factors are the policy's own, which adaptation moves too. */
function wholeLayer(layer: GeneratedLayer, parameters: Parameters): Layer {
  const factors = factorsOf(parameters);
  if (factors === undefined) return layer;
  const { base, left, right } = factors;
  return { ...layer, weight: tf.add(base, tf.matMul(tf.mul(layer.weight, left), right)) };
}
