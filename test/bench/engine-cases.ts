/** The computations that the engine bench times: each a function of threads and batch that gives a step and its node count. */

import * as tf from '@tensorflow/tfjs-core';
import { createRandom } from '../../src/contract/random.ts';
import { plainSpec } from '../../src/contract/tensor-spec.ts';
import { createCritic } from '../../src/nn/critics/registry.ts';
import { createHypernetwork } from '../../src/nn/hyper/hypernetwork.ts';
import { initialise, type ParameterSpecs, prefixed, shapesOf } from '../../src/nn/parameters.ts';
import { multiplyAdds } from '../../src/onnx/multiply-adds.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import { createTrainable, type Trainable } from '../../src/optim/trainable.ts';
import { valueAndGradients } from '../../src/trace/differentiate.ts';
import { trace } from '../../src/trace/trace.ts';
import { td3Defaults } from '../../trainer/algorithms/td3/config.ts';
import { createTd3Learner } from '../../trainer/algorithms/td3/learner.ts';
import { type BoundInput, boundParameters, type Engine } from '../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../trainer/engine/traced.ts';
import { createBatch } from '../../trainer/replay/batch.ts';

/** One thing to time. `dispose` frees its sessions. */
export type Case = {
  readonly run: () => void;
  readonly dispose: () => void;
  /** How often `run` runs a computation, by name; once where absent. */
  readonly runCounts?: Readonly<Record<string, number>>;
};

/** What is known of a computation before it runs. */
export type Traced = {
  readonly name: string;
  readonly traceMs: number;
  readonly nodeCount: number;
  /** Of its matrix products, which are nearly all of its arithmetic. */
  readonly gflop: number;
};

export const observationSize = 17;
export const actionSize = 6;

type Tensors = Readonly<Record<string, tf.Tensor>>;

const random = createRandom(1);
const normals = (...shape: number[]): BoundInput => {
  const data = new Float32Array(shape.reduce((product, size) => product * size, 1));
  random.fillNormal(data);
  return { shape, data };
};

/** The default engine, which adds what it traced to `traced`. */
export function notingEngine(threadCount: number, traced: Traced[]): Engine {
  const engine = createTracedEngine({ threadCount });
  return {
    name: engine.name,
    compile(definition) {
      const specs = Object.fromEntries(Object.entries(definition.inputs).map(([name, { shape }]) => [name, { shape }]));
      const begin = performance.now();
      const graph = optimise(trace(definition.name, specs, definition.fn));
      traced.push({
        name: definition.name,
        traceMs: performance.now() - begin,
        nodeCount: graph.nodes.length,
        gflop: (2 * multiplyAdds(graph)) / 1e9,
      });
      return engine.compile(definition);
    },
    compileRepeated: engine.compileRepeated,
  };
}

function trainableOf(specs: ParameterSpecs): Trainable {
  const trainable = createTrainable({ shapes: shapesOf(specs), learningRate: 5e-5, target: false });
  initialise(specs, trainable.parameters, createRandom(2));
  return trainable;
}

const namesUnder = (inputs: Tensors, prefix: string): Tensors =>
  Object.fromEntries(
    Object.entries(inputs).flatMap(([name, tensor]) =>
      name.startsWith(`${prefix}.`) ? [[name.slice(prefix.length + 1), tensor]] : [],
    ),
  );

/** The SA-Hyper critic's forward, backward and Adam at paper size: 8.5 M parameters. */
export function criticTrain(
  engine: Engine,
  batch: number,
): Case & { readonly forwardBackward: () => void; readonly adam: () => void } {
  const { member } = createCritic({ architecture: 'sa-hyper' }, { observationSize, actionSize, ensembleSize: 1 });
  const trainable = trainableOf(member.specs);
  const step = engine.compile({
    name: 'critic',
    inputs: {
      ...boundParameters('w', trainable.parameters, shapesOf(member.specs)),
      observation: normals(batch, observationSize),
      action: normals(batch, actionSize),
      target: normals(batch),
    },
    outputs: { loss: new Float32Array(1), ...prefixed('d', trainable.gradients) },
    fn: (inputs) => {
      const q = (weights: Tensors) =>
        member.q(weights, inputs.observation as tf.Tensor2D, inputs.action as tf.Tensor2D);
      const { value, gradients } = valueAndGradients(
        (weights) => tf.mean(tf.squaredDifference(q(weights), inputs.target!)),
        namesUnder(inputs, 'w'),
      );
      return { loss: value, ...Object.fromEntries(Object.entries(gradients).map(([name, d]) => [`d.${name}`, d])) };
    },
  });
  const adam = () => trainable.adam.step();
  return {
    run() {
      step.run();
      adam();
    },
    forwardBackward: () => step.run(),
    adam,
    dispose: () => step.dispose(),
  };
}

