/** Every kind of network, exported: the files compute what the training functions compute, at every batch size, in the units of the specs. */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../../src/contract/counts.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { plainSpec } from '../../../src/contract/tensor-spec.ts';
import {
  type ActionScaling,
  actionScaling,
  logVolume,
  toEnvironment,
  toNormalised,
} from '../../../src/nn/action-scaling.ts';
import { memberQ } from '../../../src/nn/critics/critic.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import { createNetwork, type NetworkDescription, networkSpecs } from '../../../src/nn/network.ts';
import { normalise, rangeNormalisation } from '../../../src/nn/normalisation.ts';
import { drawParameters, type Parameters, shapesOf } from '../../../src/nn/parameters.ts';
import { logProbOf, policyOutput } from '../../../src/nn/policies/policy.ts';
import { openRowNetwork } from '../../../src/onnx/rows/row-network.ts';
import { floatTensor, indexTensor, openSession, type TensorMap } from '../../../src/onnx/session.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { exportCritic } from '../../../trainer/export/critic.ts';
import type { GraphFile, NetworkFiles } from '../../../trainer/export/graphs.ts';
import { exportPolicy } from '../../../trainer/export/policy.ts';

const sizes = { observationSize: 5, actionSize: 3 };
/** Away from +-1, so that a forgotten scaling shows. */
const scaling: ActionScaling = actionScaling(plainSpec('action', 3, { low: -0.5, high: 2 }));
const units = {
  scaling,
  observation: { shift: Float32Array.of(1, 0, -1, 0.5, 2), scale: Float32Array.of(2, 1, 0.5, 3, 1) },
  context: rangeNormalisation([0, -1], [3, 1]),
};
const hyper = { trunkSizes: [12, 16], dynamicHiddenSizes: [8] };
const engine = createTracedEngine({ threadCount: 1 });

const critics: Record<string, NetworkDescription> = Object.fromEntries(
  [
    { architecture: 'mlp-small', hiddenSizes: [8] },
    { architecture: 'q-d2rl' },
    { architecture: 'resnet-features', trunkSizes: [12, 16] },
    { architecture: 'bronet' },
    { architecture: 'simba-v2' },
    { ...hyper, architecture: 'sa-hyper' },
    { ...hyper, architecture: 'as-hyper' },
    { ...hyper, architecture: 'emb-hyper' },
    { ...hyper, architecture: 'sa-hyper', headRank: 3, trunkLayerNorm: true },
    { ...hyper, architecture: 'emb-hyper', headRank: 3 },
    { ...hyper, architecture: 'sa-hyper', dynamicHiddenSizes: [8, 6], dynamicDense: true },
  ].flatMap((config) =>
    [0, 2].map((contextSize): [string, NetworkDescription] => [
      `${JSON.stringify(config)}, context ${contextSize}`,
      { kind: 'critic', config, sizes: { ...sizes, contextSize, ensembleSize: 2 } },
    ]),
  ),
);

const policies: Record<string, NetworkDescription> = Object.fromEntries(
  [
    { config: { architecture: 'td3-policy', hiddenSizes: [8] }, contextSize: 0 },
    { config: { architecture: 'td3-policy', hiddenSizes: [8] }, contextSize: 2 },
    { config: { architecture: 'sac-policy', hiddenSizes: [8] }, contextSize: 0 },
    { config: { architecture: 'maml' }, contextSize: 0 },
    { config: { architecture: 'context-maml' }, contextSize: 2 },
    { config: { architecture: 'pearl-policy' }, contextSize: 2 },
    { config: { ...hyper, architecture: 'hyper-maml' }, contextSize: 2 },
    { config: { ...hyper, architecture: 'pearl-hyper-policy' }, contextSize: 2 },
    { config: { ...hyper, architecture: 'pearl-hyper-policy', headRank: 2, dynamicDense: true }, contextSize: 2 },
  ].map(({ config, contextSize }) => [
    `${JSON.stringify(config)}, context ${contextSize}`,
    { kind: 'policy', config, sizes: { ...sizes, contextSize } },
  ]),
);

