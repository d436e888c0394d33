/**
 * Weights go from a worker's shared memory into blocks of the cache while other runs write there and the cache drops what it kept:
 * every answer must still be, to the last bit, what the graphs give in this process for that row alone.
 */

import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Worker } from 'node:worker_threads';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { ModelInferRequestSchema, ModelInferResponseSchema } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { floatTensor, openSession } from '../../../src/onnx/session.ts';
import { createSmallNetwork } from '../../../src/onnx/small-network.ts';
import { type RawCaller, rawCaller } from '../../compliance/raw-call.ts';
import { metricLines, startTestServer, type TestServer, temporaryStore } from '../fixtures.ts';

const observationSize = 4;
const actionSize = 3;
const twin = { model: 'twin', policy: 'none', critic: 'hyper', observationSize, actionSize } as const;

/** The states that are asked about, and what the graphs give for each in this process, one at a time. */
async function createReference(store: string, stateCount: number) {
  const file = (name: string) => readFile(join(store, twin.model, '1', name));
  const model = await file('critic.dynamic.onnx');
  const primary = openSession(await file('critic.primary.onnx'), { threadCount: 1 });
  const dynamic = openSession(model, { threadCount: 1 });
  const weightNames = primary.outputs.map(({ name }) => name);
  const network = createSmallNetwork({ model, session: dynamic, weightNames });
  onTestFinished(() => {
    primary.dispose();
    dynamic.dispose();
  });
  const random = createRandom(11);
  const draw = (size: number) => Float32Array.from({ length: size }, () => random.normal());
  return Promise.all(
    Array.from({ length: stateCount }, async () => {
      const observation = draw(observationSize);
      const action = draw(actionSize);
      const outputs = primary.run({ observation: floatTensor(observation, [1, observationSize]) });
      const block = Float32Array.from(weightNames.flatMap((name) => [...(outputs[name]!.data as Float32Array)]));
      const weights = { entries: [{ block }], index: undefined, feeds: () => outputs };
      const { q, dq_da: dqDa } = await network.run({ rowCount: 1, rows: { action }, weights });
      return { observation, action, q: q![0]!, dqDa: dqDa!.slice(0, actionSize) };
    }),
  );
}

type Reference = Awaited<ReturnType<typeof createReference>>;

const twinRows = (reference: Reference, rows: readonly number[]) => ({
  model: twin.model,
  observation: rows.map((row) => [...reference[row]!.observation]),
  action: rows.map((row) => [...reference[row]!.action]),
});

/** An ascent from the rows' actions, over many turns of the event loop. */
async function climbed(
  { address }: TestServer,
  reference: Reference,
  rows: readonly number[],
  stepCount = 40,
): Promise<Float32Array> {
  const ascent = { stepCount, stepSize: 0.05 };
  const { action } = await clientOf(address).qGrad({ ...twinRows(reference, rows), ascent });
  return action!.values;
}

/** Asks for these rows; how many values differ from those of the reference. */
async function differences({ address }: TestServer, reference: Reference, rows: readonly number[]): Promise<number> {
  const client = clientOf(address);
  const picked = rows.map((row) => reference[row]!);
  const { q, dqDa } = await client.qGrad({ ...twinRows(reference, rows), reduction: 'q1' });
  const expected = { q: picked.map((row) => row.q), dqDa: picked.flatMap((row) => [...row.dqDa]) };
  const differing = (actual: Float32Array, wanted: readonly number[]) =>
    wanted.filter((value, i) => !Object.is(actual[i], value)).length;
  return differing(q.values, expected.q) + differing(dqDa.values, expected.dqDa);
}

