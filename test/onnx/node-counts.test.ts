/**
 * Node counts of whole update steps, so that a regression of the passes shows. Where a change is meant, update the figure and say
 * in test/bench/NOTES.md what it did to the time: fewer nodes are not always faster.
 */

import * as tf from '@tensorflow/tfjs-core';
import { expect, test } from 'vitest';
import { optimise } from '../../src/onnx/passes/index.ts';
import { plainSpec } from '../../src/spec/tensor-spec.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { type InputSpec, type TracedFunction, trace } from '../../src/trace/trace.ts';
import { td3Defaults } from '../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../trainer/algorithms/td3/learner.ts';
import type { Engine } from '../../trainer/engine/engine.ts';

type Tensors = Readonly<Record<string, tf.Tensor>>;

const countOf = (name: string, inputs: Readonly<Record<string, InputSpec>>, fn: TracedFunction): number =>
  optimise(trace(name, inputs, fn)).nodes.length;

/** An engine that compiles nothing and notes how many nodes each computation has. */
function countingEngine(counts: Record<string, number>): Engine {
  return {
    name: 'counting',
    compile({ name, inputs, fn }) {
      counts[name] = countOf(
        name,
        Object.fromEntries(Object.entries(inputs).map(([input, { shape }]) => [input, { shape }])),
        fn,
      );
      return { run() {}, dispose() {} };
    },
  };
}

const specs = {
  observation: plainSpec('observation', 17),
  action: plainSpec('action', 6, { low: -1, high: 1 }),
  context: null,
};

test.each([
  ['mlp-standard', { 'td3-act': 8, 'td3-critic': 79, 'td3-actor': 42 }],
  ['sa-hyper', { 'td3-act': 8, 'td3-critic': 498, 'td3-actor': 91 }],
])('TD3 with %s critics', (architecture, expected) => {
  const counts: Record<string, number> = {};
  createTd3Learner({ config: td3Defaults({ architecture }), specs, engine: countingEngine(counts), seed: 1 });
  expect(counts).toEqual(expected);
});

const [rows, observationSize, actionSize, hiddenSize] = [64, 17, 6, 256];

const layer = (x: tf.Tensor, weights: Tensors, i: number): tf.Tensor =>
  tf.add(tf.matMul(x as tf.Tensor2D, weights[`w${i}`] as tf.Tensor2D), weights[`b${i}`]!);
const network = (x: tf.Tensor, weights: Tensors): tf.Tensor =>
  layer(tf.relu(layer(tf.relu(layer(x, weights, 0)), weights, 1)), weights, 2);
const networkSpecs = (inputSize: number, outputSize: number): Record<string, InputSpec> => {
  const sizes = [inputSize, hiddenSize, hiddenSize, outputSize];
  return Object.fromEntries(
    [0, 1, 2].flatMap((i) => [
      [`w${i}`, { shape: [sizes[i]!, sizes[i + 1]!] }],
      [`b${i}`, { shape: [sizes[i + 1]!] }],
    ]),
  );
};
const weightNames = Object.keys(networkSpecs(1, 1));
const pickWeights = (inputs: Tensors): Tensors => Object.fromEntries(weightNames.map((name) => [name, inputs[name]!]));

/** log N(a; mean, exp(logStd)) summed over the action. */
function logProbability(action: tf.Tensor, mean: tf.Tensor, logStd: tf.Tensor): tf.Tensor {
  const z = tf.div(tf.sub(action, mean), tf.exp(logStd));
  return tf.neg(tf.sum(tf.add(tf.mul(tf.square(z), 0.5), tf.add(logStd, Math.log(2 * Math.PI) / 2)), 1));
}

test("SAC's actor step: tanh-Gaussian sample, its log-probability, and a fixed critic", () => {
  const inputs = {
    ...networkSpecs(observationSize, 2 * actionSize),
    observation: { shape: [rows, observationSize] },
    noise: { shape: [rows, actionSize] },
    q: { shape: [actionSize] },
  };
  const fn: TracedFunction = (x) => {
    const loss = (weights: Tensors): tf.Scalar => {
      const [mean, raw] = tf.split(network(x.observation!, weights), 2, 1) as [tf.Tensor, tf.Tensor];
      const logStd = tf.clipByValue(raw, -20, 2);
      const u = tf.add(mean, tf.mul(tf.exp(logStd), x.noise!));
      const squash = tf.sum(tf.mul(2, tf.sub(tf.sub(Math.LN2, u), tf.softplus(tf.mul(u, -2)))), 1);
      const entropyTerm = tf.mul(0.2, tf.sub(logProbability(u, mean, logStd), squash));
      return tf.mean(tf.sub(entropyTerm, tf.sum(tf.mul(tf.tanh(u), x.q!), 1)));
    };
    const { value, gradients } = valueAndGradients(loss, pickWeights(x));
    return { value, ...gradients };
  };
  expect(countOf('sac-actor', inputs, fn)).toBe(74);
});

test("TRPO's Hessian-vector product of the KL at the current point", () => {
  const inputs = {
    ...networkSpecs(observationSize, actionSize),
    ...Object.fromEntries(
      Object.entries(networkSpecs(observationSize, actionSize)).map(([name, spec]) => [`v.${name}`, spec]),
    ),
    logStd: { shape: [actionSize] },
    observation: { shape: [rows, observationSize] },
  };
  const fn: TracedFunction = (x) => {
    const weights = pickWeights(x);
    const old = network(x.observation!, weights);
    const precision = tf.exp(tf.mul(x.logStd!, -2));
    const kl = (w: Tensors): tf.Scalar =>
      tf.mul(0.5, tf.mean(tf.sum(tf.mul(tf.squaredDifference(network(x.observation!, w), old), precision), 1)));
    const along = (w: Tensors): tf.Scalar => {
      const { gradients } = valueAndGradients(kl, w);
      return tf.addN(weightNames.map((name) => tf.sum(tf.mul(gradients[name]!, x[`v.${name}`]!)))) as tf.Scalar;
    };
    return valueAndGradients(along, weights).gradients;
  };
  expect(countOf('trpo-hvp', inputs, fn)).toBe(35);
});
