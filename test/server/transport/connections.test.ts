import { EventEmitter, once } from 'node:events';
import http2 from 'node:http2';
import { connect, type Socket } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { createPingPolice } from '../../../server/transport/grpc-connections.ts';
import { Readers } from '../../../server/transport/readers.ts';
import { metricLines, plain, startTestServer } from '../fixtures.ts';
import { acceptSettings, connectRaw, frameTypes, goawayOf } from '../raw-http2.ts';

const observation = [0.1, 0.2, 0.3];
/** HTTP/2's error code ENHANCE_YOUR_CALM. */
const calm = 11;
/** HTTP/2's error code REFUSED_STREAM. */
const refusedStream = 7;
const act = '/hyperpolicy.v1.PolicyService/Act';

const isGoaway = ({ type }: { type: number }) => type === frameTypes.goaway;
const isPing = ({ type, flags }: { type: number; flags: number }) => type === frameTypes.ping && flags === 0;

/** Resolves when the other side holds the connection no more: not when it has only said that it sends nothing more. */
function gone(socket: Socket): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  socket.on('error', () => {});
  socket.resume();
  socket.once('end', () => {
    timer = setInterval(() => socket.write(Buffer.alloc(1)), 20);
  });
  return new Promise((resolve) =>
    socket.once('close', () => {
      clearInterval(timer);
      resolve();
    }),
  );
}

/** Reads the metrics until this holds. */
async function eventually(read: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 200; i++) {
    if (await read()) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect.fail('it does not come to hold');
}

test('one connection more than the bound is cut before anything is said; a free place is given away again', async () => {
  const server = await startTestServer([plain], { connectionCountMax: 2 });
  const first = await connectRaw(server.address);
  const second = await connectRaw(server.address);
  for (const peer of [first, second]) await acceptSettings(peer);
  const third = await connectRaw(server.address);
  await third.closed;
  expect(third.frames).toEqual([]);
  expect(await metricLines(server, 'hyperpolicy_connections')).toEqual({
    hyperpolicy_connections: 2,
    'hyperpolicy_connections_ended_total{reason="too_many"}': 1,
    'hyperpolicy_connections_ended_total{reason="pings"}': 0,
    'hyperpolicy_connections_ended_total{reason="stalled"}': 0,
  });
  expect(server.lines.find(({ msg }) => msg === 'connections ended')).toMatchObject({
    reason: 'too_many',
    connectionCount: 1,
    connectionCountMax: 2,
  });
  first.socket.destroy();
  await eventually(async () => (await metricLines(server, 'hyperpolicy_connections')).hyperpolicy_connections === 1);
  expect((await server.client.act({ model: 'plain', observation })).version).toBe(1);
});

test('a crowd of connections is refused without holding more than the bound and a few', async () => {
  const server = await startTestServer([plain], { connectionCountMax: 1 });
  expect((await server.client.act({ model: 'plain', observation })).version).toBe(1);
  // Silent ones, which begin no HTTP/2 at all and do not leave when they are told to.
  const crowd = Array.from({ length: 100 }, () => {
    const socket = connect({ port: server.server.port, host: '127.0.0.1', allowHalfOpen: true });
    onTestFinished(() => {
      socket.destroy();
    });
    return gone(socket);
  });
  await Promise.all(crowd);
  expect(await metricLines(server, 'hyperpolicy_connections')).toMatchObject({
    hyperpolicy_connections: 1,
    'hyperpolicy_connections_ended_total{reason="too_many"}': 100,
  });
  expect(server.lines.filter(({ msg }) => msg === 'connections ended')).toHaveLength(1);
  expect((await server.client.act({ model: 'plain', observation })).version).toBe(1);
});

test('several that come at once are told the bound', async () => {
  const server = await startTestServer([plain], { connectionCountMax: 1 });
  const [first, second] = [await connectRaw(server.address), await connectRaw(server.address)];
  await acceptSettings(first);
  await acceptSettings(second);
  expect(goawayOf(await second.until(isGoaway))).toEqual({
    code: calm,
    text: 'connections: expected at most 1 open in one process, got one more. Retry with backoff',
  });
  await second.closed;
});

test('silent peers keep no others out', async () => {
  const server = await startTestServer([plain], { connectionCountMax: 1, httpPort: 0, httpConnectionCountMax: 1 });
  const { port, httpPort, metricsPort } = server.server;
  const silent = [port, httpPort!, metricsPort].flatMap((one) =>
    Array.from({ length: 80 }, () => {
      const socket = connect({ port: one, host: '127.0.0.1' });
      socket.on('error', () => {});
      onTestFinished(() => {
        socket.destroy();
      });
      return socket;
    }),
  );
  // Sooner than silent peers are cut by themselves.
  const client = createPolicyClient({ address: server.address, connectTimeoutMs: 8000, timeoutMs: 8000 });
  onTestFinished(() => client.close());
  expect((await client.act({ model: 'plain', observation })).version).toBe(1);
  const asked = await fetch(`http://127.0.0.1:${httpPort}/hyperpolicy.v1.PolicyService/ListModels`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: '{}',
  });
  expect(asked.status).toBe(200);
  expect((await fetch(`http://127.0.0.1:${metricsPort}/healthz`)).status).toBe(200);
  for (const socket of silent) socket.destroy();
});