function setUp(description: NetworkDescription) {
  const network = createNetwork(description);
  const specs = networkSpecs(network);
  const views = drawParameters(specs, createRandom(6));
  // Zeros at the start (log-std, head biases, norms' shifts) would hide what is left out.
  const random = createRandom(7);
  for (const data of Object.values(views)) for (let i = 0; i < data.length; i++) data[i]! += 0.05 * random.normal();
  return { network, parameters: { views, shapes: shapesOf(specs) } };
}

type Feeds = Record<string, { shape: number[]; data: Float32Array }>;

function feedsOf(rowCount: number, columns: Record<string, number>): Feeds {
  const random = createRandom(rowCount);
  const present = Object.entries(columns).filter(([, size]) => size > 0);
  return Object.fromEntries(
    present.map(([name, size]) => {
      const data = new Float32Array(rowCount * size);
      random.fillNormal(data);
      return [name, { shape: [rowCount, size], data }];
    }),
  );
}

/** What a function of parameters and inputs gives at a fixed size, by the training engine. */
function train(
  { views, shapes }: ReturnType<typeof setUp>['parameters'],
  feeds: Feeds,
  outputs: Record<string, number[]>,
  fn: (parameters: Parameters, inputs: Record<string, tf.Tensor>) => Record<string, tf.Tensor>,
): Record<string, Float32Array> {
  const results = Object.fromEntries(
    Object.entries(outputs).map(([name, shape]) => [name, new Float32Array(sizeOf(shape))]),
  );
  const bound = Object.fromEntries(Object.entries(views).map(([name, data]) => [name, { data, shape: shapes[name]! }]));
  const computation = engine.compile({
    name: 'training',
    inputs: { ...bound, ...feeds },
    outputs: results,
    fn: (tensors) => fn(tensors, tensors as Record<string, tf.Tensor>),
  });
  computation.run();
  computation.dispose();
  return results;
}

const tensorsOf = (feeds: Feeds): TensorMap =>
  Object.fromEntries(Object.entries(feeds).map(([name, { data, shape }]) => [name, floatTensor(data, shape)]));

function runFile({ bytes, graph }: GraphFile, available: TensorMap): TensorMap {
  const session = openSession(bytes, { threadCount: 1 }, graph.file);
  expect(session.inputs.map(({ name, shape }) => ({ name, shape }))).toEqual(
    expect.arrayContaining(graph.inputs.map(({ name, shape }) => ({ name, shape }))),
  );
  const results = session.run(Object.fromEntries(graph.inputs.map(({ name }) => [name, available[name]!])));
  session.dispose();
  return results;
}

/** Runs a package's files; contexts (or observations) of a hypernetwork are generated one per row. */
function runFiles(files: NetworkFiles, feeds: Feeds, meta: string): TensorMap {
  const tensors = tensorsOf(feeds);
  if (files.kind === 'plain') return runFile(files.graph, tensors);
  const rowCount = feeds[meta]!.shape[0]!;
  const weights = runFile(files.primary, { [meta]: tensors[meta]! });
  const { [meta]: _, ...base } = tensors;
  return runFile(files.dynamic, { ...base, ...weights, index: indexTensor([...Array(rowCount).keys()]) });
}

function expectClose(actual: Record<string, { readonly data: unknown }>, expected: Record<string, Float32Array>): void {
  expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
  for (const [name, values] of Object.entries(expected)) {
    const got = actual[name]!.data as Float32Array;
    expect(got.length).toBe(values.length);
    const worst = values.reduce(
      (most, value, i) => Math.max(most, Math.abs(got[i]! - value) / (1 + Math.abs(value))),
      0,
    );
    expect(worst, name).toBeLessThan(1e-5);
  }
}

