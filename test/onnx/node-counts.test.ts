/**
 * Node counts of whole update steps, so that a regression of the passes shows. Where a change is meant, update the figure and say
 * in test/bench/NOTES.md what it did to the time: fewer nodes are not always faster.
 */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { plainSpec } from '../../src/contract/tensor-spec.ts';
import { ensembleQ } from '../../src/nn/critics/critic.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { type ParameterSpecs, shapesOf, under } from '../../src/nn/parameters.ts';
import { policyOutput, sampleOf } from '../../src/nn/policies/policy.ts';
import { createPolicy } from '../../src/nn/policies/registry.ts';
import { joinEqualParts } from '../../src/onnx/passes/equal-parts.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { type InputSpec, type TracedFunction, trace } from '../../src/trace/trace.ts';
import { td3Defaults } from '../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../trainer/algorithms/td3/learner.ts';
import type { Engine } from '../../trainer/engine/engine.ts';
import { hessianVector } from '../bench/engine-cases.ts';

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
    compileRepeated() {
      throw new Error('expected updates one by one');
    },
  };
}

const specs = {
  observation: plainSpec('observation', 17),
  action: plainSpec('action', 6, { low: -1, high: 1 }),
  context: null,
};

test.each([
  ['mlp-standard', { 'td3-act': 8, 'td3-critic': 74, 'td3-actor': 47 }],
  ['sa-hyper', { 'td3-act': 8, 'td3-critic': 503, 'td3-actor': 96 }],
])('TD3 with %s critics', (architecture, expected) => {
  const counts: Record<string, number> = {};
  createTd3Learner({ config: td3Defaults({ architecture }), specs, engine: countingEngine(counts), seed: 1 });
  expect(counts).toEqual(expected);
});

test('two updates of TD3 with sa-hyper critics as a pass of a run: tensors of one shape take a step together', () => {
  const steps: string[] = [];
  const engine: Engine = {
    ...countingEngine({}),
    compileRepeated({ name, state, slices, pass }) {
      const inputs = { ...state, ...slices };
      const { nodes } = joinEqualParts(optimise(trace(name, inputs, pass)));
      steps.push(...nodes.map(({ op }) => op));
      return { run() {}, dispose() {} };
    },
  };
  createTd3Learner({ config: td3Defaults({ architecture: 'sa-hyper' }), specs, engine, seed: 1, updatesPerRun: 2 });
  expect(steps).toHaveLength(1774);
  // The twins' 84 tensors have 14 shapes and take two steps; the actor's six have five.
  expect(steps.filter((op) => op === 'Sqrt')).toHaveLength(2 * 14 + 5);
});

const [batchSize, entropyWeight, gamma] = [256, 0.2, 0.99];
const sizes = { observationSize: 17, actionSize: 6 };

/** Inputs for a network's parameters under `prefix.`. */
const parameterInputs = (prefix: string, parameterSpecs: ParameterSpecs): Record<string, InputSpec> =>
  Object.fromEntries(Object.entries(shapesOf(parameterSpecs)).map(([name, shape]) => [`${prefix}.${name}`, { shape }]));

/**
 * Soft actor-critic's two steps. Source: Haarnoja et al. 2018, equations 5 and 9, with twin critics and targets.
 * Policy: 17 -> 256 -> 256 -> mean and log standard deviation of 6; temperature fixed.
 */
describe.each([
  ['mlp-standard', { critic: 96, actor: 111 }],
  ['sa-hyper', { critic: 559, actor: 213 }],
])('SAC with %s critics', (architecture, expected) => {
  const policy = createPolicy({ architecture: 'sac-policy' }, sizes);
  const critic = createCritic({ architecture }, { ...sizes, ensembleSize: 2 });
  const minimumQ = (parameters: Tensors, observation: tf.Tensor, action: tf.Tensor) =>
    tf.min(ensembleQ(critic, parameters, observation as tf.Tensor2D, action as tf.Tensor2D), 1);
  const sample = (parameters: Tensors, observation: tf.Tensor, noise: tf.Tensor) =>
    sampleOf(policy, policyOutput(policy, parameters, observation as tf.Tensor2D), noise);
  const rows = (...shape: number[]): InputSpec => ({ shape: [batchSize, ...shape] });
  const shared = {
    ...parameterInputs('policy', policy.specs),
    ...parameterInputs('critic', critic.specs),
    observation: rows(sizes.observationSize),
    noise: rows(sizes.actionSize),
  };

  test('critic step', () => {
    const inputs = {
      ...shared,
      ...parameterInputs('target', critic.specs),
      action: rows(sizes.actionSize),
      reward: rows(),
      terminated: rows(),
      nextObservation: rows(sizes.observationSize),
    };
    const fn: TracedFunction = (x) => {
      const { action, logProb } = sample(under('policy', x), x.nextObservation!, x.noise!);
      const soft = tf.sub(minimumQ(under('target', x), x.nextObservation!, action), tf.mul(entropyWeight, logProb));
      const target = tf.add(x.reward!, tf.mul(gamma, tf.mul(tf.sub(1, x.terminated!), soft)));
      const loss = (parameters: Tensors): tf.Scalar => {
        const q = ensembleQ(critic, parameters, x.observation as tf.Tensor2D, x.action as tf.Tensor2D);
        return tf.sum(tf.mean(tf.squaredDifference(q, tf.expandDims(target, 1)), 0));
      };
      const { value, gradients } = valueAndGradients(loss, under('critic', x));
      return { value, ...gradients };
    };
    expect(countOf('sac-critic', inputs, fn)).toBe(expected.critic);
  });

  test('actor step', () => {
    const fn: TracedFunction = (x) => {
      const loss = (parameters: Tensors): tf.Scalar => {
        const { action, logProb } = sample(parameters, x.observation!, x.noise!);
        return tf.mean(tf.sub(tf.mul(entropyWeight, logProb), minimumQ(under('critic', x), x.observation!, action)));
      };
      const { value, gradients } = valueAndGradients(loss, under('policy', x));
      return { value, ...gradients };
    };
    expect(countOf('sac-actor', shared, fn)).toBe(expected.actor);
  });
});

test.each([
  ['at the current point', false, 269],
  ['through an inner gradient step', true, 1522],
])("TRPO's Hessian-vector product of the paper's hyper-maml policy, %s", (_where, inner, expected) => {
  const counts: Record<string, number> = {};
  hessianVector(countingEngine(counts), { inner, rows: 4000 });
  expect(Object.values(counts)).toEqual([expected]);
});