/** The critic's forward alone. */
export function criticForward(engine: Engine, batch: number): Case {
  const { member } = createCritic({ architecture: 'sa-hyper' }, { observationSize, actionSize, ensembleSize: 1 });
  const trainable = trainableOf(member.specs);
  return engine.compile({
    name: 'critic-forward',
    inputs: {
      ...boundParameters('w', trainable.parameters, shapesOf(member.specs)),
      observation: normals(batch, observationSize),
      action: normals(batch, actionSize),
    },
    outputs: { q: new Float32Array(batch) },
    fn: (inputs) => ({
      q: member.q(namesUnder(inputs, 'w'), inputs.observation as tf.Tensor2D, inputs.action as tf.Tensor2D),
    }),
  });
}

/** Two TD3 updates, so that one of them is the actor's and the targets' as well. */
export function td3(engine: Engine, architecture: string, batch: number): Case {
  const specs = {
    observation: plainSpec('observation', observationSize),
    action: plainSpec('action', actionSize, { low: -1, high: 1 }),
    context: null,
  };
  const config = { ...td3Defaults({ architecture }), batchSize: batch };
  const learner = createTd3Learner({ config, specs, engine, seed: 1 });
  const transitions = createBatch({ size: batch, observationSize, actionSize });
  for (const field of ['observation', 'nextObservation', 'reward', 'action'] as const) {
    random.fillNormal(transitions[field]);
  }
  return {
    run() {
      learner.learn(transitions, random);
      learner.learn(transitions, random);
    },
    runCounts: { 'td3-act': 0, 'td3-critic': 2, 'td3-actor': 1 },
    dispose: () => learner.dispose(),
  };
}

/**
 * TRPO's Hessian-vector product for one task of the paper-size hyper-maml policy: context 1, observation 20, action 6. With `inner`,
 * through one inner gradient step of the policy-gradient loss.
 */
export function hessianVector(engine: Engine, { inner, rows }: { inner: boolean; rows: number }): Case {
  const network = createHypernetwork({ metaSize: 1, baseSize: 20, outputSize: actionSize });
  const shapes = shapesOf(network.specs);
  const trainable = trainableOf(network.specs);
  const vectors = trainableOf(network.specs);
  const fn = (inputs: Tensors): Tensors => {
    const mean = (weights: Tensors) =>
      network.evaluate(weights, network.generate(weights, inputs.context as tf.Tensor2D), inputs.observation!)[0]!;
    const innerLoss = (weights: Tensors): tf.Scalar => {
      const logProbability = tf.mul(-0.5, tf.sum(tf.squaredDifference(inputs.action!, mean(weights)), 1));
      return tf.neg(tf.mean(tf.mul(logProbability, inputs.advantage!)));
    };
    const adapted = (weights: Tensors): Tensors => {
      if (!inner) return weights;
      const { gradients } = valueAndGradients(innerLoss, weights);
      return Object.fromEntries(
        Object.entries(weights).map(([name, weight]) => [name, tf.sub(weight, tf.mul(gradients[name]!, 5e-5))]),
      );
    };
    const start = namesUnder(inputs, 'w');
    const old = mean(adapted(start));
    const divergence = (weights: Tensors): tf.Scalar =>
      tf.mul(0.5, tf.mean(tf.sum(tf.squaredDifference(mean(adapted(weights)), old), 1)));
    const along = (weights: Tensors): tf.Scalar => {
      const { gradients } = valueAndGradients(divergence, weights);
      const products = Object.entries(gradients).map(([name, d]) => tf.sum(tf.mul(d, inputs[`v.${name}`]!)));
      return tf.addN(products) as tf.Scalar;
    };
    const { gradients } = valueAndGradients(along, start);
    return Object.fromEntries(Object.entries(gradients).map(([name, d]) => [`h.${name}`, d]));
  };
  return engine.compile({
    name: inner ? 'hvp-inner' : 'hvp',
    inputs: {
      ...boundParameters('w', trainable.parameters, shapes),
      ...boundParameters('v', vectors.parameters, shapes),
      context: { shape: [1, 1], data: Float32Array.of(1) },
      observation: normals(rows, 20),
      ...(inner && { action: normals(rows, actionSize), advantage: normals(rows) }),
    },
    outputs: prefixed('h', trainable.gradients),
    fn,
  });
}
