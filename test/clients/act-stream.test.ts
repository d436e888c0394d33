/** Streams against a server that answers as a test says: late, wrongly, or not at all. */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import {
  type ActResult,
  type ActStreamEvent,
  type ActStreamOptions,
  createPolicyClient,
  type PolicyClientOptions,
} from '../../clients/typescript/index.ts';
import { beginCall, http2StreamOf } from '../../clients/typescript/library-call.ts';
import { encodeActStreamRequest } from '../../src/contract/act-request.ts';
import { toBuffer } from '../../src/contract/bytes.ts';
import {
  type ActRequest,
  ActRequestSchema,
  ActResponseSchema,
  ActStreamRequestSchema,
  ActStreamResponseSchema,
  GetModelResponseSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { startTestServer } from '../server/fixtures.ts';

type Answer = MessageInitShape<typeof ActStreamResponseSchema>;
type Call = {
  readonly metadata: grpc.Metadata;
  readonly requests: ActRequest[];
  answer(response: Answer): void;
  end(code: grpc.status, details: string): void;
};

const raw = (path: string, stream: boolean): grpc.MethodDefinition<Buffer, Buffer> => ({
  path: `/hyperpolicy.v1.PolicyService/${path}`,
  requestStream: stream,
  responseStream: stream,
  requestSerialize: (bytes) => bytes,
  requestDeserialize: (bytes) => bytes,
  responseSerialize: (bytes) => bytes,
  responseDeserialize: (bytes) => bytes,
});

const spec = (size: number) => ({
  names: Array.from({ length: size }, (_, i) => `x${i}`),
  low: new Array(size).fill(-1),
  high: new Array(size).fill(1),
  units: new Array(size).fill('1'),
});

const singleCall = (answer: grpc.sendUnaryData<Buffer>): Call => ({
  metadata: new grpc.Metadata(),
  requests: [],
  answer: ({ result }) => {
    const message = create(ActResponseSchema, result!.value as MessageInitShape<typeof ActResponseSchema>);
    answer(null, Buffer.from(toBinary(ActResponseSchema, message)));
  },
  end: (code, details) => answer({ code, details }),
});

/** A scripted server, and a client of it. @param react what it does with each request */
async function scripted(
  react: (request: ActRequest, call: Call, index: number) => void,
  options: {
    safeAction?: number[];
    taskRange?: { low: number[]; high: number[] };
    neverEnds?: boolean;
  } & Partial<PolicyClientOptions> = {},
) {
  const { safeAction = [0.25, -0.5], taskRange, neverEnds = false, ...connection } = options;
  const calls: Call[] = [];
  const server = new grpc.Server();
  onTestFinished(() => server.forceShutdown());
  server.addService(
    { actStream: raw('ActStream', true), act: raw('Act', false), getModel: raw('GetModel', false) },
    {
      actStream(duplex: grpc.ServerDuplexStream<Buffer, Buffer>) {
        const call: Call = {
          metadata: duplex.metadata,
          requests: [],
          answer: (response) =>
            duplex.write(Buffer.from(toBinary(ActStreamResponseSchema, create(ActStreamResponseSchema, response)))),
          end: (code, details) => duplex.emit('error', { code, details }),
        };
        calls.push(call);
        duplex.on('error', () => {});
        if (!neverEnds) duplex.on('end', () => duplex.end());
        duplex.on('data', (bytes: Buffer) => {
          const { act } = fromBinary(ActStreamRequestSchema, bytes);
          call.requests.push(act!);
          react(act!, call, calls.length - 1);
        });
      },
      act({ request }: grpc.ServerUnaryCall<Buffer, Buffer>, answer: grpc.sendUnaryData<Buffer>) {
        react(fromBinary(ActRequestSchema, request), singleCall(answer), -1);
      },
      getModel(_call: unknown, answer: grpc.sendUnaryData<Buffer>) {
        const described = {
          version: 7,
          observation: spec(3),
          action: spec(2),
          safeAction,
          ...(taskRange && { taskRange }),
          publishedAt: '2026-01-01T00:00:00Z',
        };
        answer(null, Buffer.from(toBinary(GetModelResponseSchema, create(GetModelResponseSchema, described))));
      },
    },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = createPolicyClient({
    address: `127.0.0.1:${port}`,
    ...connection,
  });
  onTestFinished(() => client.close());
  const events: ActStreamEvent[] = [];
  const open = (more: Partial<ActStreamOptions> = {}) =>
    client.actStream({ model: 'm', timeoutMs: 60_000, onEvent: (event) => events.push(event), ...more });
  return { client, open, calls, events, server };
}

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const response = (sequence: bigint, more: object = {}): Answer => ({
  result: {
    case: 'response',
    value: { action: { shape: [1, 2], data: floats(0.5, 1) }, version: 7, sequence, timing: {}, ...more },
  },
});
const refusal = (sequence: bigint, status: string, text: string): Answer => ({
  result: { case: 'error', value: { sequence, status, text } },
});
const answers = ({ sequence }: ActRequest, call: Call) => call.answer(response(sequence));
const observation = [1, 2, 3];

/** Holds at some turn of the event loop. */
async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 1));
}