/** A policy's graph row by row, as the server runs it: every architecture can be, and gives the same. */
function expectByRow(files: NetworkFiles, feeds: Feeds, expected: TensorMap): void {
  const weights = files.kind === 'hyper' ? runFile(files.primary, tensorsOf(feeds)) : {};
  const names = Object.keys(weights);
  const rowCount = Object.values(feeds)[0]!.shape[0]!;
  const entries = Array.from({ length: rowCount }, (_, row) => ({
    block: Float32Array.from(
      names.flatMap((name) => {
        const size = weights[name]!.data.length / rowCount;
        return [...(weights[name]!.data as Float32Array).subarray(row * size, (row + 1) * size)];
      }),
    ),
  }));
  const { bytes } = files.kind === 'plain' ? files.graph : files.dynamic;
  const columns = Object.fromEntries(Object.entries(feeds).map(([name, { data }]) => [name, data]));
  const index = Int32Array.from({ length: rowCount }, (_, row) => row);
  const network = openRowNetwork(bytes, names);
  const actual = network.results(rowCount);
  const weightsOfRows = names.length > 0 ? { entries, index } : undefined;
  network.compute({ rowCount, rows: columns, weights: weightsOfRows }, 0, rowCount, actual);
  const values = Object.fromEntries(Object.entries(expected).map(([name, { data }]) => [name, data as Float32Array]));
  expectClose(Object.fromEntries(Object.entries(actual).map(([name, data]) => [name, { data }])), values);
}

const inUnits = (inputs: Record<string, tf.Tensor>) => ({
  states: normalise(units.observation, inputs.observation as tf.Tensor2D),
  contexts: inputs.context && normalise(units.context, inputs.context as tf.Tensor2D),
});

describe.each(Object.entries(critics))('critic %s', (_name, description) => {
  test('gives q and dq/da of the training functions at 1, 2 and 7 rows', () => {
    const { network, parameters } = setUp(description);
    if (network.kind !== 'critic') throw new Error('expected a critic');
    const { critic } = network;
    const files = exportCritic({ ...units, critic, parameters });
    for (const rows of [1, 2, 7]) {
      const feeds = feedsOf(rows, { observation: 5, action: 3, context: critic.sizes.contextSize ?? 0 });
      const expected = train(parameters, feeds, { q: [rows, 2], dq_da: [rows, 2, 3] }, (live, inputs) => {
        const { states, contexts } = inUnits(inputs);
        const members = [0, 1].map(
          (i) => (a: tf.Tensor) => memberQ(critic, i, live, states, toNormalised(scaling, a) as tf.Tensor2D, contexts),
        );
        const action = inputs.action!;
        return {
          q: tf.stack(
            members.map((q) => q(action)),
            1,
          ),
          dq_da: tf.stack(
            members.map((q) => tf.grad((a: tf.Tensor) => tf.sum(q(a)))(action)),
            1,
          ),
        };
      });
      expectClose(runFiles(files, feeds, 'observation'), expected);
    }
  });
});

describe.each(Object.entries(policies))('policy %s', (_name, description) => {
  test('gives actions in environment units and their log-density at 1, 2 and 7 rows', () => {
    const { network, parameters } = setUp(description);
    if (network.kind !== 'policy') throw new Error('expected a policy');
    const { policy } = network;
    const files = exportPolicy({ ...units, policy, parameters });
    const isStochastic = policy.distribution !== 'deterministic';
    for (const rows of [1, 2, 7]) {
      const columns = { observation: 5, context: policy.sizes.contextSize ?? 0, noise: isStochastic ? 3 : 0 };
      const feeds = feedsOf(rows, columns);
      const outputs = { action: [rows, 3], ...(isStochastic && { log_prob: [rows] }) };
      const expected = train(parameters, feeds, outputs, (live, inputs) => {
        const { states, contexts } = inUnits(inputs);
        const output = policyOutput(policy, live, states, contexts);
        if (output.logStd === undefined) return { action: toEnvironment(scaling, tf.tanh(output.mean)) };
        const u = tf.add(output.mean, tf.mul(tf.exp(output.logStd), inputs.noise!));
        const action = policy.distribution === 'gaussian' ? u : tf.tanh(u);
        // The density of the action itself, by the inverse of what made it; the exported one comes from the noise.
        const logProb = tf.sub(logProbOf(policy, output, action), logVolume(scaling));
        return { action: toEnvironment(scaling, action), log_prob: logProb };
      });
      // Inverting tanh near its ends loses digits.
      const actual = runFiles(files, feeds, 'context');
      expectByRow(files, feeds, actual);
      if (policy.distribution !== 'tanh-gaussian') return expectClose(actual, expected);
      expectClose({ action: actual.action! }, { action: expected.action! });
      expected.log_prob!.forEach((value, i) => {
        expect((actual.log_prob!.data as Float32Array)[i]).toBeCloseTo(value, 2);
      });
    }
  });
});

