import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PolicyClient } from '../../../clients/typescript/client.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { metricLines, startTestServer, type TestServer } from '../fixtures.ts';

const observationSize = 4;
const actionSize = 3;
const sizes = { observationSize, actionSize, hiddenSize: 24, trunkSizes: [32] };

const normals = (seed: number, shape: [number, number]) => {
  const random = createRandom(seed);
  return { shape, values: Float32Array.from({ length: shape[0] * shape[1] }, () => random.normal()) };
};

describe('QGrad', () => {
  let server: TestServer;
  let client: PolicyClient;
  beforeAll(async () => {
    server = await startTestServer(
      [
        { model: 'plain', policy: 'none', critic: 'plain', ...sizes },
        { model: 'hyper', policy: 'none', critic: 'hyper', ...sizes },
      ],
      {},
      afterAll,
    );
    client = server.client;
  });

  test.each(['plain', 'hyper'])('the gradient of a %s critic is that of its value', async (model) => {
    const observation = normals(1, [1, observationSize]);
    const action = normals(2, [1, actionSize]);
    for (const reduction of ['q1', 'min', 'mean'] as const) {
      const { dqDa } = await client.qGrad({ model, observation, action, reduction });
      const step = 1e-2;
      for (let a = 0; a < actionSize; a++) {
        const moved = (by: number) => action.values.map((value, i) => (i === a ? value + by : value));
        const shifted = { shape: [2, actionSize], values: Float32Array.of(...moved(step), ...moved(-step)) };
        const { q } = await client.qGrad({ model, observation, action: shifted, reduction });
        // float32 values around 1: a difference of 2e-2 knows its slope to about 1e-5; kinks of the ReLU add the rest.
        expect(Math.abs((q.values[0]! - q.values[1]!) / (2 * step) - dqDa.values[a]!)).toBeLessThan(1e-3);
      }
      // So a gradient of zero would not pass.
      expect(Math.max(...dqDa.values.map(Math.abs))).toBeGreaterThan(1e-2);
    }
  });

  test('min takes each row from the smaller twin, mean averages', async () => {
    const observation = normals(3, [16, observationSize]);
    const action = normals(4, [16, actionSize]);
    const ask = (reduction: 'q1' | 'min' | 'mean') => client.qGrad({ model: 'hyper', observation, action, reduction });
    const [q1, min, mean] = await Promise.all([ask('q1'), ask('min'), ask('mean')]);
    for (let row = 0; row < 16; row++) {
      // mean = (q1 + q2) / 2, so the other twin is known.
      const q2 = 2 * mean.q.values[row]! - q1.q.values[row]!;
      expect(min.q.values[row]).toBeCloseTo(Math.min(q1.q.values[row]!, q2), 4);
      for (let a = 0; a < actionSize; a++) {
        const at = row * actionSize + a;
        const second = 2 * mean.dqDa.values[at]! - q1.dqDa.values[at]!;
        expect(min.dqDa.values[at]).toBeCloseTo(q2 < q1.q.values[row]! ? second : q1.dqDa.values[at]!, 4);
      }
    }
    // Both twins are the smaller one somewhere, or the test shows nothing.
    const takesFirst = [...min.q.values].filter((value, row) => value === q1.q.values[row]).length;
    expect(takesFirst).toBeGreaterThan(0);
    expect(takesFirst).toBeLessThan(16);
  });

  test('one state for all actions equals the state repeated', async () => {
    const state = normals(5, [1, observationSize]);
    const action = normals(6, [7, actionSize]);
    const repeated = {
      shape: [7, observationSize],
      values: Float32Array.from({ length: 7 * observationSize }, (_, i) => state.values[i % observationSize]!),
    };
    for (const model of ['plain', 'hyper']) {
      const one = await client.qGrad({ model, observation: state.values, action });
      const all = await client.qGrad({ model, observation: repeated, action });
      expect(one.q).toEqual(all.q);
      expect(one.dqDa).toEqual(all.dqDa);
    }
  });

  test('equal states of a request are generated once, and never again', async () => {
    const misses = async () =>
      Object.values(await metricLines(server, 'hyperpolicy_context_cache_misses_total{cache="critic"}'))[0]!;
    const before = await misses();
    const [a, b] = [
      [1, 2, 3, 4],
      [5, 6, 7, 8],
    ] as const;
    const request = {
      model: 'hyper',
      observation: [a, b, a, a, b].map((row) => [...row]),
      action: normals(7, [5, actionSize]),
    };
    const first = await client.qGrad(request);
    expect((await misses()) - before).toBe(2);
    const second = await client.qGrad(request);
    expect((await misses()) - before).toBe(2);
    expect(second.q).toEqual(first.q);
    expect(second.timing.primaryUs).toBe(0);
  });

  test('cached and new states mixed equal one call per row', async () => {
    const observation = normals(8, [6, observationSize]);
    const action = normals(9, [6, actionSize]);
    const slice = (tensor: typeof observation, row: number, width: number) =>
      tensor.values.slice(row * width, (row + 1) * width);
    await client.qGrad({
      model: 'hyper',
      observation: slice(observation, 3, observationSize),
      action: slice(action, 3, actionSize),
    });
    const batch = await client.qGrad({ model: 'hyper', observation, action });
    for (let row = 0; row < 6; row++) {
      const alone = await client.qGrad({
        model: 'hyper',
        observation: slice(observation, row, observationSize),
        action: slice(action, row, actionSize),
      });
      expect(alone.q.values[0]).toBeCloseTo(batch.q.values[row]!, 4);
    }
  });
});