/** The same by ModelInfer, which gives both value functions. */
async function inferDifferences(raw: RawCaller, reference: Reference, rows: readonly number[]): Promise<number> {
  const picked = rows.map((row) => reference[row]!);
  const input = (name: 'observation' | 'action', size: number) => ({
    name,
    datatype: 'FP32',
    shape: [BigInt(rows.length), BigInt(size)],
    contents: { fp32Contents: picked.flatMap((row) => [...row[name]]) },
  });
  const request = create(ModelInferRequestSchema, {
    modelName: `${twin.model}.critic`,
    inputs: [input('observation', observationSize), input('action', actionSize)],
  });
  const path = '/inference.GRPCInferenceService/ModelInfer';
  const result = await raw(path, toBinary(ModelInferRequestSchema, request), 60_000);
  if (!('bytes' in result)) throw new Error(result.text);
  const { outputs } = fromBinary(ModelInferResponseSchema, result.bytes);
  const q = outputs.find(({ name }) => name === 'q')!.contents!.fp32Contents;
  return picked.filter((row, i) => !Object.is(q[2 * i], row.q)).length;
}

const clients = new Map<string, ReturnType<typeof createPolicyClient>>();

/** Patient: what is late on a busy machine is no other answer. */
function clientOf(address: string) {
  const known = clients.get(address);
  if (known !== undefined) return known;
  const client = createPolicyClient({ address, timeoutMs: 60_000 });
  clients.set(address, client);
  onTestFinished(() => {
    clients.delete(address);
    client.close();
  });
  return client;
}

const stateCount = 400;

/** Rows of so many calls: few and many, distinct within a call, some asked for by several calls at once. */
function drawCalls(callCount: number, seed: number): number[][] {
  const random = createRandom(seed);
  return Array.from({ length: callCount }, () => {
    const rowCount = 1 + random.integer(random.uniform() < 0.2 ? 120 : 12);
    const first = random.integer(stateCount);
    return Array.from({ length: rowCount }, (_, i) => (first + 3 * i) % stateCount);
  });
}

