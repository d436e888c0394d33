/** Policies: sizes, limits of the log-std, one context for all rows, and what is refused. */

import '../../src/nn/cpu-backend.ts';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { drawParameters, parameterCount, shapesOf } from '../../src/nn/parameters.ts';
import { actionOf, logProbOf, type Policy, policyOutput, sampleOf } from '../../src/nn/policies/policy.ts';
import { createPolicy, policyNames } from '../../src/nn/policies/registry.ts';

beforeAll(() => tf.setBackend('cpu'));

const sizes = { observationSize: 5, actionSize: 3 };
const small = { trunkSizes: [8], dynamicHiddenSizes: [6] };
const lin = (i: number, o: number) => i * o + o;
const values = (tensor: tf.Tensor) => [...tensor.dataSync()];

function tensorsOf({ specs }: Policy): Record<string, tf.Tensor> {
  const shapes = shapesOf(specs);
  return Object.fromEntries(
    Object.entries(drawParameters(specs, createRandom(2))).map(([name, data]) => [
      name,
      tf.tensor(data, [...shapes[name]!]),
    ]),
  );
}

function normals(rows: number, columns: number, seed = 3): tf.Tensor2D {
  const data = new Float32Array(rows * columns);
  createRandom(seed).fillNormal(data);
  return tf.tensor2d(data, [rows, columns]);
}

test('the paper sizes have the parameters of the closed form', () => {
  const of = (architecture: string, contextSize: number) =>
    parameterCount(createPolicy({ architecture }, { observationSize: 20, actionSize: 6, contextSize }).specs);
  const trunk = (meta: number) => {
    const stage = (i: number, o: number) => lin(i, o) + 4 * lin(o, o);
    return stage(meta, 256) + stage(256, 512) + stage(512, 1024);
  };
  const head = (i: number, o: number) => lin(1024, i * o) + 2 * lin(1024, o);
  expect(of('td3-policy', 0)).toBe(lin(20, 256) + lin(256, 256) + lin(256, 6));
  expect(of('sac-policy', 0)).toBe(lin(20, 256) + lin(256, 256) + lin(256, 12));
  expect(of('maml', 0)).toBe(lin(20, 100) + lin(100, 100) + lin(100, 6) + 6);
  expect(of('context-maml', 1)).toBe(lin(21, 100) + lin(100, 100) + lin(100, 6) + 6);
  expect(of('hyper-maml', 1)).toBe(trunk(1) + head(20, 256) + head(256, 6) + 6);
  expect(of('pearl-policy', 5)).toBe(lin(25, 300) + 2 * lin(300, 300) + lin(300, 12));
  expect(of('pearl-hyper-policy', 5)).toBe(trunk(5) + head(20, 256) + 2 * head(256, 6));
});

describe.each(['context-maml', 'pearl-policy', 'hyper-maml', 'pearl-hyper-policy'])('%s', (architecture) => {
  test('one context serves all rows as one each does', () => {
    const policy = createPolicy({ ...small, architecture }, { ...sizes, contextSize: 2 });
    const parameters = tensorsOf(policy);
    const context = normals(1, 2);
    const observation = normals(4, 5, 4);
    const one = policyOutput(policy, parameters, observation, context);
    const each = policyOutput(policy, parameters, observation, tf.tile(context, [4, 1]));
    values(one.mean).forEach((value, i) => {
      expect(values(each.mean)[i]).toBeCloseTo(value, 5);
    });
    const logProb = values(logProbOf(policy, one, tf.mul(normals(4, 3, 5), 0.2)));
    expect(logProb).toHaveLength(4);
  });
});

test('a global log-std starts at 0 and has a floor; a generated one stays in [-20, 2]', () => {
  const maml = createPolicy({ architecture: 'maml' }, sizes);
  const parameters = tensorsOf(maml);
  expect(values(policyOutput(maml, parameters, normals(2, 5)).logStd!)).toEqual([0, 0, 0]);
  const low = { ...parameters, logStd: tf.tensor1d([-50, 0, 1]) };
  expect(values(policyOutput(maml, low, normals(2, 5)).logStd!)[0]).toBeCloseTo(Math.log(1e-6), 4);
  const pearl = createPolicy({ ...small, architecture: 'pearl-hyper-policy' }, { ...sizes, contextSize: 2 });
  const far = { ...tensorsOf(pearl), 'head2.bias.bias': tf.tensor1d([-99, 99, 0.5]) };
  const [first, second] = values(policyOutput(pearl, far, normals(1, 5), normals(1, 2)).logStd!);
  expect([first, second]).toEqual([-20, 2]);
});

test('zero noise gives the deterministic action', () => {
  for (const architecture of policyNames) {
    const contextSize = architecture === 'maml' ? 0 : 2;
    const policy = createPolicy({ ...small, architecture }, { ...sizes, contextSize });
    const output = policyOutput(policy, tensorsOf(policy), normals(2, 5), contextSize > 0 ? normals(2, 2) : undefined);
    const noise = tf.zeros([2, 3]);
    expect(values(actionOf(policy, output, noise))).toEqual(values(actionOf(policy, output)));
    if (policy.distribution === 'deterministic') {
      expect(() => sampleOf(policy, output, noise)).toThrow(
        `sample: expected a stochastic policy, got ${architecture}`,
      );
      expect(() => logProbOf(policy, output, noise)).toThrow('log-density: expected a stochastic policy');
    } else expect(values(sampleOf(policy, output, noise).action)).toEqual(values(actionOf(policy, output)));
  }
});

describe('is refused with both sides', () => {
  test('an unknown name, a context too many, a context too few', () => {
    for (const architecture of ['ppo', 'constructor']) {
      expect(() => createPolicy({ architecture }, sizes)).toThrow(
        `policy: expected one of ${policyNames.join(', ')}, got "${architecture}"`,
      );
    }
    expect(() => createPolicy({ architecture: 'maml' }, { ...sizes, contextSize: 1 })).toThrow(
      'policy maml: expected no context, got context size 1',
    );
    expect(() => createPolicy({ architecture: 'hyper-maml' }, sizes)).toThrow(
      'policy hyper-maml: expected a context of at least one value, got context size 0',
    );
  });

  test('inputs of other shapes', () => {
    const policy = createPolicy({ ...small, architecture: 'hyper-maml' }, { ...sizes, contextSize: 2 });
    const parameters = tensorsOf(policy);
    expect(() => policyOutput(policy, parameters, normals(4, 5), normals(3, 2))).toThrow(
      'policy hyper-maml: expected observation [B, 5], context [B, 2], got observation [4, 5], context [3, 2]',
    );
    expect(() => policyOutput(policy, parameters, normals(4, 6), normals(4, 2))).toThrow('got observation [4, 6]');
    expect(() => policyOutput(policy, parameters, normals(4, 5))).toThrow('got observation [4, 5], no context');
  });
});