describe('time', () => {
  test('an act that is not answered settles at its own timeout, and the next one is answered', async () => {
    const { open } = await scripted((request, call) => {
      if (request.sequence !== 2n) answers(request, call);
    });
    const stream = open();
    await stream.act({ observation });
    await expect(stream.act({ observation }, { timeoutMs: 20 })).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: expect.stringMatching(/^ActStream: expected an answer of 127\.0\.0\.1:\d+ within 20 ms, got none$/),
    });
    expect((await stream.act({ observation })).sequence).toBe(3n);
    expect([stream.ended, stream.closed]).toEqual([false, false]);
  });

  test.each([
    ['a budget and half of it', { budgetUs: 200_000 }, {}, undefined, 300],
    ['a budget and 50 ms where half is less', { budgetUs: 1000 }, {}, undefined, 51],
    ['the client’s time', {}, {}, 70, 70],
    ['what the act says', { budgetUs: 200_000 }, { timeoutMs: 30 }, 70, 30],
    ['the age that is allowed, where that is less', {}, { timeoutMs: 500, ageMsMax: 40 }, undefined, 40],
    ['a second', {}, {}, undefined, 1000],
  ])('it waits for %s', async (_, fields, call, timeoutMs, waitMs) => {
    const { client } = await scripted(() => {}, timeoutMs === undefined ? {} : { timeoutMs });
    await expect(client.actStream({ model: 'm' }).act({ observation, ...fields }, call)).rejects.toThrow(
      `within ${waitMs} ms`,
    );
  });

  test('an answer that comes too late is not delivered to anybody', async () => {
    let late: (() => void) | undefined;
    const { open } = await scripted((request, call) => {
      if (request.sequence === 2n)
        late = () => call.answer(response(2n, { action: { shape: [1, 2], data: floats(9, 9) } }));
      else if (request.sequence === 3n) {
        late!();
        answers(request, call);
      } else answers(request, call);
    });
    const stream = open();
    await stream.act({ observation });
    await expect(stream.act({ observation }, { timeoutMs: 20 })).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    expect((await stream.act({ observation })).action.values).toEqual(Float32Array.of(0.5, 1));
  });

  test('an answer that a process finds when it goes on, after it stood still for longer than its time, is too late', async () => {
    const now = performance.now.bind(performance);
    let stoodStillMs = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => now() + stoodStillMs);
    onTestFinished(() => void vi.restoreAllMocks());
    const { client, open } = await scripted((request, call) => {
      if (request.sequence > 1n) stoodStillMs += 60_001;
      answers(request, call);
    });
    const stream = open({ clientId: 'robot' });
    await stream.act({ observation });
    await expect(stream.act({ observation })).rejects.toThrow('within 60000 ms, got none');
    const { fallback } = await stream.act({ observation, fallback: 'hold' });
    expect(fallback).toMatchObject({ kind: 'hold', reason: 'timeout' });
    expect(fallback!.ageMs).toBeGreaterThan(60_000);
    const single = { model: 'm', clientId: 'robot', observation, sequence: 4n };
    await expect(client.act(single, { timeoutMs: 60_000 })).rejects.toThrow('within 60000 ms, got none');
    expect(await client.act({ ...single, fallback: 'hold' }, { timeoutMs: 60_000 })).toMatchObject({
      fallback: { kind: 'hold', reason: 'timeout' },
    });
  });

  test('what is given as undefined is not given', async () => {
    const { client } = await scripted(answers);
    const none = { timeoutMs: undefined, signal: undefined, metadata: undefined } as object;
    expect(await client.getModel({ model: 'm' }, none)).toMatchObject({ version: 7 });
    expect(await client.act({ model: 'm', observation }, none)).toMatchObject({ version: 7 });
    expect(
      await client.actStream({ model: 'm', ...none }).act({ observation }, { signal: undefined } as object),
    ).toMatchObject({ version: 7 });
  });

  test('a time of any length is waited for: 30 days do not fire at once', async () => {
    const { open } = await scripted(answers);
    const stream = open();
    for (const timeoutMs of [30 * 86_400_000, 1e15, Number.POSITIVE_INFINITY]) {
      expect((await stream.act({ observation }, { timeoutMs })).version).toBe(7);
    }
  });

  test('what is pending is bounded', async () => {
    const { open, client } = await scripted(() => {});
    const stream = open();
    const pending = Array.from({ length: 1024 }, () => stream.act({ observation }));
    const all = Promise.allSettled(pending);
    await expect(stream.act({ observation })).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message:
        'ActStream: expected at most 1024 requests that the server has not answered, got one more. Wait for answers, or open the stream with newestWins',
    });
    client.close();
    await all;
  });
});

