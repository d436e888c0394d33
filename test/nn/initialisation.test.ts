/** The defining property of every initialisation scheme, for every hypernetwork. */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createHypernetwork, type HypernetworkConfig } from '../../src/nn/hyper/hypernetwork.ts';
import type { HyperInitialisation } from '../../src/nn/hyper/initialisation.ts';
import { drawParameters, shapesOf } from '../../src/nn/parameters.ts';

beforeAll(() => tf.setBackend('cpu'));

/** Meta and base sizes of the three critics, and of the two hyper policies. */
const networks: Record<string, HypernetworkConfig> = {
  'sa-hyper': { metaSize: 17, baseSize: 6, outputSize: 1 },
  'as-hyper': { metaSize: 6, baseSize: 17, outputSize: 1 },
  'emb-hyper': { metaSize: 5, baseSize: 23, outputSize: 1 },
  'hyper-maml': { metaSize: 1, baseSize: 20, outputSize: 6 },
  'pearl-hyper-policy': { metaSize: 5, baseSize: 20, outputSize: 6, logStdHead: true },
};

const trunkSizes = [48, 64];
const dynamicHiddenSizes = [96];

function draw(config: HypernetworkConfig, initialisation: HyperInitialisation, seed = 1) {
  const network = createHypernetwork({ trunkSizes, dynamicHiddenSizes, ...config, initialisation });
  const views = drawParameters(network.specs, createRandom(seed));
  const shapes = shapesOf(network.specs);
  const parameters = Object.fromEntries(
    Object.entries(views).map(([name, data]) => [name, tf.tensor(data, [...shapes[name]!])]),
  );
  return { network, views, parameters };
}

function normals(rows: number, columns: number, seed: number): tf.Tensor2D {
  const data = new Float32Array(rows * columns);
  createRandom(seed).fillNormal(data);
  return tf.tensor2d(data, [rows, columns]);
}

const values = (tensor: tf.Tensor) => tensor.dataSync() as Float32Array;
const power = (data: Float32Array) => data.reduce((sum, value) => sum + value * value, 0) / data.length;
const largest = (data: Float32Array) => data.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

/** U(+-bound): within it, nearly reaching it, and of its variance bound^2 / 3. */
function expectUniform(data: Float32Array, bound: number, what: string): void {
  expect(largest(data), what).toBeLessThanOrEqual(Math.fround(bound) * (1 + 1e-6));
  if (data.length < 40) return;
  expect(largest(data), what).toBeGreaterThan(0.85 * bound);
  // Five standard deviations of the mean of U^2: (4/45) bound^4 / n.
  const deviation = 5 * Math.sqrt(4 / 45 / data.length);
  expect(Math.abs(power(data) / bound ** 2 - 1 / 3), what).toBeLessThan(deviation);
}

const expectZero = (data: Float32Array, what: string) => expect(largest(data), what).toBe(0);

