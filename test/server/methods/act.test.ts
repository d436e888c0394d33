import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PolicyClient } from '../../../clients/typescript/client.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { plainSpec } from '../../../src/contract/tensor-spec.ts';
import { floatTensor, indexTensor, openSession } from '../../../src/onnx/session.ts';
import { type ModelPackage, readPackage } from '../../../src/package/package.ts';
import { metricLines, startTestServer, type TestServer, temporaryStore } from '../fixtures.ts';

const observationSize = 5;
const actionSize = 3;
const contextSize = 2;
const sizes = { observationSize, actionSize, contextSize, hiddenSize: 16, trunkSizes: [32] };

const normals = (seed: number, shape: [number, number]) => {
  const random = createRandom(seed);
  return { shape, values: Float32Array.from({ length: shape[0] * shape[1] }, () => random.normal()) };
};

const open = ({ files }: ModelPackage, file: string) => openSession(files.get(file)!, { threadCount: 1 }, file);

/** Few rows are computed one by one, in another order of additions than ONNX Runtime's. */
function expectClose(actual: Float32Array, expected: unknown): void {
  const wanted = expected as Float32Array;
  expect(actual.length).toBe(wanted.length);
  actual.forEach((value, i) => {
    expect(value).toBeCloseTo(wanted[i]!, 6);
  });
}

describe('Act', () => {
  let server: TestServer;
  let client: PolicyClient;
  let store: string;
  beforeAll(async () => {
    store = await temporaryStore(
      [
        { model: 'plain', policy: 'plain', critic: 'none', ...sizes, stochastic: true },
        { model: 'hyper', policy: 'hyper', critic: 'none', ...sizes, stochastic: true, contextSource: 'latent' },
        { model: 'wide', policy: 'plain', critic: 'none', ...sizes, hiddenSize: 256, stochastic: true },
      ],
      afterAll,
    );
    server = await startTestServer([], { store }, afterAll);
    client = server.client;
  });

  test('a plain policy answers what its graph computes', async () => {
    const observation = normals(1, [4, observationSize]);
    const context = normals(2, [4, contextSize]);
    const graph = open(await readPackage(join(store, 'plain', '1')), 'policy.onnx');
    const expected = graph.run({
      observation: floatTensor(observation.values, observation.shape),
      context: floatTensor(context.values, context.shape),
      noise: floatTensor(new Float32Array(4 * actionSize), [4, actionSize]),
    });
    graph.dispose();
    const { action, version, seed, logProb } = await client.act({ model: 'plain', observation, context });
    expect(action.shape).toEqual([4, actionSize]);
    expectClose(action.values, expected.action!.data);
    expect({ version, seed, logProb }).toEqual({ version: 1, seed: undefined, logProb: undefined });
  });

  test('a hyper policy answers what its two graphs compute, row by row', async () => {
    const observation = normals(3, [3, observationSize]);
    // Rows 0 and 2 share a context.
    const context = { shape: [3, contextSize], values: Float32Array.of(1, 2, 3, 4, 1, 2) };
    const files = await readPackage(join(store, 'hyper', '1'));
    const primary = open(files, 'policy.primary.onnx');
    const dynamic = open(files, 'policy.dynamic.onnx');
    const weights = primary.run({ context: floatTensor(Float32Array.of(1, 2, 3, 4), [2, contextSize]) });
    const expected = dynamic.run({
      ...weights,
      index: indexTensor([0, 1, 0]),
      observation: floatTensor(observation.values, observation.shape),
      noise: floatTensor(new Float32Array(3 * actionSize), [3, actionSize]),
    });
    primary.dispose();
    dynamic.dispose();
    const { action } = await client.act({ model: 'hyper', observation, context });
    expectClose(action.values, expected.action!.data);
  });

  test('a large batch of a plain policy runs on a thread of the pool, to the values of its rows', async () => {
    // About 68,000 multiplications a row: 2^22 are 61 rows.
    const rowCount = 128;
    const observation = normals(8, [rowCount, observationSize]);
    const context = [0.5, -1];
    const before = await metricLines(server, 'hyperpolicy_heavy_run_seconds_count{graph="policy.onnx"');
    const { action } = await client.act({ model: 'wide', observation, context });
    const after = await metricLines(server, 'hyperpolicy_heavy_run_seconds_count{graph="policy.onnx"');
    expect(Object.values(after)).not.toEqual(Object.values(before));
    const first = { shape: [3, observationSize], values: observation.values.slice(0, 3 * observationSize) };
    const { action: few } = await client.act({ model: 'wide', observation: first, context });
    expectClose(action.values.slice(0, 3 * actionSize), few.values);
  });

  test('a cached context gives the same action as a fresh one, without a primary run', async () => {
    const request = { model: 'hyper', observation: normals(4, [2, observationSize]), context: [0.25, -7] };
    const fresh = await client.act(request);
    const cached = await client.act(request);
    expect(cached.action).toEqual(fresh.action);
    expect(fresh.timing.primaryUs).toBeGreaterThan(0);
    expect(cached.timing.primaryUs).toBe(0);
  });

  test('-0 and 0 are one context', async () => {
    const before = await metricLines(server, 'hyperpolicy_context_cache_entries{cache="policy"}');
    const request = { model: 'hyper', observation: normals(5, [1, observationSize]) };
    const first = await client.act({ ...request, context: [0, 5] });
    const second = await client.act({ ...request, context: [-0, 5] });
    const after = await metricLines(server, 'hyperpolicy_context_cache_entries{cache="policy"}');
    expect(second.action).toEqual(first.action);
    expect(Object.values(after)[0]! - Object.values(before)[0]!).toBe(1);
  });

  test('any mixture of cached and new contexts equals one call per row', async () => {
    const random = createRandom(6);
    for (let trial = 0; trial < 10; trial++) {
      const rowCount = 1 + random.integer(6);
      const observation = normals(100 + trial, [rowCount, observationSize]);
      // Few different contexts, so that trials repeat each other's.
      const contexts = Array.from({ length: rowCount }, () => [random.integer(4), random.integer(3)]);
      const seed = trial;
      const batch = await client.act({
        model: 'hyper',
        observation,
        context: contexts,
        sample: true,
        seed,
        logProb: true,
      });
      for (let row = 0; row < rowCount; row++) {
        // The noise of a row is that of its place in the request, so the row is asked for behind copies of itself.
        const own = [...observation.values.subarray(row * observationSize, (row + 1) * observationSize)];
        const alone = await client.act({
          model: 'hyper',
          observation: Array.from({ length: row + 1 }, () => own),
          context: contexts[row]!,
          sample: true,
          seed,
          logProb: true,
        });
        const at = (values: Float32Array, width: number) => [...values.subarray(row * width, (row + 1) * width)];
        const difference = (a: number[], b: number[]) => Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
        expect(difference(at(batch.action.values, actionSize), at(alone.action.values, actionSize))).toBeLessThan(1e-5);
        expect(difference(at(batch.logProb!.values, 1), at(alone.logProb!.values, 1))).toBeLessThan(1e-4);
      }
    }
  });

  test('the same seed gives the same sample, another seed another, and the seed drawn by the server repeats its sample', async () => {
    const request = { model: 'plain', observation: normals(7, [2, observationSize]), context: [0, 0], sample: true };
    const first = await client.act({ ...request, seed: 5 });
    expect((await client.act({ ...request, seed: 5 })).action).toEqual(first.action);
    expect((await client.act({ ...request, seed: 6 })).action).not.toEqual(first.action);
    const drawn = await client.act(request);
    expect((await client.act({ ...request, seed: drawn.seed! })).action).toEqual(drawn.action);
    const other = await client.act(request);
    expect(other.seed).not.toBe(drawn.seed);
  });

  test('says how old the weights are and echoes the sequence', async () => {
    const { weightAgeMs, sequence, timing } = await client.act({
      model: 'plain',
      observation: normals(8, [1, observationSize]),
      context: [0, 0],
      sequence: 2n ** 63n,
    });
    expect(sequence).toBe(2n ** 63n);
    expect(weightAgeMs).toBeGreaterThan(0);
    expect(weightAgeMs).toBeLessThan(600_000);
    expect(timing.totalUs).toBeGreaterThanOrEqual(timing.networkUs);
  });
});