describe('giving up', () => {
  test('the signal of an act rejects it alone, with its reason', async () => {
    const { open } = await scripted((request, call) => {
      if (request.sequence === 2n) answers(request, call);
    });
    const stream = open();
    const abort = new AbortController();
    const given = stream.act({ observation }, { signal: abort.signal });
    abort.abort(new Error('changed my mind'));
    await expect(given).rejects.toThrow('changed my mind');
    expect((await stream.act({ observation })).sequence).toBe(2n);
    await expect(stream.act({ observation }, { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow(
      'before',
    );
  });

  test('the signal of a stream ends it, with everything that is pending', async () => {
    const { open, events } = await scripted(() => {});
    const abort = new AbortController();
    const stream = open({ signal: abort.signal });
    const pending = stream.act({ observation, fallback: 'safe' });
    const reason = new Error('stop');
    abort.abort(reason);
    await expect(pending).rejects.toBe(reason);
    await expect(stream.act({ observation })).rejects.toBe(reason);
    expect([stream.closed, stream.ended, stream.error]).toEqual([true, true, reason]);
    expect(events).toEqual([{ kind: 'ended', error: reason }]);
  });

  test('closing the client ends its streams and single calls', async () => {
    const { open, client, calls } = await scripted(() => {});
    const stream = open();
    const pending = stream.act({ observation });
    await until(() => calls[0]?.requests.length === 1);
    const error = {
      kind: 'cancelled',
      message: 'ActStream: expected an open client, got one that was closed. Create another',
    };
    client.close();
    await expect(pending).rejects.toMatchObject(error);
    await expect(stream.act({ observation })).rejects.toMatchObject(error);
    await expect(client.listModels()).rejects.toMatchObject({ kind: 'cancelled' });
    expect([stream.closed, stream.ended]).toEqual([true, true]);
    client.close();
  });

  test('close ends a stream whose server never does', async () => {
    const { open } = await scripted(() => {}, { neverEnds: true });
    const stream = open();
    const pending = stream.act({ observation }, { timeoutMs: 20 });
    const closed = stream.close();
    expect([stream.closed, stream.ended]).toEqual([true, false]);
    await expect(pending).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    await closed;
    expect([stream.ended, stream.error]).toEqual([true, undefined]);
    await expect(stream.act({ observation })).rejects.toMatchObject({
      kind: 'failed_precondition',
      message: 'ActStream: the stream has ended: expected an open one, got one that was closed. Open another',
    });
  });
});

describe('refusals', () => {
  test('a first act that is refused here rejects, and the stream begins with the next', async () => {
    const { open, calls } = await scripted(answers);
    const stream = open();
    const refused = stream.act({ observation: [1, Number.NaN, 3] });
    await expect(refused).rejects.toMatchObject({ kind: 'invalid_argument', where: 'Act observation[1]' });
    expect((await stream.act({ observation })).sequence).toBe(1n);
    expect(calls[0]!.requests[0]!.model).toBe('m');
  });

  test('a first act that the server refuses costs only itself', async () => {
    const { open, calls, events } = await scripted((request, call, index) => {
      if (index === 0) call.end(grpc.status.NOT_FOUND, 'ActStream model: expected one of "n", got "m"');
      else answers(request, call);
    });
    const stream = open();
    await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'not_found', where: 'ActStream model' });
    expect(stream.ended).toBe(false);
    expect((await stream.act({ observation })).version).toBe(7);
    expect(calls.map(({ requests }) => requests[0]!.model)).toEqual(['m', 'm']);
    expect(events).toEqual([]);
  });

  test('what a newer request took the place of is a kind of its own', async () => {
    const { open } = await scripted((request, call) => {
      if (request.sequence === 3n) answers(request, call);
    });
    const stream = open({ newestWins: true });
    const results = await Promise.allSettled([1, 2, 3].map(() => stream.act({ observation })));
    for (const result of results.slice(0, 2)) {
      expect(result).toMatchObject({
        reason: {
          kind: 'superseded',
          message: 'ActStream: expected the newest request, got one that a newer superseded',
        },
      });
    }
    expect(results[2]).toMatchObject({ value: { sequence: 3n } });
  });

  test('a stream is lost with its server unless it resumes: what follows says why', async () => {
    const { open, events } = await scripted((request, call) => {
      if (request.sequence === 1n) answers(request, call);
      else call.end(grpc.status.UNAVAILABLE, 'ActStream: expected a server that takes requests, got one that drains');
    });
    const stream = open();
    await stream.act({ observation });
    await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'unavailable' });
    expect([stream.ended, stream.closed, stream.error]).toMatchObject([true, false, { kind: 'unavailable' }]);
    await expect(stream.act({ observation })).rejects.toBe(stream.error);
    expect(events).toEqual([{ kind: 'ended', error: stream.error }]);
  });

  test('a request of a stream names no other model, version or client', async () => {
    const { open } = await scripted(answers);
    const request = { observation, model: 'other' };
    await expect(open().act(request)).rejects.toThrow(
      'Act model: expected that of the stream, "m", or none, got "other". Open a stream for each',
    );
  });
});

