/** Guards that nothing else would miss: work for nobody, memory of what is gone, and answers of a server that is leaving. */

import { create } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Stage } from '../../../server/call/request-record.ts';
import type { Call } from '../../../server/call/rpc.ts';
import { createCall } from '../../../server/call/rpc.ts';
import { openHandles } from '../../../server/handles/open-handles.ts';
import { createKserve } from '../../../server/kserve/service.ts';
import { climb } from '../../../server/methods/ascent.ts';
import { createPolicyHandlers } from '../../../server/methods/policy-handlers.ts';
import {
  ActRequestSchema,
  AdaptRequestSchema,
  PrepareRequestSchema,
  QGradRequestSchema,
} from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { ModelInferRequestSchema } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { metricLines, metricsOfParts, startTestServer, temporaryStore } from '../fixtures.ts';
import { acceptSettings, connectRaw, frameTypes } from '../raw-http2.ts';

const hyper = {
  model: 'hyper',
  policy: 'hyper',
  critic: 'hyper',
  observationSize: 3,
  actionSize: 2,
  contextSize: 2,
  hiddenSize: 8,
  trunkSizes: [16],
} as const;
const pearl = { ...hyper, model: 'pearl', policy: 'plain', critic: 'none', encoder: true } as const;

const maml = { ...hyper, model: 'maml', critic: 'none', stochastic: true, adapt: true } as const;

const row = (...values: number[]) => ({
  shape: [1, values.length],
  data: new Uint8Array(Float32Array.from(values).buffer),
});

/** The handlers of a server, and a call whose client has given up. */
async function startLate() {
  const started = await startTestServer([hyper, pearl, maml]);
  const { config, models } = started.server;
  const spool = await openHandles(config);
  onTestFinished(() => spool.close());
  const metrics = metricsOfParts();
  const handlers = createPolicyHandlers({
    models,
    handleStore: spool.store,
    config,
    metrics,
    eventLoopDelayUs: () => 0,
  });
  const kserve = createKserve({ models, config, work: metrics.work('ModelInfer') });
  return { ...started, handlers, kserve, late: createCall(performance.now(), Date.now() - 1000) };
}

describe('a call whose deadline has passed', () => {
  type Late = Awaited<ReturnType<typeof startLate>>;
  const observation = row(1, 2, 3);
  const context = row(1, 2);
  test.each<[string, (server: Late, call: Call) => unknown]>([
    [
      'Act',
      ({ handlers }, call) =>
        handlers.act(
          create(ActRequestSchema, { model: 'hyper', observation, contextSource: { case: 'context', value: context } }),
          call,
        ),
    ],
    [
      'QGrad',
      ({ handlers }, call) =>
        handlers.qGrad(
          create(QGradRequestSchema, {
            model: 'hyper',
            observation,
            action: row(0, 0),
          }),
          call,
        ),
    ],
    [
      'Prepare',
      ({ handlers }, call) =>
        handlers.prepare(
          create(PrepareRequestSchema, { model: 'hyper', target: { case: 'context', value: context } }),
          call,
        ),
    ],
    ['Adapt', ({ handlers }, call) => handlers.adapt(create(AdaptRequestSchema, { model: 'pearl' }), call)],
    [
      'ModelInfer',
      ({ kserve }, call) =>
        kserve.modelInfer(
          create(ModelInferRequestSchema, {
            modelName: 'hyper',
            inputs: [
              { name: 'observation', datatype: 'FP32', shape: [1n, 3n] },
              { name: 'context', datatype: 'FP32', shape: [1n, 2n] },
            ],
            rawInputContents: [observation.data, context.data],
          }),
          call,
        ),
    ],
  ])('%s: is refused before anything is computed', async (method, ask) => {
    const server = await startLate();
    await expect((async () => ask(server, server.late))()).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: expect.stringMatching(new RegExp(`^${method}: expected .* Nothing was computed$`)),
    });
    expect(Object.values(await metricLines(server, 'hyperpolicy_context_cache_misses_total'))).toEqual([0, 0]);
  });

  /** Of three values each: as many as are worked on without a turn for others. */
  const stepCount = 4000;
  const rows = (rowCount: number, size: number) => ({
    shape: [rowCount, size],
    data: new Uint8Array(Float32Array.from({ length: rowCount * size }, (_, i) => Math.sin(i)).buffer),
  });
  test.each<[string, string, (server: Late, call: Call) => unknown]>([
    [
      'QGrad',
      'The weights are kept',
      ({ handlers }, call) =>
        handlers.qGrad(create(QGradRequestSchema, { model: 'hyper', observation, action: row(0, 0) }), call),
    ],
    [
      'Adapt',
      'Nothing is kept',
      ({ handlers }, call) =>
        handlers.adapt(
          create(AdaptRequestSchema, {
            model: 'maml',
            observation: rows(stepCount, 3),
            action: rows(stepCount, 2),
            reward: { ...rows(stepCount, 1), shape: [stepCount] },
            contextSource: { case: 'context', value: context },
          }),
          call,
        ),
    ],
  ])('%s: one that passes while weights are made runs no network on them', async (method, computed, ask) => {
    const server = await startLate();
    const stages: Stage[] = [];
    const call: Call = {
      ...createCall(performance.now(), 0),
      // It passes at the end of the generation.
      get deadlineMs() {
        return Date.now() + (stages.includes('primary') ? -1000 : 60_000);
      },
      record: { served() {}, stage: (stage) => stages.push(stage), end() {}, fields: () => ({}) },
    };
    await expect((async () => ask(server, call))()).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: expect.stringMatching(
        new RegExp(
          `^${method}: expected a deadline that has not passed, got one that passed 100\\d ms ago\\. ${computed}$`,
        ),
      ),
    });
    expect(stages).toContain('primary');
    expect(stages).not.toContain('dynamic');
  });

  test('stops an ascent that is under way', async () => {
    let stepCount = 0;
    const gradients = async () => {
      stepCount++;
      const untilMs = performance.now() + 1;
      while (performance.now() < untilMs);
      return new Float32Array(1);
    };
    const served = { actionLow: new Float32Array([-1]), actionHigh: new Float32Array([1]), actionSize: 1 };
    const climbed = climb({
      ascent: { stepCount: 5000, stepSize: 0.1 } as never,
      gradients,
      actions: new Float32Array(1),
      served: served as never,
      call: createCall(performance.now(), Date.now() - 1),
    });
    await expect(climbed).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: expect.stringMatching(/\. \d+ of 5000 steps were taken$/),
    });
    expect(stepCount).toBeLessThan(1000);
  });
});