test('a peer that never speaks is cut, and so is one that leaves answers unread', { timeout: 60_000 }, async () => {
  const server = await startTestServer([plain]);
  const silent = connect({ port: server.server.port, host: '127.0.0.1' });
  const startMs = performance.now();
  const secondsTo = (end: Promise<unknown>) => end.then(() => (performance.now() - startMs) / 1000);
  const reader = http2.connect(`http://${server.address}`, { settings: { initialWindowSize: 0 } });
  reader.on('error', () => {});
  const headers = { ':method': 'POST', ':path': '/grpc.health.v1.Health/Check', 'content-type': 'application/grpc' };
  const call = reader.request({ ...headers, te: 'trailers' });
  call.on('error', () => {});
  call.end(Buffer.alloc(5));
  await once(call, 'response');
  const unread = 'hyperpolicy_requests_in_flight';
  await eventually(async () => (await metricLines(server, unread))[unread] === 1);
  const [silence, stall] = await Promise.all([secondsTo(gone(silent)), secondsTo(once(reader, 'close'))]);
  for (const seconds of [silence, stall]) expect(seconds).toBeGreaterThan(9.5);
  const stalled = 'hyperpolicy_connections_ended_total{reason="stalled"}';
  expect(await metricLines(server, stalled)).toEqual({ [stalled]: 1 });
  await eventually(async () => (await metricLines(server, unread))[unread] === 0);
});

test.each([
  [256, 12],
  [257, 1],
])('a connection with %i MiB of unread answers is cut after %i s', (mebibytes, seconds) => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const cut = vi.fn();
  const session = new EventEmitter() as http2.ServerHttp2Session;
  const socket = { bytesWritten: 0 };
  new Readers(cut).watch(session, socket as Socket);
  for (const share of [mebibytes - 1, 1]) {
    session.emit('stream', Object.assign(new EventEmitter(), { writableLength: share * 2 ** 20 }));
  }
  for (let second = 1; second <= seconds; second++) {
    expect(cut).not.toHaveBeenCalled();
    // It reads all the time.
    socket.bytesWritten += 20_000;
    vi.advanceTimersByTime(1000);
  }
  expect(cut).toHaveBeenCalledWith(socket);
  session.emit('close');
});

test('who leaves answers unread at the HTTP or the metrics port is cut', { timeout: 120_000 }, async () => {
  const { server } = await startTestServer([plain], { httpPort: 0 });
  // Zeros of 1024 rows with 3 float32, in base64.
  const body = `{"model":"plain","observation":{"shape":[1024,3],"data":"${'A'.repeat(16_384)}"}}`;
  const head = `host: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}`;
  const acts = `POST /hyperpolicy.v1.PolicyService/Act HTTP/1.1\r\n${head}\r\n\r\n${body}`;
  const get = 'GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n';
  const cut = async (port: number, request: string) => {
    const socket = connect({ port, host: '127.0.0.1' });
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {});
    // Nobody reads, so that the end shows only where something is written.
    socket.pause();
    const writing = setInterval(() => socket.write(socket.writableLength < 2 ** 20 ? request.repeat(10) : ''), 20);
    await new Promise((resolve) => socket.once('close', resolve));
    clearInterval(writing);
  };
  await Promise.all([cut(server.httpPort!, acts), cut(server.metricsPort, get)]);
});

test('a stream more than a connection may have is refused, and the others go on', async () => {
  const { address } = await startTestServer([plain], { connectionStreamCountMax: 3 });
  const peer = await connectRaw(address);
  for (const stream of [1, 3, 5, 7]) peer.open(stream, act);
  const { stream, body } = await peer.until(({ type }) => type === frameTypes.reset);
  expect([stream, body.readUInt32BE(0)]).toEqual([7, refusedStream]);
  // One of the three ends, by its client: there is room again.
  peer.send({ type: frameTypes.reset, stream: 3, body: Buffer.from([0, 0, 0, 8]) });
  peer.open(9, act);
  peer.send({ type: frameTypes.ping, body: Buffer.alloc(8) });
  await peer.until(({ type, flags }) => type === frameTypes.ping && flags === 1);
  expect(peer.frames.filter(({ type }) => type === frameTypes.reset || type === frameTypes.goaway)).toHaveLength(1);
});

test('a peer that knows the bound on streams and breaks it is cut', async () => {
  const { address } = await startTestServer([plain], { connectionStreamCountMax: 3 });
  const peer = await connectRaw(address);
  await acceptSettings(peer);
  for (const stream of [1, 3, 5]) peer.open(stream, act);
  peer.send({ type: frameTypes.ping, body: Buffer.alloc(8) });
  await peer.until(({ type, flags }) => type === frameTypes.ping && flags === 1);
  expect(peer.frames.some(({ type }) => type === frameTypes.reset || type === frameTypes.goaway)).toBe(false);
  peer.open(7, act);
  await peer.closed;
});