describe('resuming', () => {
  test('a stream goes on with its version, and says so', async () => {
    const { open, calls, events } = await scripted((request, call, index) => {
      if (index === 0 && request.sequence === 2n) call.end(grpc.status.UNAVAILABLE, 'gone');
      else answers(request, call);
    });
    const stream = open({ resume: true, label: 'stable', clientId: 'robot' });
    await stream.act({ observation });
    expect(stream.version).toBe(7);
    await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'unavailable' });
    expect(stream.ended).toBe(false);
    expect((await stream.act({ observation })).sequence).toBe(3n);
    expect(calls[0]!.requests[0]!.selection).toEqual({ case: 'label', value: 'stable' });
    expect(calls[1]!.requests[0]).toMatchObject({
      model: 'm',
      clientId: 'robot',
      selection: { case: 'version', value: 7 },
    });
    expect(events).toMatchObject([
      { kind: 'lost', error: { kind: 'unavailable' } },
      { kind: 'resumed', version: 7, lostMs: expect.any(Number) },
    ]);
  });

  test('one that follows asks for the newest again', async () => {
    const { open, calls } = await scripted((request, call, index) => {
      if (index === 0 && request.sequence === 2n) call.end(grpc.status.UNAVAILABLE, 'gone');
      else answers(request, call);
    });
    const stream = open({ resume: true, follow: true });
    await stream.act({ observation });
    await stream.act({ observation }).catch(() => {});
    await stream.act({ observation });
    expect(stream.version).toBeUndefined();
    expect(calls[1]!.requests[0]!.selection.case).toBeUndefined();
  });

  test('what a listener throws is an uncaught exception, and costs neither the stream nor the next events', async () => {
    const uncaught: unknown[] = [];
    process.setUncaughtExceptionCaptureCallback((error) => uncaught.push(error));
    onTestFinished(() => process.setUncaughtExceptionCaptureCallback(null));
    const { open } = await scripted((request, call, index) => {
      if (index === 0 && request.sequence === 2n) call.end(grpc.status.UNAVAILABLE, 'gone');
      else answers(request, call);
    });
    const told: string[] = [];
    const stream = open({
      resume: true,
      onEvent({ kind }) {
        told.push(kind);
        throw new Error(kind);
      },
    });
    await stream.act({ observation });
    await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'unavailable' });
    expect((await stream.act({ observation })).sequence).toBe(3n);
    await stream.close();
    expect(told).toEqual(['lost', 'resumed', 'ended']);
    expect(uncaught).toEqual(told.map((kind) => new Error(kind)));
  });

  test('a version that is gone is an error, not another version', async () => {
    const { open } = await scripted((request, call, index) => {
      if (index === 0 && request.sequence === 1n) answers(request, call);
      else if (index === 0) call.end(grpc.status.UNAVAILABLE, 'gone');
      else call.end(grpc.status.NOT_FOUND, 'ActStream version: expected one of 8, got 7');
    });
    const stream = open({ resume: true });
    await stream.act({ observation });
    await stream.act({ observation }).catch(() => {});
    await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'not_found' });
    await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'not_found' });
  });

  test('a call that stays silent is given up for another', async () => {
    const { open, calls, events } = await scripted((request, call, index) => {
      if (index > 0 || request.sequence === 1n) answers(request, call);
    });
    const stream = open({ resume: true });
    await stream.act({ observation });
    // Just the silence that is enough: it counts whole, however early the timer fires.
    const late = stream.act({ observation }, { timeoutMs: 1000 });
    await expect(late).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    await stream.act({ observation });
    expect(calls).toHaveLength(2);
    expect(events.map(({ kind }) => kind)).toEqual(['lost', 'resumed']);
  });
});

