/** Our networks against the reference's figures: outputs, action gradients, losses and the gradient of every parameter. */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { actionGradient, ensembleQ, memberQ } from '../../src/nn/critics/critic.ts';
import { networkSpecs } from '../../src/nn/network.ts';
import { type Parameters, shapesOf } from '../../src/nn/parameters.ts';
import { logProbOf, policyOutput } from '../../src/nn/policies/policy.ts';
import { type ReferenceNetwork, referenceNetwork, referenceParameters } from '../../src/nn/reference/network.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor } from '../../src/onnx/session.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { trace } from '../../src/trace/trace.ts';
import {
  architectures,
  type CriticCase,
  caseInputs,
  isCriticCase,
  type PolicyCase,
  type ReferenceCase,
  referenceCases,
  shapesIn,
  sizesIn,
  stateDict,
  toTheirs,
} from './reference.ts';

const tolerance = 1e-4;

type Tensors = Readonly<Record<string, tf.Tensor>>;

/** Loss, outputs and `d.<parameter>` of one case, through the traced engine at the case's own sizes. */
function compute({ network, ...reference }: ReferenceNetwork, golden: ReferenceCase): Record<string, Float32Array> {
  const shapes = shapesOf(networkSpecs(network));
  const inputs = caseInputs(golden);
  const specs = {
    ...Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, { shape }])),
    ...Object.fromEntries(Object.entries(inputs).map(([name, { shape }]) => [name, { shape }])),
  };
  const graph = trace(golden.case, specs, ({ observation, action, context, target, ...parameters }) => {
    const [states, contexts] = [observation as tf.Tensor2D, context as tf.Tensor2D | undefined];
    const loss = (variables: Parameters): tf.Scalar => {
      if (network.kind === 'critic') {
        const q = memberQ(network.critic, 0, variables, states, action as tf.Tensor2D, contexts);
        return tf.mean(tf.squaredDifference(q, target!));
      }
      const output = policyOutput(network.policy, variables, states, contexts);
      return tf.mean(logProbOf(network.policy, output, action!));
    };
    const { value, gradients } = valueAndGradients(loss, parameters);
    const d = Object.fromEntries(Object.entries(gradients).map(([name, gradient]) => [`d.${name}`, gradient]));
    return { loss: value, ...outputs(network, parameters, { states, action: action!, contexts }), ...d };
  });
  const session = compile(graph, { threadCount: 1 });
  const values = referenceParameters({ network, ...reference }, stateDict(golden));
  const feeds = Object.fromEntries(
    session.inputs.map(({ name }) => {
      const input = inputs[name];
      return [
        name,
        input === undefined ? floatTensor(values[name]!, shapes[name]!) : floatTensor(input.data, input.shape),
      ];
    }),
  );
  const results = Object.entries(session.run(feeds)).map(
    ([name, { data }]) => [name, (data as Float32Array).slice()] as const,
  );
  session.dispose();
  return Object.fromEntries(results);
}

type At = { readonly states: tf.Tensor2D; readonly action: tf.Tensor; readonly contexts: tf.Tensor2D | undefined };

function outputs(
  network: ReferenceNetwork['network'],
  parameters: Parameters,
  { states, action, contexts }: At,
): Tensors {
  if (network.kind === 'policy') {
    const output = policyOutput(network.policy, parameters, states, contexts);
    return { mu: output.mean, log_std: output.logStd!, log_prob: logProbOf(network.policy, output, action) };
  }
  const { critic } = network;
  return {
    q: ensembleQ(critic, parameters, states, action as tf.Tensor2D, contexts),
    dq_da: actionGradient((a) => memberQ(critic, 0, parameters, states, a, contexts), action as tf.Tensor2D),
  };
}

/** Largest difference, on the scale of the largest expected value. */
function expectClose(actual: Float32Array, expected: readonly number[], what: string): void {
  expect(actual.length, what).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  const worst = Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value))) / scale;
  expect(worst, what).toBeLessThan(tolerance);
}

function expectGradients(
  golden: ReferenceCase,
  { tensors }: ReferenceNetwork,
  results: Record<string, Float32Array>,
): void {
  golden.grads.forEach(({ l2, first }, k) => {
    const { name } = golden.params[k]!;
    const { ours, place } = tensors.get(name)!;
    const gradient = toTheirs(results[`d.${ours}`]!, place);
    const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
    expect(Math.abs(norm - l2) / l2, `${name} norm`).toBeLessThan(tolerance);
    // Single elements are compared on the scale of their tensor's typical element.
    const typical = l2 / Math.sqrt(gradient.length);
    first.forEach((value, i) => {
      const error = Math.abs(gradient[i]! - value) / Math.max(typical, Math.abs(value));
      expect(error, `${name}[${i}]`).toBeLessThan(tolerance);
    });
  });
}

describe.each(referenceCases)('%s', (_file, golden) => {
  test('meets the reference: outputs, loss and every parameter gradient', () => {
    const reference = referenceNetwork(architectures[golden.case]!, sizesIn(golden), shapesIn(golden));
    const results = compute(reference, golden);
    if (isCriticCase(golden)) expectCritic(golden, results);
    else expectPolicy(golden as PolicyCase, results);
    expectGradients(golden, reference, results);
  });
});

function expectCritic(golden: CriticCase, results: Record<string, Float32Array>): void {
  expectClose(results.q!, golden.q, 'q');
  expectClose(results.dq_da!, golden.dq_da, 'dq_da');
  expectClose(results.loss!, [golden.mse_loss], 'loss');
}

function expectPolicy(golden: PolicyCase, results: Record<string, Float32Array>): void {
  expectClose(results.mu!, golden.mu, 'mu');
  if (golden.std !== undefined) expectClose(results.log_std!.map(Math.exp), golden.std, 'std');
  if (golden.log_std !== undefined) expectClose(results.log_std!, golden.log_std, 'log_std');
  expectClose(results.log_prob!, golden.log_prob, 'log_prob');
}
