import { once } from 'node:events';
import { connect } from 'node:http2';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { createAdminClient } from '../../../clients/typescript/admin.ts';
import { openAccess } from '../../../server/access/access.ts';
import type { UnaryHandler } from '../../../server/call/rpc.ts';
import { parseServerConfig } from '../../../server/config.ts';
import { listenGrpc } from '../../../server/transport/grpc.ts';
import { unaryMethod } from '../../../server/transport/grpc-unary.ts';
import { peerWatchCountMax } from '../../../server/transport/health.ts';
import { createGate, ownGateCountMax } from '../../../server/transport/invocation.ts';
import { invalidArgument } from '../../../src/contract/errors.ts';
import { codeOf, type StatusName } from '../../../src/contract/status.ts';
import {
  HealthCheckRequestSchema,
  type HealthCheckResponse_ServingStatus,
  HealthCheckResponseSchema,
} from '../../../src/gen/grpc/health/v1/health_pb.ts';
import {
  ActRequestSchema,
  type ListModelsRequest,
  ListModelsRequestSchema,
  PolicyService,
} from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { ModelInferRequestSchema } from '../../../src/gen/inference/grpc_predict_v2_pb.ts';
import { rawCaller } from '../../compliance/raw-call.ts';
import { metricLines, metricsOfParts, plain, recordingLog, startTestServer, temporaryStore } from '../fixtures.ts';
import { acceptSettings, connectRaw, frameTypes } from '../raw-http2.ts';

const act = '/hyperpolicy.v1.PolicyService/Act';
const actBytes = toBinary(
  ActRequestSchema,
  create(ActRequestSchema, { model: 'plain', observation: { shape: [1, 3], data: new Uint8Array(12) } }),
);

describe('the gRPC listener', () => {
  test('a message that does not parse is INVALID_ARGUMENT', async () => {
    const { address } = await startTestServer([plain]);
    const call = rawCaller(address);
    for (const bytes of [Buffer.from([0xff, 0xff, 0xff]), Buffer.from([0x2a, 0x7f, 0x01]), Buffer.alloc(40, 0x0b)]) {
      expect(await call(act, bytes)).toEqual({
        status: 'INVALID_ARGUMENT',
        text: `Act: expected a hyperpolicy.v1.ActRequest message, got ${bytes.length} bytes that do not parse as one`,
      });
    }
    expect((await call(act, actBytes)).status).toBe('OK');
  });

  test('a message over the limit is RESOURCE_EXHAUSTED, and the server goes on', async () => {
    const { address } = await startTestServer([plain], { messageBytesMax: 2048 });
    const call = rawCaller(address);
    const result = await call(act, Buffer.alloc(4096));
    expect(result.status).toBe('RESOURCE_EXHAUSTED');
    expect('text' in result && result.text).toContain('2048');
    expect((await call(act, actBytes)).status).toBe('OK');
  });

  test('a response over the limit is RESOURCE_EXHAUSTED and names it', async () => {
    const { client } = await startTestServer([{ ...plain, observationSize: 1, actionSize: 64 }], {
      messageBytesMax: 8192,
    });
    const rows = Array.from({ length: 100 }, () => [0]);
    await expect(client.act({ model: 'plain', observation: rows })).rejects.toMatchObject({
      kind: 'resource_exhausted',
      // 100 rows of 64 float32 are 25,600 bytes beside the rest.
      message: expect.stringMatching(/^Act response: expected at most 8192 bytes, got 25\d\d\d\. Split the batch$/),
    });
  });

  test('a text that is cut inside a character reaches the client', async () => {
    const { address } = await startTestServer([plain]);
    const parameters = { x: { parameterChoice: { case: 'boolParam' as const, value: true } } };
    const request = create(ModelInferRequestSchema, {
      modelName: 'plain',
      inputs: [{ name: `${'a'.repeat(99)}\u{1f600}`, parameters }],
    });
    const infer = '/inference.GRPCInferenceService/ModelInfer';
    expect(await rawCaller(address)(infer, toBinary(ModelInferRequestSchema, request))).toEqual({
      status: 'INVALID_ARGUMENT',
      text: expect.stringMatching(/^ModelInfer a{99}\ufffd parameters: expected none/),
    });
  });

  test('a method that does not exist is UNIMPLEMENTED', async () => {
    const { address } = await startTestServer([plain]);
    expect((await rawCaller(address)('/hyperpolicy.v1.PolicyService/Nope', actBytes)).status).toBe('UNIMPLEMENTED');
  });

  test('counts calls by status', async () => {
    const server = await startTestServer([plain]);
    const call = rawCaller(server.address);
    await call(act, actBytes);
    await call(act, actBytes);
    await call(act, Buffer.from([0xff]));
    const labels = 'grpc_type="unary",grpc_service="hyperpolicy.v1.PolicyService",grpc_method="Act"';
    const metrics = await metricLines(server, 'grpc_server_');
    const read = (name: string, extra = '') => metrics[`${name}{${labels}${extra}}`];
    expect({
      started: read('grpc_server_started_total'),
      received: read('grpc_server_msg_received_total'),
      sent: read('grpc_server_msg_sent_total'),
      ok: read('grpc_server_handled_total', ',grpc_code="OK"'),
      invalid: read('grpc_server_handled_total', ',grpc_code="InvalidArgument"'),
      timed: read('grpc_server_handling_seconds_count'),
    }).toEqual({ started: 3, received: 3, sent: 2, ok: 2, invalid: 1, timed: 3 });
  });

  test('raw garbage on the port harms nobody', async () => {
    const { address, client } = await startTestServer([plain]);
    const session = connect(`http://${address}`);
    onTestFinished(() => session.destroy());
    session.on('error', () => {});
    const stream = session.request({ ':method': 'POST', ':path': act, 'content-type': 'application/grpc' });
    stream.on('error', () => {});
    stream.end(Buffer.from('this is no gRPC frame at all'));
    await once(stream, 'close');
    expect((await client.act({ model: 'plain', observation: [0, 0, 0] })).version).toBe(1);
  });
});