describe('the graph contract', () => {
  const namesOf = ({ graph }: GraphFile) => [
    graph.inputs.map(({ name }) => name),
    graph.outputs.map(({ name }) => name),
  ];
  const exportOf = (description: NetworkDescription) => {
    const { network, parameters } = setUp(description);
    return network.kind === 'policy'
      ? exportPolicy({ ...units, policy: network.policy, parameters })
      : exportCritic({ ...units, critic: network.critic, parameters });
  };
  const criticOf = (architecture: string, contextSize = 0): NetworkDescription => ({
    kind: 'critic',
    config: { ...hyper, architecture },
    sizes: { ...sizes, contextSize, ensembleSize: 2 },
  });

  test('sa-hyper is split, and its action-gradient graph holds no primary', () => {
    const files = exportOf(criticOf('sa-hyper', 2));
    if (files.kind !== 'hyper') throw new Error('expected a split critic');
    const weights = ['w0', 'g0', 'b0', 'w1', 'g1', 'b1'];
    expect(namesOf(files.primary)).toEqual([['observation'], weights]);
    expect(namesOf(files.dynamic)).toEqual([
      [...weights, 'index', 'action', 'context'],
      ['q', 'dq_da'],
    ]);
    expect(files.primary.graph.outputs[0]!.shape).toEqual(['K', 2, 5, 8]);
    // A trunk of 12 and 16 has thousands of weights; the dynamic file has a few constants.
    expect(files.dynamic.bytes.length).toBeLessThan(6000);
    expect(files.primary.bytes.length).toBeGreaterThan(20_000);
  });

  test('as-hyper is plain, and emb-hyper is plain without its primary', () => {
    const [as, emb] = ['as-hyper', 'emb-hyper'].map((name) => exportOf(criticOf(name)));
    if (as?.kind !== 'plain' || emb?.kind !== 'plain') throw new Error('expected plain critics');
    expect(namesOf(as.graph)).toEqual([
      ['observation', 'action'],
      ['q', 'dq_da'],
    ]);
    expect(namesOf(emb.graph)).toEqual([
      ['observation', 'action'],
      ['q', 'dq_da'],
    ]);
    expect(as.graph.bytes.length).toBeGreaterThan(20_000);
    expect(emb.graph.bytes.length).toBeLessThan(10_000);
  });

  test('a hyper policy is split, with the weights of a log-std head last', () => {
    const files = exportOf(policies[Object.keys(policies).find((name) => name.includes('pearl-hyper-policy'))!]!);
    if (files.kind !== 'hyper') throw new Error('expected a split policy');
    const weights = ['w0', 'g0', 'b0', 'w1', 'g1', 'b1', 'w2', 'g2', 'b2'];
    expect(namesOf(files.primary)).toEqual([['context'], weights]);
    expect(namesOf(files.dynamic)).toEqual([
      [...weights, 'index', 'observation', 'noise'],
      ['action', 'log_prob'],
    ]);
  });

  test('a low-rank head generates its diagonal alone', () => {
    const files = exportOf({
      ...criticOf('sa-hyper'),
      config: { ...hyper, architecture: 'sa-hyper', headRank: 3 },
    } as NetworkDescription);
    if (files.kind !== 'hyper') throw new Error('expected a split critic');
    expect(files.primary.graph.outputs[0]!.shape).toEqual(['K', 2, 1, 3]);
  });

  test('a critic of one Q function has Q = 1', () => {
    const critic = createCritic({ ...hyper, architecture: 'sa-hyper' }, { ...sizes, ensembleSize: 1 });
    expect(Object.keys(critic.specs).every((name) => name.startsWith('q0.'))).toBe(true);
    const files = exportOf({ ...criticOf('sa-hyper'), sizes: { ...sizes, ensembleSize: 1 } } as NetworkDescription);
    if (files.kind !== 'hyper') throw new Error('expected a split critic');
    expect(files.dynamic.graph.outputs.map(({ shape }) => shape)).toEqual([
      ['B', 1],
      ['B', 1, 3],
    ]);
  });
});