describe('fallbacks of the client', () => {
  const late = { timeoutMs: 30 };
  /** Answers the first, and nothing after it. */
  const once = (request: ActRequest, call: Call) => {
    if (request.sequence === 1n) answers(request, call);
  };

  test('hold: the last action that it got, with its age', async () => {
    const { open } = await scripted(once);
    const stream = open({ clientId: 'robot' });
    const first = await stream.act({ observation });
    const held = await stream.act({ observation, fallback: 'hold' }, late);
    expect(held).toMatchObject({ action: first.action, version: 7, sequence: 2n });
    expect(held.fallback).toMatchObject({ kind: 'hold', reason: 'timeout', ageMs: expect.any(Number) });
    expect(held.fallback!.ageMs).toBeGreaterThan(20);
  });

  test.each(['single call', 'stream'])('hold of a %s is the action as it came', async (kind) => {
    const { client, open } = await scripted(once);
    const stream = open({ clientId: 'robot' });
    let sequence = 0n;
    const single = { model: 'm', clientId: 'robot', fallback: 'hold' } as const;
    const act = (timeoutMs: number) =>
      kind === 'stream'
        ? stream.act({ observation, fallback: 'hold' }, { timeoutMs })
        : client.act({ ...single, observation, sequence: ++sequence }, { timeoutMs });
    /** As a caller that scales the action for its motors. */
    const scale = ({ action }: ActResult) => {
      action.values.fill(9);
      (action.shape as number[]).push(9);
    };
    const expected = { shape: [1, 2], values: Float32Array.of(0.5, 1) };
    scale(await act(60_000));
    for (let i = 0; i < 2; i++) {
      const held = await act(late.timeoutMs);
      expect(held).toMatchObject({ action: expected, fallback: { kind: 'hold' } });
      scale(held);
    }
  });

  test('hold without a client is refused also where there is no server', async () => {
    const { client, open, server } = await scripted(answers);
    const stream = open();
    await stream.act({ observation });
    await client.act({ model: 'm', observation });
    server.forceShutdown();
    const refused = {
      kind: 'invalid_argument',
      message: 'Act fallback: expected a clientId with hold, got none. Name the client, or use safe',
    };
    await until(() => stream.ended);
    await expect(stream.act({ observation, fallback: 'hold' })).rejects.toMatchObject(refused);
    for (const more of [{}, { clientId: '' }]) {
      const act = client.act({ model: 'm', observation, fallback: 'hold', ...more });
      await expect(act).rejects.toMatchObject(refused);
    }
  });

  test('safe: the action of the manifest, for every row', async () => {
    const { open } = await scripted(once);
    const stream = open();
    const rows = [observation, observation];
    let result: Awaited<ReturnType<typeof stream.act>> | undefined;
    // The first that is late may come before the model is described.
    while (result === undefined)
      result = await stream.act({ observation: rows, fallback: 'safe' }, late).catch(() => undefined);
    expect(result).toMatchObject({
      action: { shape: [2, 2], values: Float32Array.of(0.25, -0.5, 0.25, -0.5) },
      fallback: { kind: 'safe', reason: 'timeout', ageMs: 0 },
      version: 7,
    });
  });

  test('hold of another number of rows, or too old, is safe', async () => {
    const { open } = await scripted(once);
    const stream = open({ clientId: 'robot' });
    await stream.act({ observation, fallback: 'hold' }, { timeoutMs: 60_000 });
    const kindOf = async (rows: number[][], ageMsMax: number) => {
      for (;;) {
        const result = await stream
          .act({ observation: rows, fallback: 'hold' }, { ...late, ageMsMax })
          .catch(() => undefined);
        if (result !== undefined) return result.fallback!.kind;
      }
    };
    expect(await kindOf([observation, observation], 60_000)).toBe('safe');
    expect(await kindOf([observation], 60_000)).toBe('hold');
    expect(await kindOf([observation], 10)).toBe('safe');
  });

  /** What a request gets once there is something to give. */
  async function standIn(ask: () => Promise<ActResult>): Promise<ActResult> {
    for (;;) {
      const result = await ask().catch(() => undefined);
      if (result?.fallback !== undefined) return result;
    }
  }

  test('hold is of the version that is asked for, and safe where that gave none', async () => {
    const size = { model: 'm', policy: 'plain', critic: 'none', observationSize: 3, hiddenSize: 8 } as const;
    const { server, client } = await startTestServer([
      { ...size, actionSize: 2 },
      { ...size, actionSize: 3 },
    ]);
    const asked = { model: 'm', observation, clientId: 'robot', fallback: 'hold' } as const;
    const first = await client.act({ ...asked, version: 1 });
    const second = await client.act({ ...asked, version: 2 });
    expect([first.action.shape, second.action.shape]).toEqual([
      [1, 2],
      [1, 3],
    ]);
    const other = { ...asked, clientId: 'other' };
    await client.act({ ...other, version: 2 });
    // The safe action was asked for with the first act: after this it is there.
    await client.getModel({ model: 'm', version: 1 });
    await server.stop();
    const held = await client.act({ ...asked, version: 1 });
    expect(held).toMatchObject({ action: first.action, version: 1, fallback: { kind: 'hold', reason: 'unavailable' } });
    expect(await client.act({ ...asked, version: 2 })).toMatchObject({ action: second.action, version: 2 });
    expect(await client.act({ ...other, version: 1 })).toMatchObject({
      action: { shape: [1, 2] },
      fallback: { kind: 'safe' },
    });
  });

  test('hold of a stream that follows ends where another version with other specs answers', async () => {
    const wide = { action: { shape: [1, 3], data: floats(1, 2, 3) }, version: 8 };
    const { open } = await scripted((request, call) => {
      const { sequence } = request;
      if (sequence === 1n) answers(request, call);
      // Of the newer version there is only what the server gives in its place.
      if (sequence === 3n) {
        call.answer(response(sequence, { ...wide, fallbackTaken: { fallback: 2, reason: 'budget', ageMs: 0 } }));
      }
    });
    const stream = open({ clientId: 'robot', follow: true });
    await stream.act({ observation, fallback: 'hold' });
    const held = () => stream.act({ observation, fallback: 'hold' }, late);
    expect((await held()).fallback).toMatchObject({ kind: 'hold' });
    expect(await stream.act({ observation })).toMatchObject({ version: 8, fallback: { kind: 'safe' } });
    // The safe action that is known has two values as well.
    await expect(held()).rejects.toMatchObject({ kind: 'deadline_exceeded' });
  });

  test('an observation of another size, or another fingerprint, is of a model whose actions are not known', async () => {
    const { client, open } = await scripted((request, call) => {
      if (request.clientId === 'robot' && request.sequence === 1n) answers(request, call);
    });
    await open({ clientId: 'robot', follow: true }).act({ observation });
    const asked = { model: 'm', clientId: 'robot', fingerprint: 'a', sequence: 1n } as const;
    await client.act({ ...asked, observation });
    const next = (more: object) => client.act({ ...asked, observation, fallback: 'hold', sequence: 2n, ...more }, late);
    await expect(next({ observation: [...observation, 4] })).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    expect((await next({})).fallback).toMatchObject({ kind: 'hold' });
    expect((await standIn(() => next({ fingerprint: 'b' }))).fallback).toMatchObject({ kind: 'safe' });
  });

  test('hold without a model is of the handle that stands for it', async () => {
    const { client } = await scripted((request, call) => {
      if (request.sequence === 1n) answers(request, call);
    });
    const asked = { model: '', observation, clientId: 'robot', fallback: 'hold', sequence: 1n } as const;
    await client.act({ ...asked, contextHandle: 'a' });
    const next = (contextHandle: string) => client.act({ ...asked, contextHandle, sequence: 2n }, late);
    expect((await next('a')).fallback).toMatchObject({ kind: 'hold' });
    await expect(next('b')).rejects.toMatchObject({ kind: 'deadline_exceeded' });
  });

  test('an action that the server held for too long is replaced, or refused', async () => {
    const { open } = await scripted((request, call) =>
      call.answer(response(request.sequence, { fallbackTaken: { fallback: 3, reason: 'budget', ageMs: 5000 } })),
    );
    const stream = open({ clientId: 'robot' });
    expect((await stream.act({ observation })).fallback).toEqual({ kind: 'hold', reason: 'budget', ageMs: 5000 });
    const old = { ageMsMax: 4000 };
    await expect(stream.act({ observation }, old)).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: 'ActStream: expected an action of at most 4000 ms, got one of 5000 ms',
    });
    await until(() => true);
    let replaced: Awaited<ReturnType<typeof stream.act>> | undefined;
    while (replaced === undefined)
      replaced = await stream.act({ observation, fallback: 'hold' }, old).catch(() => undefined);
    expect(replaced.fallback).toEqual({ kind: 'safe', reason: 'age', ageMs: 0 });
  });

  test('no server at all: the error, as no action is known', async () => {
    const client = createPolicyClient({ address: '127.0.0.1:1' });
    onTestFinished(() => client.close());
    const stream = client.actStream({ model: 'm', timeoutMs: 5000 });
    await expect(stream.act({ observation, fallback: 'safe' })).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(client.act({ model: 'm', observation, fallback: 'safe' })).rejects.toMatchObject({
      kind: 'unavailable',
    });
  });

  test('after the loss of a stream that does not resume, too', async () => {
    const { open } = await scripted((request, call) => {
      if (request.sequence === 1n) answers(request, call);
      else call.end(grpc.status.UNAVAILABLE, 'gone');
    });
    const stream = open({ clientId: 'robot' });
    await stream.act({ observation });
    for (let i = 0; i < 2; i++) {
      const { fallback } = await stream.act({ observation, fallback: 'hold' });
      expect(fallback).toMatchObject({ kind: 'hold', reason: 'unavailable' });
    }
    expect(stream.ended).toBe(true);
  });

  test('an error that is about the request is no reason to act', async () => {
    const { open } = await scripted((request, call) =>
      call.answer(refusal(request.sequence, 'INVALID_ARGUMENT', 'Act observation: expected 4 values, got 3')),
    );
    await expect(open({ clientId: 'r' }).act({ observation, fallback: 'hold' })).rejects.toMatchObject({
      kind: 'invalid_argument',
    });
  });

  test.each<[string, object, object, object, number]>([
    ['of the act', {}, {}, { timeoutMs: 5000 }, 4_990_000],
    ['of the stream', {}, { timeoutMs: 5000 }, {}, 4_990_000],
    ['of the client', { timeoutMs: 5000 }, { timeoutMs: undefined }, {}, 4_990_000],
    ['by default', {}, { timeoutMs: undefined }, {}, 990_000],
  ])('a rule without a budget gives the server a little less than the time %s', async (_, client, stream, call, us) => {
    const { open, calls } = await scripted(answers, client);
    const opened = open(stream);
    const sent = () => calls.flatMap(({ requests }) => requests.map(({ budgetUs }) => budgetUs));
    // On a busy machine the first may be given up before it is sent.
    while (sent().length === 0) await opened.act({ observation, fallback: 'safe' }, call).catch(() => {});
    expect(sent()[0]).toBe(us);
  });

  test('a rule without a time of its own is taken by a server, too', async () => {
    const size = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
    const { client } = await startTestServer([{ model: 'm', policy: 'plain', critic: 'none', ...size }]);
    const stream = client.actStream({ model: 'm' });
    expect((await stream.act({ observation, fallback: 'safe' })).version).toBe(1);
  });
});