/** A listener with one method whose handler the test supplies. */
async function listenWith(handler: UnaryHandler<ListModelsRequest, object>, requestCountMax = 1024) {
  const config = parseServerConfig({ store: await temporaryStore(), port: 0 });
  const { log, lines } = recordingLog();
  const metrics = metricsOfParts();
  const method = unaryMethod(PolicyService.method.listModels, handler, {
    config,
    metrics,
    log,
    gate: createGate(requestCountMax),
    access: openAccess,
  });
  const listener = await listenGrpc([method], config, {
    port: 0,
    setting: 'port',
    metrics,
    log,
  });
  onTestFinished(() => listener.drain(0));
  const call = rawCaller(`127.0.0.1:${listener.port}`);
  const bytes = toBinary(ListModelsRequestSchema, create(ListModelsRequestSchema));
  return {
    lines,
    call: (deadlineMs?: number) => call('/hyperpolicy.v1.PolicyService/ListModels', bytes, deadlineMs),
    listener,
  };
}

test('a server that is full of requests answers its health checks and its admins, whose requests are bounded apart', async () => {
  const hyper = { ...plain, model: 'hyper', policy: 'hyper', contextSize: 1 } as const;
  const limits = { requestCountMax: 1, batchDelayMs: 10_000, adminPort: 0 };
  const started = await startTestServer([hyper, plain], limits);
  const { client, address, server } = started;
  const admin = createAdminClient({ address: `127.0.0.1:${server.adminPort}` });
  onTestFinished(() => admin.close());
  // It waits for others, for longer than the test takes.
  const waiting = client.prepare({ model: 'hyper', context: [1] });
  waiting.catch(() => {});
  const inFlight = 'hyperpolicy_requests_in_flight';
  await vi.waitFor(async () => expect(await metricLines(started, inFlight)).toEqual({ [inFlight]: 1 }), 20_000);
  const [serving, ofAdmin] = [rawCaller(address), rawCaller(`127.0.0.1:${server.adminPort}`)];
  const none = new Uint8Array(0);
  expect((await serving(act, actBytes)).status).toBe('RESOURCE_EXHAUSTED');
  for (const call of [serving, ofAdmin]) expect((await call('/grpc.health.v1.Health/Check', none)).status).toBe('OK');
  for (const probe of ['ServerLive', 'ServerReady']) {
    expect((await serving(`/inference.GRPCInferenceService/${probe}`, none)).status).toBe('OK');
  }
  await admin.setLabel('plain', 'stable', 1);
  const scans = await Promise.allSettled(
    Array.from({ length: 2 * ownGateCountMax }, () => admin.loadVersion('plain', 1)),
  );
  const refused = scans.flatMap((scan) => (scan.status === 'rejected' ? [scan.reason] : []));
  expect(refused.length).toBeGreaterThan(0);
  expect(refused.length).toBeLessThanOrEqual(ownGateCountMax);
  for (const reason of refused)
    expect(reason.message).toContain(`LoadVersion: expected at most ${ownGateCountMax} requests in flight`);
});

