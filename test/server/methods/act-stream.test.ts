import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test, vi } from 'vitest';
import { type Call, createCall } from '../../../server/call/rpc.ts';
import { statusOf } from '../../../server/call/status.ts';
import { parseServerConfig } from '../../../server/config.ts';
import type { ActResponseInit } from '../../../server/methods/act.ts';
import { createActStreamHandler } from '../../../server/methods/act-stream.ts';
import type { ContextHandles } from '../../../server/methods/context-handles.ts';
import { ActStreamRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { ModelInferRequestSchema } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { rawPeer } from '../../compliance/raw-call.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { metricLines, startTestServer, temporaryStore } from '../fixtures.ts';

const call: Call = createCall(0, Number.POSITIVE_INFINITY);

/** A session whose answers the test gives: by sequence, at once or later. */
function openTestStream({ atOnce = true, streamRequestCountMax = 4 } = {}) {
  const sent: string[] = [];
  const waiting = new Map<bigint, (error?: Error) => void>();
  const dispatches: (() => void)[] = [];
  let holdCount = 0;
  const served = { model: 'm', hold: () => holdCount++, release: () => holdCount-- };
  const session = createActStreamHandler({
    handles: { resolve: () => served } as unknown as ContextHandles,
    config: parseServerConfig({ streamRequestCountMax }),
    describe: (error) => statusOf(error, () => 'id'),
    schedule: (dispatch) => dispatches.push(dispatch),
    answer(_, request): ActResponseInit | Promise<ActResponseInit> {
      const response = { sequence: request.sequence };
      if (atOnce) return response;
      return new Promise((resolve, reject) => {
        waiting.set(request.sequence, (error) => (error === undefined ? resolve(response) : reject(error)));
      });
    },
  })({
    send({ result, supersededCount = 0 }) {
      const { sequence } = result!.value as { sequence: bigint };
      sent.push(`${result!.case} ${sequence}${supersededCount > 0 ? ` superseded ${supersededCount}` : ''}`);
    },
    pause: () => sent.push('pause'),
    resume: () => sent.push('resume'),
    end: (error) => sent.push(error === undefined ? 'end' : `end: ${(error as Error).message}`),
  });
  const receive = (sequence: number, more: object = {}, open: object = {}) =>
    session.receive(
      create(ActStreamRequestSchema, { act: { model: 'm', sequence: BigInt(sequence), ...more }, ...open }),
      call,
    );
  const settle = async (sequence: number, error?: Error) => {
    waiting.get(BigInt(sequence))!(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  const turn = () => {
    for (const dispatch of dispatches.splice(0)) dispatch();
  };
  return {
    session,
    receive,
    settle,
    turn,
    sent,
    holds: () => holdCount,
    waitingFor: () => [...waiting.keys()].map(Number),
  };
}

describe('a stream of acts', () => {
  test('answers in order, although later answers are ready sooner', async () => {
    const { receive, settle, sent } = openTestStream({ atOnce: false });
    for (const sequence of [1, 2, 3]) receive(sequence);
    await settle(3);
    await settle(2);
    expect(sent).toEqual([]);
    await settle(1);
    expect(sent).toEqual(['response 1', 'response 2', 'response 3']);
  });

  test('a refused request is answered in its place and the stream goes on', async () => {
    const { receive, settle, sent } = openTestStream({ atOnce: false });
    receive(1);
    receive(2, { model: 'other' });
    receive(3);
    await settle(3);
    await settle(1, new Error('fault'));
    expect(sent).toEqual(['error 1', 'error 2', 'response 3']);
  });

  test('a client that runs ahead is slowed down at the bound', async () => {
    const { receive, settle, sent } = openTestStream({ atOnce: false, streamRequestCountMax: 2 });
    receive(1);
    receive(2);
    expect(sent).toEqual(['pause']);
    await settle(1);
    expect(sent).toEqual(['pause', 'response 1', 'resume']);
  });

  test('newest wins: what waits is superseded and counted', async () => {
    const { receive, settle, turn, sent, waitingFor } = openTestStream({ atOnce: false });
    receive(1, {}, { newestWins: true });
    receive(2);
    turn();
    expect(waitingFor()).toEqual([2]);
    for (const sequence of [3, 4, 5]) receive(sequence);
    await settle(2);
    expect(waitingFor()).toEqual([2, 5]);
    await settle(5);
    // 1 before 2, and 3 and 4 before 5; those are known when 2 is answered.
    expect(sent).toEqual(['response 2 superseded 3', 'response 5']);
  });

  test('holds its version until the end, whichever end', async () => {
    for (const end of ['finish', 'abandon', 'drain'] as const) {
      const { session, receive, holds } = openTestStream();
      receive(1);
      expect(holds()).toBe(1);
      session[end]();
      expect(holds()).toBe(0);
    }
  });

  test('finish and drain answer what is pending first', async () => {
    const { session, receive, settle, sent, holds } = openTestStream({ atOnce: false });
    receive(1);
    session.drain();
    receive(2);
    expect(sent).toEqual([]);
    await settle(1);
    expect(sent).toEqual([
      'response 1',
      'end: ActStream: expected a server that takes requests, got one that drains. Open a new stream',
    ]);
    expect(holds()).toBe(0);
  });

  test('a message without a request ends the stream', () => {
    const { session, sent } = openTestStream();
    session.receive(create(ActStreamRequestSchema), call);
    expect(sent).toEqual(['end: ActStream: expected a request in `act`, got none']);
  });
});

const plain = (seed: number) =>
  ({ model: 'm', policy: 'plain', critic: 'none', seed, observationSize: 3, actionSize: 2, hiddenSize: 8 }) as const;
const observation = [0.1, 0.2, 0.3];

describe('ActStream over gRPC', () => {
  test('gives the actions of Act, many at once, and refuses one by one', async () => {
    const { client } = await startTestServer([plain(1)]);
    const stream = client.actStream({ model: 'm' });
    const alone = await client.act({ model: 'm', observation });
    const results = await Promise.allSettled(
      Array.from({ length: 300 }, (_, i) => stream.act({ observation: i === 150 ? [1] : observation })),
    );
    for (const [i, result] of results.entries()) {
      if (i === 150) expect(result).toMatchObject({ reason: { kind: 'invalid_argument', where: 'Act observation' } });
      else expect(result).toMatchObject({ value: { sequence: BigInt(i + 1), version: 1 } });
    }
    expect(results[0]).toMatchObject({ value: { action: alone.action } });
    await stream.close();
    await expect(stream.act({ observation })).rejects.toThrow('ActStream: the stream has ended');
  });

  test('keeps its version when a newer comes, unless it follows', async () => {
    const store = await temporaryStore([plain(1)]);
    const { client, server } = await startTestServer([], { store, versionCountMax: 1 });
    const keeps = client.actStream({ model: 'm' });
    const follows = client.actStream({ model: 'm', follow: true });
    const before = await keeps.act({ observation });
    await follows.act({ observation });
    await publishRandomPackage({ store, ...plain(2) });
    await server.models.refresh();
    const after = await keeps.act({ observation });
    expect([after.version, after.action]).toEqual([1, before.action]);
    expect((await follows.act({ observation })).version).toBe(2);
    await expect(client.act({ model: 'm', version: 1, observation })).rejects.toMatchObject({ kind: 'not_found' });
    await keeps.close();
  });

  test('an unknown model ends the stream with its status', async () => {
    const { client } = await startTestServer([plain(1)]);
    const stream = client.actStream({ model: 'nope' });
    await expect(stream.act({ observation })).rejects.toMatchObject({
      kind: 'not_found',
      message: 'ActStream model: expected one of "m", got "nope"',
    });
  });

  test('newest wins answers the last of a burst, and tells the others', async () => {
    const { client } = await startTestServer([plain(1)]);
    const stream = client.actStream({ model: 'm', newestWins: true });
    const results = await Promise.allSettled(Array.from({ length: 50 }, () => stream.act({ observation })));
    expect(results.at(-1)!.status).toBe('fulfilled');
    const rejected = results.filter((result) => result.status === 'rejected');
    expect(rejected.length).toBeGreaterThan(0);
    for (const { reason } of rejected) expect(reason).toMatchObject({ kind: 'superseded' });
    await stream.close();
  });

  test('messages that wait for their answer are counted while their stream is open', async () => {
    const hyper = { ...plain(1), policy: 'hyper', contextSize: 2 } as const;
    // What is new waits for others, for longer than the test takes.
    const started = await startTestServer([hyper], { batchDelayMs: 10_000 });
    const { client, address } = started;
    const gauge = 'hyperpolicy_stream_requests_in_flight';
    const counted = async (count: number) =>
      vi.waitFor(async () => expect(await metricLines(started, gauge)).toEqual({ [gauge]: count }), 20_000);
    const asked: Promise<unknown>[] = [];
    const inOrder = client.actStream({ model: 'm' });
    for (const i of [1, 2, 3]) asked.push(inOrder.act({ observation, context: [i, 0] }));
    await counted(3);
    const newest = client.actStream({ model: 'm', newestWins: true });
    asked.push(newest.act({ observation, context: [4, 0] }));
    await counted(4);
    asked.push(newest.act({ observation, context: [5, 0] }));
    await counted(5);
    const inputs = [
      { name: 'observation', datatype: 'FP32', shape: [1n, 3n], contents: { fp32Contents: observation } },
      { name: 'context', datatype: 'FP32', shape: [1n, 2n], contents: { fp32Contents: [6, 0] } },
    ];
    const infer = create(ModelInferRequestSchema, { modelName: 'm', inputs });
    const stream = rawPeer(address).open('/inference.GRPCInferenceService/ModelStreamInfer');
    stream.send(toBinary(ModelInferRequestSchema, infer));
    await counted(6);
    client.close();
    for (const end of await Promise.allSettled(asked)) expect(end.status).toBe('rejected');
    await counted(1);
  });

  test('a draining server ends the stream with UNAVAILABLE', async () => {
    const { client, server } = await startTestServer([plain(1)], { drainMs: 20_000 });
    const stream = client.actStream({ model: 'm' });
    await stream.act({ observation });
    const startMs = performance.now();
    await server.stop();
    await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'unavailable' });
    // Not the time after which it would be cut.
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });
});