describe('many calls of QGrad at once', () => {
  // A few networks' weights, and all of them twice over.
  test.each([
    { workerCount: 1, hidden: 24, entriesKept: 5 },
    { workerCount: 2, hidden: 24, entriesKept: 5 },
    { workerCount: 2, hidden: 256, entriesKept: 60 },
  ])('give bit for bit what this process gives: %o', async ({ workerCount, hidden, entriesKept }) => {
    const store = await temporaryStore([{ ...twin, hiddenSize: hidden, trunkSizes: [32] }]);
    const reference = await createReference(store, stateCount);
    const weightBytes = 4 * 2 * hidden * (actionSize + 4);
    const criticCacheBytesMax = entriesKept * (weightBytes + 600);
    const server = await startTestServer([], { store, workerCount, criticCacheBytesMax, batchRowCountMax: 8 });
    const calls = drawCalls(150, 5);
    const found = await Promise.all(calls.map((rows) => differences(server, reference, rows)));
    expect(found.reduce((sum, count) => sum + count, 0)).toBe(0);
    // What was to be tested happened: entries made room for others.
    const evictions = 'hyperpolicy_context_cache_evictions_total{cache="critic"}';
    expect((await metricLines(server, evictions))[evictions]).toBeGreaterThan(100);
    const bytes = 'hyperpolicy_context_cache_bytes{cache="critic"}';
    expect((await metricLines(server, bytes))[bytes]).toBeLessThanOrEqual(criticCacheBytesMax);
  });

  test('give the same to ModelInfer', async () => {
    const store = await temporaryStore([{ ...twin, hiddenSize: 256, trunkSizes: [32] }]);
    const reference = await createReference(store, stateCount);
    const criticCacheBytesMax = 5 * (4 * 2 * 256 * (actionSize + 4) + 600);
    const server = await startTestServer([], { store, workerCount: 2, criticCacheBytesMax, batchRowCountMax: 8 });
    const raw = rawCaller(server.address);
    const found = await Promise.all(drawCalls(150, 12).map((rows) => inferDifferences(raw, reference, rows)));
    expect(found.reduce((sum, count) => sum + count, 0)).toBe(0);
  });

  test('ascents that go on meanwhile, and states that are pinned meanwhile, keep their weights', async () => {
    const store = await temporaryStore([{ ...twin, hiddenSize: 64, trunkSizes: [32] }]);
    const reference = await createReference(store, stateCount);
    const alone = await startTestServer([], { store });
    const climbs = drawCalls(30, 8);
    const expected: Float32Array[] = [];
    for (const rows of climbs) expected.push(await climbed(alone, reference, rows));

    const criticCacheBytesMax = 40 * (4 * 2 * 64 * (actionSize + 4) + 600);
    const server = await startTestServer([], { store, criticCacheBytesMax, batchRowCountMax: 8 });
    const client = clientOf(server.address);
    const pinned = [3, 150, 399, 7, 20];
    const [ends, found] = await Promise.all([
      Promise.all(climbs.map((rows) => climbed(server, reference, rows))),
      Promise.all(drawCalls(150, 9).map((rows) => differences(server, reference, rows))),
      ...pinned.map((row) =>
        client.prepare({ model: twin.model, observation: reference[row]!.observation, pinning: 'pin' }),
      ),
    ]);
    expect(ends).toEqual(expected);
    expect(found.reduce((sum, count) => sum + count, 0)).toBe(0);
    for (const rows of drawCalls(10, 10)) await differences(server, reference, rows);
    expect(await differences(server, reference, pinned)).toBe(0);
    // They were known, and the memory of the cache is within its budget.
    expect((await client.qGrad({ ...twinRows(reference, pinned) })).timing.primaryUs).toBe(0);
    const arena = 'hyperpolicy_context_cache_arena_bytes{cache="critic"}';
    const bytes = (await metricLines(server, arena))[arena]!;
    expect(bytes).toBeGreaterThan(criticCacheBytesMax / 2);
    expect(bytes).toBeLessThanOrEqual(criticCacheBytesMax);
  });

  test('an ascent at a known state keeps its weights while others come and go', async () => {
    const store = await temporaryStore([{ ...twin, hiddenSize: 256, trunkSizes: [32] }]);
    const reference = await createReference(store, stateCount);
    const server = await startTestServer([], {
      store,
      criticCacheBytesMax: 2 * (4 * 2 * 256 * (actionSize + 4) + 600),
    });
    /** Twenty actions at one state. */
    const rows = Array<number>(20).fill(11);
    const expected = await climbed(server, reference, rows, 1000);
    let callCount = 0;
    let isClimbing = true;
    await differences(server, reference, [11]);
    const climb = climbed(server, reference, rows, 1000).finally(() => {
      isClimbing = false;
    });
    while (isClimbing) expect(await differences(server, reference, [100 + (callCount++ % 200)])).toBe(0);
    expect(await climb).toEqual(expected);
    // The cache holds two states: after two others the known one was dropped.
    expect(callCount).toBeGreaterThan(2);
  });

  test('a thread that dies in the midst makes no answer wrong, and the other goes on', async () => {
    const workers: Worker[] = [];
    const note = (worker: Worker) => workers.push(worker);
    process.on('worker', note);
    onTestFinished(() => void process.off('worker', note));
    const store = await temporaryStore([{ ...twin, hiddenSize: 256, trunkSizes: [64, 256] }]);
    const reference = await createReference(store, stateCount);
    const server = await startTestServer([], {
      store,
      workerCount: 2,
      criticCacheBytesMax: 200_000,
      batchRowCountMax: 8,
    });
    expect(workers).toHaveLength(2);
    let answered = 0;
    const calls = drawCalls(150, 6).map(async (rows) => {
      const found = await differences(server, reference, rows);
      answered++;
      // It fails over what is no message, between two runs: ended within native code it would take the process with it.
      if (answered === 20) workers[0]!.postMessage(null);
      return found;
    });
    const outcomes = await Promise.allSettled(calls);
    const wrong = outcomes.filter((outcome) => outcome.status === 'fulfilled' && outcome.value > 0);
    expect(wrong).toEqual([]);
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [String(outcome.reason)] : []));
    // The runs that the thread had: at most those that lie in its two lanes.
    expect(refused.every((text) => text.includes('worker pool'))).toBe(true);
    for (const rows of drawCalls(20, 7)) expect(await differences(server, reference, rows)).toBe(0);
  });
});