describe('unaryMethod', () => {
  test.each([
    [
      'thrown',
      () => {
        throw new Error('secret /etc/path');
      },
    ],
    [
      'rejected',
      async () => {
        throw new Error('secret /etc/path');
      },
    ],
  ])('an error that is %s by the server itself goes out as a fixed text and a request id', async (_, handler) => {
    const { call, lines } = await listenWith(handler);
    const result = await call();
    expect(result).toEqual({
      status: 'INTERNAL',
      text: expect.stringMatching(/^internal fault of the server, request [0-9a-f]{16}: its log has the cause$/),
    });
    const id = /request ([0-9a-f]{16})/.exec('text' in result ? result.text : '')![1];
    expect(lines.find(({ requestId }) => requestId === id)).toMatchObject({ err: { message: 'secret /etc/path' } });
  });

  test('of the errors that come after an answer only faults are logged: one line in 10 s', async () => {
    const { call, lines } = await listenWith((_, one) => {
      one.failLate(invalidArgument({ where: 'x', expected: 'y', actual: 'z' }));
      for (const text of ['secret /etc/path', 'another']) one.failLate(new Error(text));
      return {};
    });
    expect((await call()).status).toBe('OK');
    expect(lines).toMatchObject([
      {
        level: 50,
        msg: 'run failed after its answer was due',
        reason: 'internal fault',
        requestCount: 1,
        method: 'ListModels',
        requestId: expect.stringMatching(/^[0-9a-f]{16}$/),
        err: { message: 'secret /etc/path' },
      },
    ]);
  });

  test('one request more than the limit is refused, and names it', async () => {
    const release: (() => void)[] = [];
    const { call } = await listenWith(() => new Promise((resolve) => release.push(() => resolve({}))), 2);
    const first = call();
    const second = call();
    while (release.length < 2) await new Promise((resolve) => setImmediate(resolve));
    expect(await call()).toEqual({
      status: 'RESOURCE_EXHAUSTED',
      text: 'ListModels: expected at most 2 requests in flight, got one more. Retry with backoff',
    });
    for (const finish of release) finish();
    expect([(await first).status, (await second).status]).toEqual(['OK', 'OK']);
    const third = call();
    while (release.length < 3) await new Promise((resolve) => setImmediate(resolve));
    release[2]!();
    expect((await third).status).toBe('OK');
  });

  test.each<[string, UnaryHandler<ListModelsRequest, object>, string]>([
    ['answered at once', () => ({}), 'OK'],
    ['answered later', async () => ({}), 'OK'],
    ['refused', () => Promise.reject(invalidArgument({ where: 'x', expected: 'y', actual: 'z' })), 'INVALID_ARGUMENT'],
  ])('a request that is %s is counted out once, also where the library fails to send it', async (_, handler, code) => {
    const gate = createGate(1);
    const { log, lines } = recordingLog();
    const metrics = metricsOfParts();
    const deps = { config: parseServerConfig({}), metrics, log, gate, access: openAccess };
    const { implementation } = unaryMethod(PolicyService.method.listModels, handler, deps);
    const answers: unknown[] = [];
    await new Promise<void>((resolve) => {
      const call = { request: Buffer.alloc(0), metadata: new grpc.Metadata(), getDeadline: () => Infinity };
      (implementation as (one: object, callback: (error: unknown) => void) => void)(call, (error) => {
        answers.push(error);
        // Once the method has seen what it throws, and could call again.
        setImmediate(resolve);
        throw new Error('the stream is gone');
      });
    });
    expect([answers.length, gate.count]).toEqual([1, 0]);
    expect(lines.filter(({ level }) => level === 50)).toMatchObject([
      { msg: 'answer not sent', method: 'ListModels', err: { message: 'the stream is gone' } },
    ]);
    const handled = (await metrics.registry.metrics())
      .split('\n')
      .filter((line) => /handled_total\{.* [1-9]/.test(line));
    expect(handled).toEqual([expect.stringContaining(`grpc_code="${codeOf(code as StatusName)}"} 1`)]);
  });

  test('draining lets a request in flight finish', async () => {
    let release = () => {};
    const entered = new Promise<void>((enter) => {
      release = enter;
    });
    let finish = () => {};
    const { call, listener } = await listenWith(() => {
      release();
      return new Promise((resolve) => {
        finish = () => resolve({});
      });
    });
    const answer = call();
    await entered;
    const drained = listener.drain(10_000);
    finish();
    expect((await answer).status).toBe('OK');
    await drained;
  });

  test('draining cuts what does not finish in time', async () => {
    let release = () => {};
    const entered = new Promise<void>((enter) => {
      release = enter;
    });
    const { call, listener } = await listenWith(() => {
      release();
      return new Promise(() => {});
    });
    const answer = call();
    await entered;
    const startMs = performance.now();
    await listener.drain(20);
    expect((await answer).status).toBe('CANCELLED');
    // Not the 20 s after which the call would end by itself.
    expect(performance.now() - startMs).toBeLessThan(15_000);
  });
});

describe('health', () => {
  const check = '/grpc.health.v1.Health/Check';
  const request = (service: string) =>
    toBinary(HealthCheckRequestSchema, create(HealthCheckRequestSchema, { service }));

  test('serves the server and its service, and knows no other', async () => {
    const { address } = await startTestServer([plain]);
    const call = rawCaller(address);
    for (const service of ['', 'hyperpolicy.v1.PolicyService']) {
      const result = await call(check, request(service));
      expect('bytes' in result && fromBinary(HealthCheckResponseSchema, result.bytes).status).toBe(1);
    }
    expect(await call(check, request('other'))).toMatchObject({ status: 'NOT_FOUND' });
  });

  test('Watch tells the status now and when the server drains', async () => {
    const { address, server } = await startTestServer([plain], { drainMs: 20_000 });
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const statuses: HealthCheckResponse_ServingStatus[] = [];
    const stream = client.makeServerStreamRequest(
      '/grpc.health.v1.Health/Watch',
      (bytes: Buffer) => bytes,
      (bytes: Buffer) => fromBinary(HealthCheckResponseSchema, bytes).status,
      Buffer.from(request('')),
    );
    stream.on('error', () => {});
    stream.on('data', (status: HealthCheckResponse_ServingStatus) => statuses.push(status));
    await once(stream, 'data');
    const ended = once(stream, 'end');
    const startMs = performance.now();
    await server.stop();
    await ended;
    expect(statuses).toEqual([1, 2]);
    // The watcher does not hold up the end until it is cut.
    expect(performance.now() - startMs).toBeLessThan(10_000);
  });

  test('a watch that the drain ends is counted once', async () => {
    const started = await startTestServer([plain], { drainMs: 20_000 });
    // Keeps the server draining until its metrics are read: a call that is open and has not asked yet.
    const holder = await connectRaw(started.address);
    await acceptSettings(holder);
    holder.open(1, check);
    holder.send({ type: frameTypes.ping, body: Buffer.alloc(8) });
    await holder.until(({ type, flags }) => type === frameTypes.ping && flags === 1);
    const client = new grpc.Client(started.address, grpc.credentials.createInsecure());
    const bytes = (message: Buffer) => message;
    const stream = client.makeServerStreamRequest(
      '/grpc.health.v1.Health/Watch',
      bytes,
      bytes,
      Buffer.from(request('')),
    );
    stream.on('error', () => {});
    await once(stream, 'data');
    const ended = once(stream, 'end');
    stream.on('data', () => {});
    const stopped = started.server.stop();
    await ended;
    client.close();
    const connections = async () => (await metricLines(started, 'hyperpolicy_connections ')).hyperpolicy_connections;
    await expect.poll(connections, { timeout: 20_000 }).toBe(1);
    const handled = await metricLines(started, 'grpc_server_handled_total{grpc_type="server_stream"');
    expect(Object.entries(handled).filter(([, count]) => count > 0)).toEqual([
      [expect.stringContaining('grpc_method="Watch",grpc_code="OK"'), 1],
    ]);
    holder.socket.destroy();
    await stopped;
  });

  test.each([
    [0, 'Watch: expected a request, got none'],
    [2, 'Watch: expected one request, got another'],
  ])('a watch with %i requests is refused', async (requestCount, details) => {
    const { address } = await startTestServer([plain]);
    const client = new grpc.Client(address, grpc.credentials.createInsecure());
    onTestFinished(() => client.close());
    const bytes = (message: Buffer) => message;
    const stream = client.makeBidiStreamRequest('/grpc.health.v1.Health/Watch', bytes, bytes);
    const failed = new Promise((resolve) => stream.on('error', resolve));
    stream.on('data', () => {});
    for (let i = 0; i < requestCount; i++) stream.write(Buffer.from(request('')));
    stream.end();
    expect(await failed).toMatchObject({ code: grpc.status.INVALID_ARGUMENT, details });
  });

  test('one watch more than a connection may have is refused; another connection has its own', async () => {
    const { address } = await startTestServer([plain]);
    const watch = (client: grpc.Client) => {
      const stream = client.makeServerStreamRequest(
        '/grpc.health.v1.Health/Watch',
        (bytes: Buffer) => bytes,
        (bytes: Buffer) => fromBinary(HealthCheckResponseSchema, bytes).status,
        Buffer.from(request('')),
      );
      const failed = new Promise<grpc.ServiceError>((resolve) => stream.on('error', resolve));
      return { stream, failed, told: new Promise((resolve) => stream.once('data', resolve)) };
    };
    const connected = () => {
      const client = new grpc.Client(address, grpc.credentials.createInsecure(), {
        'grpc.use_local_subchannel_pool': 1,
      });
      onTestFinished(() => client.close());
      return client;
    };
    const client = connected();
    const watches = Array.from({ length: peerWatchCountMax }, () => watch(client));
    for (const { told } of watches) expect(await told).toBe(1);
    expect(await watch(client).failed).toMatchObject({
      code: grpc.status.RESOURCE_EXHAUSTED,
      details: 'Watch: expected at most 16 watches on one connection, got one more',
    });
    expect(await watch(connected()).told).toBe(1);
    // A place that is given up is free again, once the server knows.
    watches[0]!.stream.cancel();
    await watches[0]!.failed;
    await rawCaller(address)(check, request(''));
    for (;;) {
      const again = watch(client);
      if ((await Promise.race([again.told, again.failed])) === 1) break;
    }
  });
});