test('the weights of a version go from both caches when it does', async () => {
  const store = await temporaryStore([hyper]);
  const started = await startTestServer([], { store, versionCountMax: 1 });
  const { client, server } = started;
  const observation = [1, 2, 3];
  const context = [1, 2];
  await client.prepare({ model: 'hyper', context, pinning: 'pin' });
  await client.act({ model: 'hyper', observation, context: [3, 4] });
  await client.qGrad({ model: 'hyper', observation, action: [0, 0] });
  const values = async (name: string) => Object.values(await metricLines(started, `hyperpolicy_context_cache_${name}`));
  const bytes = await values('bytes');
  expect(await values('entries')).toEqual([2, 1]);
  expect(bytes.every((value) => value > 0)).toBe(true);
  await publishRandomPackage({ store, ...hyper, seed: 2 });
  await server.models.refresh();
  expect((await client.getModel({ model: 'hyper' })).version).toBe(2);
  // The new version has the contexts that were carried over to it, and nothing else is left.
  expect(await values('entries')).toEqual([2, 0]);
  expect(await values('bytes')).toEqual([bytes[0], 0]);
});

test('a server that drains is not ready, and a look through the store does not make it so', async () => {
  const { server, address } = await startTestServer([hyper], { drainMs: 20_000 });
  const ready = async () => {
    const response = await fetch(`http://127.0.0.1:${server.metricsPort}/readyz`);
    return [response.status, await response.text()];
  };
  expect(await ready()).toEqual([200, 'ready\n']);
  // Open before, asked after: the one way to ask a server that takes no more calls.
  const peer = await connectRaw(address);
  await acceptSettings(peer);
  peer.open(1, '/grpc.health.v1.Health/Check');
  peer.send({ type: frameTypes.ping, body: Buffer.alloc(8) });
  await peer.until(({ type, flags }) => type === frameTypes.ping && flags === 1);
  const stopped = server.stop();
  expect(await ready()).toEqual([503, 'draining\n']);
  await server.models.refresh();
  expect(await ready()).toEqual([503, 'draining\n']);
  // An empty request: no compression, no bytes; then the end of the stream.
  peer.send({ type: frameTypes.data, flags: 1, stream: 1, body: Buffer.alloc(5) });
  const { body } = await peer.until(({ type }) => type === frameTypes.data);
  // Status (field 1) NOT_SERVING (2).
  expect([...body.subarray(5)]).toEqual([8, 2]);
  peer.socket.destroy();
  await stopped;
});