describe('what a server sends', () => {
  const from = 'expected a hyperpolicy server at 127\\.0\\.0\\.1:\\d+, got ';
  const action = (shape: number[], ...values: number[]) => ({ action: { shape, data: floats(...values) } });
  test.each([
    ['nothing', { action: undefined }, 'a response without action'],
    [
      'fewer bytes than its shape',
      action([1, 2], 1),
      'a response whose action has shape \\[1, 2\\] in 4 bytes for 1 rows',
    ],
    [
      'another number of rows',
      action([2, 1], 1, 2),
      'a response whose action has shape \\[2, 1\\] in 8 bytes for 1 rows',
    ],
    ['no rows', action([]), 'a response whose action has shape \\[\\]'],
    ['NaN', action([1, 2], 1, Number.NaN), 'a response whose action has NaN at 1'],
    ['infinity', action([1, 2], Number.NEGATIVE_INFINITY, 1), 'a response whose action has -Infinity at 0'],
    ['no version', { version: 0 }, 'a response without version'],
    ['no timing', { timing: undefined }, 'a response without timing'],
  ])('%s: the act rejects, and the stream goes on', async (_, more, text) => {
    const { open } = await scripted((request, call) =>
      call.answer(response(request.sequence, request.sequence === 1n ? more : {})),
    );
    const stream = open({ clientId: 'robot' });
    await expect(stream.act({ observation, fallback: 'hold' })).rejects.toMatchObject({
      kind: 'failed_precondition',
      message: expect.stringMatching(new RegExp(`^ActStream: ${from}${text}`)),
    });
    expect((await stream.act({ observation })).version).toBe(7);
  });

  test('an empty message ends the call, and no act waits for ever', async () => {
    const { open } = await scripted((_, call) => call.answer({}));
    await expect(open().act({ observation })).rejects.toThrow('a response with neither an answer nor an error');
  });

  test('a safe action that is not finite is not learned', async () => {
    const { open, client } = await scripted(() => {}, { safeAction: [Number.NaN, 0] });
    await expect(client.getModel({ model: 'm' })).rejects.toThrow(
      'a response whose safe action is not 2 finite values',
    );
    const ranged = await scripted(() => {}, { taskRange: { low: [0], high: [] } });
    await expect(ranged.client.getModel({ model: 'm' })).rejects.toThrow('a response whose task range is not whole');
    const stream = open();
    for (let i = 0; i < 3; i++) {
      await expect(stream.act({ observation, fallback: 'safe' }, { timeoutMs: 30 })).rejects.toMatchObject({
        kind: 'deadline_exceeded',
      });
    }
  });
});