test('a flood of pings ends the connection with the words that clients know', async () => {
  const server = await startTestServer([plain], { pingIntervalMsMin: 10_000 });
  const peer = await connectRaw(server.address);
  await acceptSettings(peer);
  for (let i = 0; i < 100; i++) peer.send({ type: frameTypes.ping, body: Buffer.alloc(8, i) });
  expect(goawayOf(await peer.until(isGoaway))).toEqual({ code: calm, text: 'too_many_pings' });
  await peer.closed;
  expect(await metricLines(server, 'hyperpolicy_connections_ended_total{reason="pings"}')).toEqual({
    'hyperpolicy_connections_ended_total{reason="pings"}': 1,
  });
  expect(server.lines.find(({ msg }) => msg === 'connections ended')).toMatchObject({
    reason: 'pings',
    pingIntervalMsMin: 10_000,
  });
});

test('pings are counted while nothing else is sent: the third that comes too soon is too much', () => {
  let nowMs = 0;
  const isFlood = createPingPolice(1000, () => nowMs);
  let sentBytes = 40;
  /** A ping after so long, when so much beside answers was sent since the one before; its answer is 17 bytes. */
  const ping = (afterMs: number, dataBytes = 0) => {
    nowMs += afterMs;
    sentBytes += dataBytes;
    const flood = isFlood(sentBytes);
    sentBytes += 17;
    return flood;
  };
  expect([ping(0), ping(1000), ping(1000), ping(5000)]).toEqual([false, false, false, false]);
  // Data between them, as a library that measures the round trip has it.
  expect(Array.from({ length: 10 }, () => ping(1, 1))).not.toContain(true);
  expect([ping(1), ping(1), ping(1)]).toEqual([false, false, true]);
});

test('a peer that answers no ping is cut, with its calls; one that answers stays', async () => {
  const server = await startTestServer([plain], { keepaliveMs: 50, keepaliveTimeoutMs: 100 });
  const dead = await connectRaw(server.address);
  const alive = await connectRaw(server.address);
  for (const peer of [dead, alive]) await acceptSettings(peer);
  dead.open(1, act);
  let pingCount = 0;
  alive.socket.on('frames', () => {
    for (const { body } of alive.frames.filter(isPing).slice(pingCount)) {
      pingCount++;
      alive.send({ type: frameTypes.ping, flags: 1, body });
    }
  });
  await dead.until(isPing);
  await dead.closed;
  await alive.until(() => pingCount >= 4);
  expect(alive.socket.destroyed).toBe(false);
  expect((await server.client.act({ model: 'plain', observation })).version).toBe(1);
});

test('a connection without calls is asked to leave; one with a call is not', async () => {
  const { address } = await startTestServer([plain], { connectionIdleMsMax: 100 });
  const busy = await connectRaw(address);
  busy.open(1, act);
  const idle = await connectRaw(address);
  expect(goawayOf(await idle.until(isGoaway))).toEqual({ code: 0, text: '' });
  await idle.closed;
  expect(busy.frames.some(isGoaway)).toBe(false);
});

test('a client that calls on notices nothing of connections that come of age', async () => {
  const { address, server } = await startTestServer([plain], { connectionAgeMsMax: 200 });
  const client = createPolicyClient({ address, timeoutMs: 20_000 });
  onTestFinished(() => client.close());
  const until = performance.now() + 1500;
  let count = 0;
  const caller = async () => {
    while (performance.now() < until) {
      await client.act({ model: 'plain', observation });
      count++;
    }
  };
  const peers = await Promise.all([connectRaw(address), connectRaw(address)]);
  await Promise.all([caller(), caller(), caller(), caller()]);
  expect(count).toBeGreaterThan(10);
  for (const peer of peers) expect(goawayOf(await peer.until(isGoaway))).toMatchObject({ code: 0, text: 'max_age' });
  expect(server.config.connectionAgeMsMax).toBe(200);
});

test('the end of the server waits for no peer that does not end', async () => {
  const { address, server } = await startTestServer([plain], { drainMs: 50 });
  const peer = await connectRaw(address, { allowHalfOpen: true });
  const left = gone(peer.socket);
  peer.open(1, act);
  peer.send({ type: frameTypes.ping, body: Buffer.alloc(8) });
  await peer.until(({ type, flags }) => type === frameTypes.ping && flags === 1);
  await server.stop();
  await left;
});

test('a call that outlives its connection goes on, and is cut after the grace where there is one', async () => {
  const { address } = await startTestServer([plain], { connectionAgeMsMax: 50, connectionAgeGraceMs: 100 });
  const peer = await connectRaw(address);
  peer.open(1, act);
  await peer.until(isGoaway);
  expect(peer.socket.destroyed).toBe(false);
  await peer.closed;
});
