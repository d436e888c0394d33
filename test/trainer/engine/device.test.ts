/** Updates on a device: the same as on the cpu, and what is said where one cannot be had. */

import * as tf from '@tensorflow/tfjs-core';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { multiplyAdds } from '../../../src/onnx/multiply-adds.ts';
import { optimise } from '../../../src/onnx/passes/index.ts';
import { isInstalled } from '../../../src/onnx/providers.ts';
import { type InputSpec, type TracedFunction, trace } from '../../../src/trace/trace.ts';
import { sacDefaults } from '../../../trainer/algorithms/sac/config.ts';
import { createSacLearner } from '../../../trainer/algorithms/sac/learner.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { createEngine } from '../../../trainer/engine/choose.ts';
import type { Engine } from '../../../trainer/engine/engine.ts';
import { compileItems } from '../../../trainer/engine/items.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { loadsFail, runsFail } from '../../onnx/faulty-devices.ts';
import { withWebgpu } from '../../webgpu.ts';
import { criticConfigs, randomBatch, smallConfig, specs } from '../algorithms/td3/fixture.ts';

const rows = 64;

/** Large enough that its updates go to the device. */
const learnerOn = (engine: Engine) =>
  createTd3Learner({
    config: {
      ...smallConfig({ architecture: 'sa-hyper', trunkSizes: [64], dynamicHiddenSizes: [16] }),
      batchSize: rows,
    },
    specs,
    engine,
    seed: 3,
  });

const largest = (values: Float32Array): number => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

withWebgpu('two TD3 updates on webgpu are those of the cpu', { timeout: 240_000 }, async () => {
  const learners = [learnerOn(createTracedEngine({ threadCount: 1 }))];
  learners.push(learnerOn(await createEngine('traced', { threadCount: 1, device: 'webgpu' })));
  const [cpu, webgpu] = learners as [(typeof learners)[0], (typeof learners)[0]];
  for (const learner of learners) {
    const noise = createRandom(5);
    for (let i = 0; i < 2; i++) learner.learn(randomBatch(i, rows), noise);
  }
  for (const part of ['critic', 'actor'] as const) {
    // The first moment is linear in the gradients.
    const [expected, actual] = [cpu[part].adam.moment1, webgpu[part].adam.moment1];
    const scale = largest(expected);
    expect(scale).toBeGreaterThan(1e-6);
    const difference = largest(expected.map((value, i) => value - actual[i]!)) / scale;
    expect(difference).toBeLessThan(1e-4);
    // Not to the bit: else it would have been the cpu.
    expect(difference).toBeGreaterThan(0);
  }
  for (const learner of learners) learner.dispose();
});

test('the work of a graph is the multiply-adds of its products', () => {
  const inputs: Record<string, InputSpec> = { x: { shape: [5, 3] }, w: { shape: [3, 4] }, v: { shape: [5, 4, 2] } };
  // [5, 3] x [3, 4] is 60; [3, 5] x [5, 3] is 45; five times [1, 4] x [4, 2] is 40.
  const graph = trace('products', inputs, ({ x, w, v }) => {
    const h = tf.matMul(x as tf.Tensor2D, w as tf.Tensor2D);
    return { square: tf.matMul(x as tf.Tensor2D, x as tf.Tensor2D, true), y: tf.matMul(tf.expandDims(h, 1), v!) };
  });
  expect(multiplyAdds(graph)).toBe(60 + 45 + 40);
});

/** Operators of an engine's computations, as they are compiled. */
function operatorsOf(learn: (engine: Engine) => void): Set<string> {
  const operators = new Set<string>();
  const note = (name: string, inputs: Readonly<Record<string, InputSpec>>, fn: TracedFunction) => {
    const specs = Object.fromEntries(Object.entries(inputs).map(([input, { shape }]) => [input, { shape }]));
    for (const { op } of optimise(trace(name, specs, fn)).nodes) operators.add(op);
    return { run() {}, dispose() {} };
  };
  learn({
    name: 'noting',
    compile: ({ name, inputs, fn }) => note(name, inputs, fn),
    compileRepeated: ({ name, state, slices, pass }) => note(name, { ...state, ...slices }, pass),
  });
  return operators;
}

test.each([1, 2])('updates, %i in a run, have no operator for which CUDA needs cuDNN', (updatesPerRun) => {
  const operators = operatorsOf((engine) => {
    for (const critic of Object.values(criticConfigs)) {
      createTd3Learner({ config: smallConfig(critic), specs, engine, seed: 1, updatesPerRun });
      const config = { ...sacDefaults(critic, 'Hopper-v5'), actorHiddenSizes: [16], batchSize: 12 };
      createSacLearner({ config, specs, engine, seed: 1, updatesPerRun });
    }
  });
  expect(operators).toContain('Min');
  for (const op of ['ReduceMin', 'ReduceMax', 'ReduceL1', 'ReduceProd']) expect(operators).not.toContain(op);
});

test.skipIf(isInstalled('cuda'))('a device that is missing is an error when an update is compiled for it', () => {
  expect(() => learnerOn(createTracedEngine({ threadCount: 1, device: 'cuda' }))).toThrow(
    'td3-critic: expected the cuda device, got no provider of that name. Fetch the provider with deploy/cuda/install.sh',
  );
});

describe.each([
  ['does not load', loadsFail, 'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version'],
  ['has no code for the GPU', runsFail, 'CUDA failure 209: no kernel image is available for execution on the device'],
])('where the provider of cuda is installed and %s, auto', (_, fail, text) => {
  /** That it was left out, once and with its reason. */
  const leftOut = [{ device: 'cpu', skipped: [{ device: 'cuda', reason: expect.stringContaining(text) }] }];

  test('computes updates on the cpu as if it were named', () => {
    fail(text);
    const engine = createTracedEngine({ threadCount: 1, device: 'auto' });
    const learners = [engine, createTracedEngine({ threadCount: 1, device: 'cpu' })].map(learnerOn);
    for (const learner of learners) learner.learn(randomBatch(0, rows), createRandom(5));
    const [auto, cpu] = learners.map(({ critic }) => critic.adam.moment1) as [Float32Array, Float32Array];
    expect(largest(cpu)).toBeGreaterThan(1e-6);
    expect(auto.filter((value, i) => value !== cpu[i])).toHaveLength(0);
    expect(engine.devices).toEqual(leftOut);
    for (const learner of learners) learner.dispose();
  });

  test('computes items side by side', () => {
    fail(text);
    const engine = createTracedEngine({ threadCount: 2, device: 'auto' });
    const items = compileItems(engine, {
      name: 'doubles',
      itemCount: 2,
      arrays: { x: { rowCount: 2, shape: [1] }, y: { rowCount: 2, shape: [1] } },
      functions: { double: { inputs: ['x'], outputs: ['y'], fn: ({ x }) => ({ y: tf.mul(x!, 2) }) } },
    });
    items.arrays.x!.set([3, 5]);
    items.run('double');
    expect([...items.arrays.y!]).toEqual([6, 10]);
    // Several threads write it.
    expect(items.arrays.y!.buffer).toBeInstanceOf(SharedArrayBuffer);
    expect(engine.devices).toEqual(leftOut);
    items.dispose();
  });
});

test('an engine that is not traced takes no device', async () => {
  await expect(createEngine('cpu', { threadCount: 1, device: 'webgpu' })).rejects.toThrow(
    'engine "cpu": expected no device, got webgpu. The traced engine takes one; tensorflow runs on CUDA with @tensorflow/tfjs-node-gpu',
  );
});