describe('messages past the library', () => {
  test('a call that is answered shows its HTTP/2 stream, as this version of the library has it', async () => {
    const { client, server } = await scripted(answers);
    await client.act({ model: 'm', observation });
    const library = new grpc.Client(client.address, grpc.credentials.createInsecure());
    onTestFinished(() => library.close());
    const call = beginCall(library, '/hyperpolicy.v1.PolicyService/ActStream', Number.POSITIVE_INFINITY);
    const answered = new Promise<void>((resolve) => {
      call.start(new grpc.Metadata(), {
        onReceiveMetadata() {},
        onReceiveMessage: () => resolve(),
        onReceiveStatus() {},
      });
    });
    call.startRead();
    call.sendMessageWithContext({}, toBuffer(encodeActStreamRequest({ act: { model: 'm', sequence: 1n } })));
    await answered;
    expect(http2StreamOf(call)).toMatchObject({ id: expect.any(Number), destroyed: false });
    call.cancelWithStatus(grpc.status.CANCELLED, 'seen');
    server.forceShutdown();
  });

  test('one after the other and many at once are answered in order, and large ones whole', async () => {
    const size = 20_000;
    const { open } = await scripted(({ sequence }, call) =>
      call.answer(response(sequence, { action: { shape: [1, size], data: new Uint8Array(4 * size) } })),
    );
    const stream = open();
    for (let i = 0; i < 3; i++) await stream.act({ observation });
    const many = await Promise.all(Array.from({ length: 50 }, () => stream.act({ observation })));
    expect(many.map(({ sequence }) => Number(sequence))).toEqual(Array.from({ length: 50 }, (_, i) => i + 4));
    expect(many.every(({ action }) => action.values.length === size)).toBe(true);
    await stream.close();
  });

  test('many before the first is answered, and the end after them, arrive in order', async () => {
    const { open, calls } = await scripted(answers);
    const stream = open();
    const many = Array.from({ length: 20 }, () => stream.act({ observation }));
    const closed = stream.close();
    expect((await Promise.all(many)).map(({ sequence }) => Number(sequence))).toEqual(many.map((_, i) => i + 1));
    await closed;
    expect(calls[0]!.requests.map(({ model }) => model)).toEqual(['m', ...new Array(19).fill('')]);
  });

  test('an answer over the limit of bytes ends the stream as too large', async () => {
    const { client, open } = await scripted(
      ({ sequence }, call) => {
        const size = sequence < 3n ? 2 : 1000;
        call.answer(response(sequence, { action: { shape: [1, size], data: new Uint8Array(4 * size) } }));
      },
      { messageBytesMax: 1000 },
    );
    const stream = open();
    for (let i = 0; i < 2; i++) await stream.act({ observation });
    // An action of 4000 bytes and what is around it.
    const message = new RegExp(
      `^ActStream: expected a response of at most 1000 bytes from ${client.address}, got one of 40\\d\\d\\. Raise messageBytesMax`,
    );
    for (let i = 0; i < 2; i++) {
      await expect(stream.act({ observation })).rejects.toMatchObject({
        kind: 'resource_exhausted',
        where: 'ActStream',
        message: expect.stringMatching(message),
      });
    }
  });

  // Before the library has the stream, and after.
  test.each([0, 3])('after %d acts a request over the limit of bytes costs only itself', async (count) => {
    const { open, calls } = await scripted(answers, { messageBytesMax: 1000 });
    const stream = open();
    for (let i = 0; i < count; i++) await stream.act({ observation });
    const [before, refused, after] = [observation, new Float32Array(1000), observation].map((each) =>
      stream.act({ observation: each, fallback: 'safe' }),
    );
    await expect(refused).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message: expect.stringMatching(
        /^ActStream request: expected at most 1000 bytes, got 40\d\d\. Send fewer rows, or raise messageBytesMax on both sides$/,
      ),
    });
    expect([(await before!).sequence, (await after!).sequence]).toEqual([BigInt(count + 1), BigInt(count + 2)]);
    expect([calls.length, stream.ended]).toEqual([1, false]);
  });

  test('a single call over the limit of bytes is not sent', async () => {
    const { client } = await scripted(answers, { messageBytesMax: 1000 });
    await expect(client.act({ model: 'm', observation: new Float32Array(1000) })).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message: expect.stringMatching(/^Act request: expected at most 1000 bytes, got 40\d\d\. Send fewer rows/),
    });
  });
});