describe.each(Object.entries(networks))('%s', (_name, config) => {
  const hiddenOf = [config.baseSize, ...dynamicHiddenSizes];
  /** Inputs of dynamic layer i; the log-std head reads what the last layer reads. */
  const inputsOf = (i: number) => hiddenOf[Math.min(i, 1)]!;
  const headCount = config.logStdHead === true ? 3 : 2;

  test('hyperl: the stated ranges', () => {
    const { views } = draw(config, 'hyperl');
    for (const [name, data] of Object.entries(views)) {
      const fanIn = name.startsWith('primary.stage0')
        ? name.includes('input')
          ? config.metaSize
          : 48
        : name.includes('stage1.input')
          ? 48
          : 64;
      if (name.startsWith('primary.')) {
        expectUniform(data, name.endsWith('weight') ? 1 / (2 * Math.sqrt(fanIn)) : 1 / Math.sqrt(fanIn), name);
      } else if (name.endsWith('.bias')) expectZero(data, name);
      else expectUniform(data, [0.05, 0.008, 0.001][Number(name[4])]!, name);
    }
  });

  test('default: U(+-1/sqrt(fan_in)) everywhere', () => {
    const { views } = draw(config, 'default');
    for (let i = 0; i < headCount; i++) {
      for (const part of ['weight', 'gain', 'bias']) {
        expectUniform(views[`head${i}.${part}.weight`]!, 1 / 8, `head${i}.${part}.weight`);
        expectUniform(views[`head${i}.${part}.bias`]!, 1 / 8, `head${i}.${part}.bias`);
      }
    }
    expectUniform(views['primary.stage1.block0.first.weight']!, 1 / 8, 'trunk weight');
    expectUniform(views['primary.stage1.block0.first.bias']!, 1 / 8, 'trunk bias');
  });

  test('bias-hyperinit: every context gives the same network, distributed as a standard init', () => {
    const { network, parameters } = draw(config, 'bias-hyperinit');
    const layers = network.generate(parameters, normals(3, config.metaSize, 2));
    layers.forEach(({ weight, gain, bias }, i) => {
      const [first, second, third] = tf.unstack(weight).map(values);
      expect(second).toEqual(first);
      expect(third).toEqual(first);
      expectUniform(first!, Math.sqrt(6 / inputsOf(i)), `layer ${i}`);
      expectZero(values(bias), `bias ${i}`);
      expectZero(values(tf.sub(gain, 1)), `gain ${i}`);
    });
  });

  test('weight-hyperinit: each column of A is a standard init, and nothing else is generated', () => {
    const { views } = draw(config, 'weight-hyperinit');
    for (let i = 0; i < headCount; i++) {
      const [data, columns] = [views[`head${i}.weight.weight`]!, 64];
      const size = data.length / columns;
      expectUniform(data, Math.sqrt(6 / inputsOf(i)), `A of head ${i}`);
      const column = (k: number) => data.subarray(k * size, (k + 1) * size);
      expectUniform(column(0), Math.sqrt(6 / inputsOf(i)), `column of head ${i}`);
      expect(column(0)).not.toEqual(column(1));
      expectZero(views[`head${i}.weight.bias`]!, `c of head ${i}`);
      for (const part of ['gain', 'bias']) {
        expectZero(views[`head${i}.${part}.weight`]!, `${part} of head ${i}`);
        expectZero(views[`head${i}.${part}.bias`]!, `${part} of head ${i}`);
      }
    }
  });

  test('hfi: the output has unit variance over unit-normal metas and inputs', () => {
    const draws = 64;
    const rows = 32;
    const narrow = { trunkSizes: [16, 24], dynamicHiddenSizes: [48] };
    let sum = 0;
    for (let seed = 0; seed < draws; seed++) {
      sum += tf.tidy(() => {
        const { network, parameters } = draw({ ...config, ...narrow }, 'hfi', seed);
        const layers = network.generate(parameters, normals(rows, config.metaSize, 100 + seed));
        const outputs = network.evaluate(parameters, layers, normals(rows, config.baseSize, 200 + seed));
        return outputs.reduce((mean, output) => mean + power(values(output)) / outputs.length, 0);
      });
    }
    // With one output the scatter between draws of the heads is about half of the mean; 64 draws leave 0.06.
    expect(sum / draws).toBeGreaterThan(0.75);
    expect(sum / draws).toBeLessThan(1.3);
  });
});

test('hfi: the bounds are those of the formula over the measured power of the embedding', () => {
  const { views, network, parameters } = draw(networks['sa-hyper']!, 'hfi');
  // Weight and bias heads differ by d_in alone, hidden and output by the gain: ratios that the measured power leaves alone.
  const bounds = ['head0.weight', 'head0.bias', 'head1.weight'].map((name) => largest(views[`${name}.weight`]!));
  expect(bounds[1]! / bounds[0]!).toBeCloseTo(Math.sqrt(6), 1);
  expect(bounds[0]! / bounds[2]!).toBeCloseTo(Math.SQRT2 * Math.sqrt(96 / 6), 0);
  expectZero(views['head0.gain.weight']!, 'gain');
  expectZero(views['head0.weight.bias']!, 'c');
  // head0.weight: bound^2 = 2 * 3 / (2 d_h d_in E[h^2]), so E[h^2] = 3 / (64 * 6 * bound^2).
  const fromBound = 3 / (64 * 6 * bounds[0]! ** 2);
  // With A the identity in its first 64 columns, the gains are 1 + h.
  const identity = tf.pad(tf.eye(64), [
    [0, 0],
    [0, 32],
  ]);
  const [first] = network.generate({ ...parameters, 'head0.gain.weight': identity }, normals(512, 17, 3));
  const measured = power(values(tf.sub(first!.gain, 1))) * (96 / 64);
  expect(measured / fromBound).toBeGreaterThan(0.85);
  expect(measured / fromBound).toBeLessThan(1.15);
});

test('low-rank heads refuse the schemes that speak of whole weights', () => {
  const config = { ...networks['sa-hyper']!, trunkSizes, headRank: 4, initialisation: 'bias-hyperinit' as const };
  expect(() => createHypernetwork(config)).toThrow(
    'hypernetwork: expected initialisation hyperl or default with low-rank heads, got "bias-hyperinit"',
  );
});
