/**
 * The engine alone, in one process: the paper-size SA-Hyper critic (17 observations, 6 actions, 8.5 M parameters), and a
 * dynamic network as the server runs it. `_t1` and `_t2` are one and two threads; the plain key is two.
 */

import * as tf from '@tensorflow/tfjs-core';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { dynamic } from '../../src/nn/hyper/dynamic.ts';
import { initialise, shapesOf } from '../../src/nn/parameters.ts';
import { compile } from '../../src/onnx/compile.ts';
import { floatTensor, indexTensor } from '../../src/onnx/session.ts';
import { createTrainable } from '../../src/optim/trainable.ts';
import { createRandom } from '../../src/spec/random.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { trace } from '../../src/trace/trace.ts';
import { boundGradients, boundParameters } from '../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../trainer/engine/traced.ts';
import type { BenchOptions } from './main.ts';
import { medianMs, report } from './measure.ts';

const observationSize = 17;
const actionSize = 6;

export async function run({ json }: BenchOptions): Promise<void> {
  const figures: Record<string, number> = {};
  for (const threadCount of [1, 2]) {
    const suffix = `_t${threadCount}`;
    const { forwardBackward, forward, adam } = criticTimes(threadCount);
    figures[`critic_b256_forward_backward_ms${suffix}`] = forwardBackward;
    figures[`critic_b1_forward_ms${suffix}`] = forward;
    figures.critic_b256_adam_ms = adam;
  }
  figures.critic_b256_forward_backward_ms = figures.critic_b256_forward_backward_ms_t2!;
  figures.critic_b1_forward_ms = figures.critic_b1_forward_ms_t2!;
  figures.act_dynamic_b1_us = dynamicTime(1);
  figures.act_dynamic_b64_us = dynamicTime(64);
  report(figures, json);
}

function criticTimes(threadCount: number): { forwardBackward: number; forward: number; adam: number } {
  const batch = 256;
  const { member } = createCritic({ architecture: 'sa-hyper' }, { observationSize, actionSize, ensembleSize: 1 });
  const shapes = shapesOf(member.specs);
  const trainable = createTrainable({ shapes, learningRate: 5e-5, target: false });
  const random = createRandom(1);
  initialise(member.specs, trainable.parameters, random);
  const normals = (size: number) => {
    const data = new Float32Array(size);
    random.fillNormal(data);
    return data;
  };
  const inputs = (rows: number) => ({
    ...boundParameters('critic', trainable.parameters, shapes),
    observation: { shape: [rows, observationSize], data: normals(rows * observationSize) },
    action: { shape: [rows, actionSize], data: normals(rows * actionSize) },
  });
  const parametersOf = (tensors: Readonly<Record<string, tf.Tensor>>) =>
    Object.fromEntries(Object.keys(shapes).map((name) => [name, tensors[`critic.${name}`]!]));
  const engine = createTracedEngine({ threadCount });
  const step = engine.compile({
    name: 'forward-backward',
    inputs: { ...inputs(batch), target: { shape: [batch], data: normals(batch) } },
    outputs: { loss: new Float32Array(1), ...boundGradients('d', trainable.gradients) },
    fn: ({ observation, action, target, ...parameters }) => {
      const { value, gradients } = valueAndGradients(
        (variables) =>
          tf.mean(
            tf.squaredDifference(member.q(variables, observation as tf.Tensor2D, action as tf.Tensor2D), target!),
          ),
        parametersOf(parameters),
      );
      return { loss: value, ...Object.fromEntries(Object.entries(gradients).map(([name, d]) => [`d.${name}`, d])) };
    },
  });
  const single = engine.compile({
    name: 'forward',
    inputs: inputs(1),
    outputs: { q: new Float32Array(1) },
    fn: ({ observation, action, ...parameters }) => ({
      q: member.q(parametersOf(parameters), observation as tf.Tensor2D, action as tf.Tensor2D),
    }),
  });
  const times = {
    forwardBackward: medianMs(() => step.run(), { seconds: 5 }).median,
    forward: medianMs(() => single.run()).median,
    adam: medianMs(() => trainable.adam.step()).median,
  };
  step.dispose();
  single.dispose();
  return times;
}

/** One run of a generated dynamic network [rows, 17] -> 256 -> 6 with one context, in microseconds. */
function dynamicTime(rows: number): number {
  const random = createRandom(2);
  const normals = (...shape: number[]) => {
    const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
    random.fillNormal(data);
    return floatTensor(data, shape);
  };
  const feeds = {
    w0: normals(1, observationSize, 256),
    g0: normals(1, 1, 256),
    b0: normals(1, 1, 256),
    w1: normals(1, 256, actionSize),
    g1: normals(1, 1, actionSize),
    b1: normals(1, 1, actionSize),
    index: indexTensor(Array<number>(rows).fill(0)),
    observation: normals(rows, observationSize),
  };
  const specs = Object.fromEntries(
    Object.entries(feeds).map(([name, { dims }]) => [
      name,
      name === 'index'
        ? { shape: ['B'], dtype: 'int64' as const }
        : { shape: name === 'observation' ? ['B', observationSize] : ['K', ...dims.slice(1)] },
    ]),
  );
  const graph = trace('dynamic', specs, ({ index, observation, ...layers }) => {
    const pick = (name: string) => tf.gather(layers[name]!, index as tf.Tensor1D);
    const layer = (i: number) => ({ weight: pick(`w${i}`), gain: pick(`g${i}`), bias: pick(`b${i}`) });
    return { action: tf.tanh(dynamic([layer(0), layer(1)], observation!)) };
  });
  const session = compile(graph, { threadCount: 1 });
  const { median } = medianMs(() => session.run(feeds), { callsPerSample: 50 });
  session.dispose();
  return median * 1000;
}
