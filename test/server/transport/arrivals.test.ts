/** Messages that have not arrived whole: how long they may take, and how much of them there may be. */

import { createHash } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { writeFile } from 'node:fs/promises';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type Http2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type ServerHttp2Session,
} from 'node:http2';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { gzipSync } from 'node:zlib';
import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Arrivals, type Arriving, type Held, watchArrival } from '../../../server/transport/arrivals.ts';
import { frameOf } from '../../../src/contract/grpc-frames.ts';
import { ActRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { TensorSchema } from '../../../src/gen/hyperpolicy/v1/tensor_pb.ts';
import { metricLines, plain, recordingLog, startTestServer, temporaryStore } from '../fixtures.ts';

const mebibyte = 2 ** 20;

/** Arrivals whose looks are driven by hand, and calls of one connection or several. */
function setUp(messageBytesMax = 4 * mebibyte) {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { log, lines } = recordingLog();
  const arrivals = new Arrivals(messageBytesMax, log);
  const connection = () => {
    const streams = new Set<Http2Stream>();
    const session = new EventEmitter() as ServerHttp2Session;
    onTestFinished(() => void session.emit('close'));
    arrivals.watch(session, streams);
    return (held: Partial<Held> = {}) => {
      const call = {
        held: { index: 0, bytes: 0, isAwaited: true, ...held } as Held | undefined,
        check: vi.fn(),
        refuse: vi.fn((_error: unknown) => {
          call.held = undefined;
        }),
        look: (): Held | undefined => call.held,
      } satisfies Arriving & { held: Held | undefined };
      const stream = {} as Http2Stream;
      watchArrival(stream, call);
      streams.add(stream);
      return call;
    };
  };
  const pass = (seconds: number) => vi.advanceTimersByTime(1000 * seconds);
  return { connection, pass, lines };
}

describe('a message', () => {
  test('of which nothing comes for 10 s ends its call', () => {
    const { connection, pass, lines } = setUp();
    const call = connection()({ bytes: 1000 });
    pass(10);
    expect(call.refuse).not.toHaveBeenCalled();
    pass(0.25);
    expect(call.refuse).toHaveBeenCalledOnce();
    expect(call.refuse).toHaveBeenCalledWith(
      expect.objectContaining({
        kind: 'deadline_exceeded',
        message: 'message: expected some of it in 10 s and all of it in 60 s, got 1000 bytes in 10 s. Send less in one',
      }),
    );
    expect(lines).toMatchObject([
      { msg: 'calls ended whose message had not arrived whole', reason: 'slow', callCount: 1, bytes: 1000 },
    ]);
  });

  test('that grows has 60 s, or 15 s for each MiB that it may have', () => {
    for (const [messageBytesMax, seconds] of [
      [4 * mebibyte, 60],
      [8 * mebibyte, 120],
    ] as const) {
      const { connection, pass } = setUp(messageBytesMax);
      const call = connection()();
      for (let second = 0; second < seconds; second++) {
        pass(1);
        expect(call.refuse).not.toHaveBeenCalled();
        call.held = { ...call.held!, bytes: second };
      }
      pass(0.25);
      expect(call.refuse).toHaveBeenCalledOnce();
    }
  });

  test('that the server does not read takes no time, and each message of a stream has its own', () => {
    const { connection, pass } = setUp();
    const open = connection();
    const paused = open({ bytes: 1000, isAwaited: false });
    const streaming = open({ bytes: 1000 });
    for (let index = 1; index < 20; index++) {
      pass(9);
      streaming.held = { index, bytes: 1000, isAwaited: true };
    }
    for (const call of [paused, streaming]) expect(call.refuse).not.toHaveBeenCalled();
    paused.held = { ...paused.held!, isAwaited: true };
    pass(10);
    expect(paused.refuse).toHaveBeenCalledOnce();
  });

  test('of a caller without access ends its call at the first look; a known one is asked once', () => {
    const { connection, pass } = setUp();
    const open = connection();
    const [stranger, known] = [open({ bytes: 1 }), open({ bytes: 1 })];
    const error = new Error('who?');
    stranger.check.mockImplementation(() => {
      throw error;
    });
    pass(5);
    expect(stranger.refuse).toHaveBeenCalledWith(error);
    expect(known.check).toHaveBeenCalledOnce();
    expect(known.refuse).not.toHaveBeenCalled();
  });
});

describe('bytes of messages that are not whole', () => {
  test.each([
    { messageBytesMax: 4 * mebibyte, bytesMax: 64 },
    { messageBytesMax: 64 * mebibyte, bytesMax: 256 },
  ])('of one connection are $bytesMax MiB at most, where a message may have $messageBytesMax bytes', (bound) => {
    const { connection, pass, lines } = setUp(bound.messageBytesMax);
    const open = connection();
    const calls = Array.from({ length: 8 }, () => open({ bytes: (bound.bytesMax / 8) * mebibyte }));
    pass(1);
    for (const call of calls) expect(call.refuse).not.toHaveBeenCalled();
    // The one that takes longest ends, not the one that is too many; what holds nothing is left alone.
    const [empty, last] = [open(), open({ bytes: 1 })];
    pass(0.25);
    expect([...calls, empty, last].map(({ refuse }) => refuse.mock.calls.length)).toEqual([
      ...[1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    ]);
    expect(calls[0]!.refuse.mock.calls[0]).toMatchObject([
      {
        kind: 'resource_exhausted',
        message:
          `messages on one connection that have not arrived whole: expected at most ${bound.bytesMax} MiB, ` +
          `got ${bound.bytesMax + 1} MiB. Send fewer large messages at once`,
      },
    ]);
    expect(lines).toMatchObject([{ reason: 'too_many_bytes', callCount: 1 }]);
  });

  test('of all connections are four times as many', () => {
    const { connection, pass } = setUp();
    const calls = Array.from({ length: 5 }, () => connection()({ bytes: 60 * mebibyte }));
    pass(0.25);
    expect(calls.filter(({ refuse }) => refuse.mock.calls.length === 1)).toHaveLength(1);
    pass(5);
    expect(calls.filter(({ refuse }) => refuse.mock.calls.length === 1)).toHaveLength(1);
  });
});

describe('over gRPC', () => {
  const opened = (session: ClientHttp2Session, method: string, headers: Record<string, string> = {}) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/hyperpolicy.v1.PolicyService/${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      ...headers,
    });
    stream.on('error', () => {});
    // Without an answer before it the status stands in the headers.
    const ended = new Promise<string>((resolve) => {
      const look = (fields: IncomingHttpHeaders & IncomingHttpStatusHeader) => {
        if (!('grpc-status' in fields)) return;
        resolve(`${grpc.status[Number(fields['grpc-status'])]}: ${decodeURI(`${fields['grpc-message']}`)}`);
      };
      stream.on('response', look);
      stream.on('trailers', look);
    });
    return { stream, ended };
  };

  const sessionOf = (address: string) => {
    // As much as it takes: by default its own side refuses answers while 10 MB wait to be sent.
    const session = connect(`http://${address}`, { maxSessionMemory: 1000 });
    onTestFinished(() => session.destroy());
    session.on('error', () => {});
    return session;
  };

  /** A message of so many bytes without its last thousand. */
  const begun = (bytes: number) => {
    const head = Buffer.alloc(5);
    head.writeUInt32BE(bytes, 1);
    return Buffer.concat([head, Buffer.alloc(bytes - 1000)]);
  };

  test('who does not send the rest of a message learns the limit, in all ways to call', {
    timeout: 60_000,
  }, async () => {
    const server = await startTestServer([plain]);
    const session = sessionOf(server.address);
    const startMs = performance.now();
    const ways = { Act: {}, ActStream: {}, 'ActStream ': { 'grpc-encoding': 'gzip' } };
    const silent = Object.entries(ways).map(([method, headers]) => {
      const { stream, ended } = opened(session, method.trim(), headers);
      stream.write(begun(2000));
      return ended;
    });
    // Between two messages a stream may be silent.
    const used = server.client.actStream({ model: 'plain' });
    await used.act({ observation: [0.1, 0.2, 0.3] });
    const [unary, frames, unpacked] = await Promise.all(silent);
    expect(performance.now() - startMs).toBeGreaterThan(9500);
    expect(unary).toMatch(
      /^DEADLINE_EXCEEDED: message: expected some of it in 10 s and all of it in 60 s, got 1000 bytes in 10.*s. Send less in one$/,
    );
    expect(frames).toMatch(/^DEADLINE_EXCEEDED: message: expected .*, got 1005 bytes in 10/);
    expect(unpacked).toMatch(/^DEADLINE_EXCEEDED: message: expected .*, got 1000 bytes in 10/);
    await used.act({ observation: [0.1, 0.2, 0.3] });
    const late = async (metric: string) =>
      Object.entries(await metricLines(server, metric)).flatMap(([line, count]) =>
        line.includes('"DeadlineExceeded"') && count > 0 ? [[/method="(\w+)"/.exec(line)![1], count]] : [],
      );
    expect(await late('grpc_server_handled_total')).toEqual([
      ['Act', 1],
      ['ActStream', 2],
    ]);
    expect(await late('hyperpolicy_requests_total')).toEqual([['Act', 1]]);
  });

  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');

  test('calls that hold more than 64 MiB of one connection end, and what they held is free', async () => {
    const server = await startTestServer([plain]);
    const session = sessionOf(server.address);
    // What other tests left is not to go in this one.
    collect();
    const bytesBefore = process.memoryUsage().arrayBuffers;
    const calls = Array.from({ length: 40 }, () => {
      const call = opened(session, 'Act');
      call.stream.write(begun(4 * mebibyte));
      return call;
    });
    let endedCount = 0;
    for (const { ended } of calls) void ended.then(() => endedCount++);
    expect(await Promise.race(calls.map(({ ended }) => ended))).toMatch(
      /^RESOURCE_EXHAUSTED: messages on one connection that have not arrived whole: expected at most 64 MiB, got \d+ MiB/,
    );
    const bytes = () => {
      collect();
      return process.memoryUsage().arrayBuffers - bytesBefore;
    };
    await expect.poll(() => endedCount, { timeout: 8000 }).toBe(24);
    await expect.poll(bytes, { timeout: 8000 }).toBeLessThan(80 * mebibyte);
    expect(bytes()).toBeGreaterThan(60 * mebibyte);
    const note = server.lines.find(({ reason }) => reason === 'too_many_bytes');
    expect(note).toMatchObject({ msg: 'calls ended whose message had not arrived whole' });
    expect((await server.client.act({ model: 'plain', observation: [0.1, 0.2, 0.3] })).version).toBe(1);
  });

  test('a compressed message that is whole, but not its call, counts as what it may be unpacked to', async () => {
    const server = await startTestServer([plain]);
    const session = sessionOf(server.address);
    const packed = frameOf(gzipSync(Buffer.alloc(4 * mebibyte)));
    packed[0] = 1;
    let endedCount = 0;
    for (let i = 0; i < 40; i++) {
      const { stream, ended } = opened(session, 'Act', { 'grpc-encoding': 'gzip' });
      stream.write(packed);
      void ended.then((status) => {
        if (status.startsWith('RESOURCE_EXHAUSTED: messages on one connection')) endedCount++;
      });
    }
    await expect.poll(() => endedCount, { timeout: 8000 }).toBe(24);
    expect((await server.client.act({ model: 'plain', observation: [0.1, 0.2, 0.3] })).version).toBe(1);
  });

  const robotHeaders = { authorization: 'Bearer robot-token' };

  /** A server that knows the robot's token alone. */
  async function startForRobot() {
    const store = await temporaryStore([plain]);
    const tokensFile = join(store, 'tokens.json');
    const sha256 = createHash('sha256').update('robot-token').digest('hex');
    await writeFile(tokensFile, JSON.stringify([{ name: 'robot', sha256 }]));
    return startTestServer([], { store, tokensFile });
  }

  test('a stranger is told so before its message is whole; whose token is known may send on', async () => {
    const { address } = await startForRobot();
    const session = sessionOf(address);
    const [stranger, robot] = [opened(session, 'Act'), opened(session, 'Act', robotHeaders)];
    let isEnded = false;
    robot.stream.once('response', () => {
      isEnded = true;
    });
    for (const { stream } of [robot, stranger]) stream.write(begun(2000));
    expect(await stranger.ended).toBe(
      'UNAUTHENTICATED: Act: expected a header "authorization: Bearer TOKEN" with a known token, got none',
    );
    expect(isEnded).toBe(false);
  });

  /** A request of 3 MiB, nearly all in a field that the server does not know. */
  const largeRequest = () => {
    const data = new Uint8Array(new Float32Array([0.1, 0.2, 0.3]).buffer);
    const observation = create(TensorSchema, { shape: [1, 3], data });
    const known = toBinary(ActRequestSchema, create(ActRequestSchema, { model: 'plain', observation }));
    const unknown = new BinaryWriter()
      .tag(1000, WireType.LengthDelimited)
      .bytes(Buffer.alloc(3 * mebibyte))
      .finish();
    return frameOf(Buffer.concat([known, unknown]));
  };

  test('a stranger is told so before a compressed message is unpacked; with a known token it is unpacked', async () => {
    const server = await startForRobot();
    const session = sessionOf(server.address);
    const ask = (headers: Record<string, string>, packed: Buffer) => {
      const { stream, ended } = opened(session, 'Act', { 'grpc-encoding': 'gzip', ...headers });
      const frame = frameOf(packed);
      frame[0] = 1;
      stream.end(frame);
      return ended;
    };
    const garbage = Buffer.from('not what gzip makes');
    const unknown = 'UNAUTHENTICATED: Act: expected a header "authorization: Bearer TOKEN" with a known token, got';
    expect(await ask({}, garbage)).toBe(`${unknown} none`);
    expect(await ask({ authorization: 'Bearer other' }, garbage)).toContain(`${unknown} `);
    expect(await ask(robotHeaders, garbage)).toBe('INTERNAL: Failed to decompress message');
    expect(await ask(robotHeaders, gzipSync(largeRequest().subarray(5)))).toBe('OK: OK');
    const counted = await metricLines(server, 'hyperpolicy_requests_total{method="Act"');
    const refused = Object.entries(counted).filter(([line, count]) => line.includes('"Unauthenticated"') && count > 0);
    expect(refused.map(([, count]) => count)).toEqual([2]);
  });

  test.each(['identity', 'gzip'])(
    'streams that were refused are over, though their clients leave them open (%s)',
    async (encoding) => {
      // Looks are driven by an interval, so those of 10 s can be had at once.
      vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
      onTestFinished(() => void vi.useRealTimers());
      const pass = (seconds: number) => vi.advanceTimersByTime(1000 * seconds);
      const server = await startTestServer([plain]);
      const session = sessionOf(server.address);
      const ping = promisify((answered: (error: Error | null) => void) => session.ping(answered));
      /** Resolves when the server has read it: the answer to the ping comes after that. */
      const arrived = async (streams: readonly ClientHttp2Stream[], bytes: Buffer) => {
        await Promise.all(streams.map((stream) => new Promise((sent) => stream.write(bytes, sent))));
        await ping();
      };
      const calls = Array.from({ length: 21 }, () => opened(session, 'ActStream', { 'grpc-encoding': encoding }));
      await arrived(
        calls.map(({ stream }) => stream),
        begun(3 * mebibyte),
      );
      pass(10.5);
      for (const { ended } of calls)
        expect(await ended).toMatch(/^DEADLINE_EXCEEDED: message: expected some of it in 10 s/);

      // With the 63 MiB of those streams these would be more than a connection may hold.
      const upload = opened(session, 'Act');
      const request = largeRequest();
      await arrived([upload.stream], request.subarray(0, 2 * mebibyte));
      pass(9);
      upload.stream.end(request.subarray(2 * mebibyte));
      expect(await upload.ended).toBe('OK: OK');

      pass(10.5);
      const counted = async (metric: string) => {
        const lines = Object.entries(await metricLines(server, metric));
        return lines.flatMap(([line, count]) => (line.includes('"ActStream"') && count > 0 ? [count] : []));
      };
      expect(await counted('grpc_server_started_total')).toEqual([21]);
      expect(await counted('grpc_server_handled_total')).toEqual([21]);
    },
  );
});