describe('Act within bounds', () => {
  test('actions, those of an ascent and the safe one lie within the bounds that GetModel gives', async () => {
    // To the nearest float32, 0.1 and 0.001 are larger than they are.
    const action = { low: [-0.1, -0.001], high: [0.1, 0.001], names: ['a', 'b'], units: ['1', '1'] };
    const environment = { name: 'none', observation: plainSpec('x', 4), action, context: null };
    const store = await temporaryStore([{ model: 'tight', policy: 'plain', critic: 'plain', environment }]);
    const path = join(store, 'tight/1/manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8')) as { action: object };
    await writeFile(path, JSON.stringify({ ...manifest, action: { ...manifest.action, safe: [0.1, -0.001] } }));
    const { client } = await startTestServer([], { store });
    const described = await client.getModel({ model: 'tight' });
    const [low, high] = [described.action!.low, described.action!.high];
    expect([low, high]).toEqual([action.low, action.high]);
    // The largest float32 below: 0.1 is 13421772.8 x 2^-27, 0.001 is 8589934.592 x 2^-33.
    const within = [13_421_772 * 2 ** -27, 8_589_934 * 2 ** -33];
    const { shape, values } = normals(9, [50, 4]);
    const observation = { shape, values: values.map((value) => 30 * value) };
    const acted = await client.act({ model: 'tight', observation });
    const ascent = { stepCount: 1, stepSize: 1e6 };
    const climbed = await client.qGrad({ model: 'tight', observation, action: acted.action, ascent });
    for (const [dim, bound] of within.entries()) {
      const column = ({ values }: { readonly values: Float32Array }) => [...values].filter((_, i) => i % 2 === dim);
      const drawn = column(acted.action);
      expect([Math.min(...drawn), Math.max(...drawn)]).toEqual([-bound, bound]);
      expect(Math.max(...column(climbed.action!).map(Math.abs))).toBe(bound);
    }
    expect(described.safeAction).toEqual([within[0], -within[1]!]);
  });
});