test.each(['single call', 'stream'])('what a %s waits for is answered by a server that drains', async (kind) => {
  let answer: (() => void) | undefined;
  const { client, open, server } = await scripted(
    (request, call) => {
      if (request.sequence === 1n) answers(request, call);
      else answer = () => answers(request, call);
    },
    // Of many pings in the wait below, the library would give everything up for the first.
    { keepaliveMs: 10, keepaliveTimeoutMs: 10, timeoutMs: 60_000 },
  );
  const stream = open();
  const act = (sequence: bigint) =>
    kind === 'stream' ? stream.act({ observation }) : client.act({ model: 'm', observation, sequence });
  await act(1n);
  const waiting = act(2n);
  await until(() => answer !== undefined);
  server.tryShutdown(() => {});
  await new Promise((resolve) => setTimeout(resolve, 500));
  answer!();
  expect(await waiting).toMatchObject({ sequence: 2n, fallback: undefined });
});

describe('metadata', () => {
  test('is the client’s, the stream’s, and a key for balancers: who asks, else the context, else the client', async () => {
    const { client, calls } = await scripted(answers);
    const key = () => calls.at(-1)!.metadata.get('hyperpolicy-routing-key')[0];
    const keyOf = async (options: Partial<ActStreamOptions>, fields: object = {}) => {
      await client.actStream({ model: 'm', ...options }).act({ observation, ...fields });
      return key();
    };
    expect(await keyOf({ clientId: 'robot-1', metadata: { 'x-lab': 'a' } })).toBe('robot-1');
    expect(calls.at(-1)!.metadata.get('x-lab')).toEqual(['a']);
    const byContext = await keyOf({}, { context: [1, 2] });
    expect(await keyOf({}, { context: Float32Array.of(1, 2) })).toBe(byContext);
    expect(await keyOf({}, { context: [1, 3] })).not.toBe(byContext);
    const own = await keyOf({});
    expect(await keyOf({}, { contextHandle: '0'.repeat(32) })).toBe(own);
    expect(await keyOf({ metadata: { 'hyperpolicy-routing-key': 'mine' } })).toBe('mine');
  });

  test('is what the client was created with, also where that is changed later', async () => {
    const given = { 'x-lab': 'a' };
    const { client, calls } = await scripted(answers, { metadata: given });
    given['x-lab'] = 'b';
    for (const metadata of [undefined, { 'x-own': 'c' }]) {
      await client.actStream({ model: 'm', ...(metadata && { metadata }) }).act({ observation });
      expect(calls.at(-1)!.metadata.get('x-lab')).toEqual(['a']);
    }
  });
});
