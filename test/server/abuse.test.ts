import { once, setMaxListeners } from 'node:events';
import { connect } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { create, toBinary } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ActStreamRequestSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { publishRandomPackage } from '../random-package.ts';
import { metricLines, startTestServer, type TestServer, temporaryStore } from './fixtures.ts';

const hyper = (seed: number) =>
  ({
    model: 'm',
    policy: 'hyper',
    critic: 'hyper',
    seed,
    observationSize: 3,
    actionSize: 2,
    hiddenSize: 8,
    trunkSizes: [64],
  }) as const;
const observation = [0.1, 0.2, 0.3];

const metric = async (server: TestServer, line: string): Promise<number> =>
  Object.values(await metricLines(server, line))[0] ?? Number.NaN;

describe('abuse', () => {
  test('a storm of calls that are cancelled leaves nothing behind', async () => {
    const server = await startTestServer([hyper(1)]);
    const { client } = server;
    for (let wave = 0; wave < 5; wave++) {
      const abort = new AbortController();
      setMaxListeners(0, abort.signal);
      const calls = Array.from({ length: 150 }, (_, i) =>
        client.act({ model: 'm', observation, context: [wave, i] }, { signal: abort.signal }),
      );
      setImmediate(() => abort.abort(new Error('never mind')));
      const outcomes = await Promise.allSettled(calls);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason.message).toBe('never mind');
      }
    }
    expect((await client.act({ model: 'm', observation, context: [0, 0] })).version).toBe(1);
    expect(await metric(server, 'hyperpolicy_requests_in_flight')).toBe(0);
    expect(await metric(server, 'hyperpolicy_queue_rows')).toBe(0);
    expect(await metric(server, 'hyperpolicy_generations_in_flight{cache="policy"}')).toBe(0);
  });

  test('clients that stop in the middle hold up neither others nor the end', async () => {
    const server = await startTestServer([hyper(1)], { drainMs: 300 });
    const port = server.server.port;
    const ignore = () => {};
    // Connections that say nothing, or half of what opens one.
    const opening = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
    for (let i = 0; i < 20; i++) {
      const socket = connectSocket(port, '127.0.0.1');
      socket.on('error', ignore);
      onTestFinished(() => {
        socket.destroy();
      });
      await once(socket, 'connect');
      socket.write(opening.slice(0, i));
    }
    // Calls with half a message: the header promises 1000 bytes, and ten come.
    const half = Buffer.concat([Buffer.from([0, 0, 0, 3, 232]), Buffer.alloc(10)]);
    const answered: boolean[] = [];
    for (const method of ['Act', 'ActStream']) {
      const session = connect(`http://${server.address}`);
      onTestFinished(() => session.destroy());
      session.on('error', ignore);
      for (let i = 0; i < 20; i++) {
        const path = `/hyperpolicy.v1.PolicyService/${method}`;
        const stream = session.request({
          ':method': 'POST',
          ':path': path,
          'content-type': 'application/grpc',
          te: 'trailers',
        });
        stream.on('error', ignore);
        stream.on('data', () => answered.push(true));
        stream.write(half);
      }
    }
    // A stream that was used and then is silent.
    const stream = server.client.actStream({ model: 'm' });
    await stream.act({ observation, context: [1, 2] });
    for (let i = 0; i < 100; i++) await server.client.act({ model: 'm', observation, context: [i % 3, 0] });
    expect(answered).toEqual([]);
    // What has not arrived whole is no request in flight.
    expect(await metric(server, 'hyperpolicy_requests_in_flight')).toBe(0);
    const startMs = performance.now();
    await server.server.stop();
    expect(performance.now() - startMs).toBeLessThan(20_000);
  });

  test('a client that does not read its answers is not read from', async () => {
    const server = await startTestServer([hyper(1)]);
    // Not grpc-js: its client reads from the connection even when nobody reads from it.
    const session = connect(`http://${server.address}`);
    onTestFinished(() => session.destroy());
    session.on('error', () => {});
    const stream = session.request({
      ':method': 'POST',
      ':path': '/hyperpolicy.v1.PolicyService/ActStream',
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    const rowCount = 256;
    const tensor = (shape: number[], values: number[]) => ({
      shape,
      data: new Uint8Array(Float32Array.from(values).buffer),
    });
    const rows = tensor([rowCount, 3], Array.from({ length: rowCount }, () => observation).flat());
    const act = {
      model: 'm',
      observation: rows,
      contextSource: { case: 'context', value: tensor([2], [1, 2]) },
    } as const;
    const bytes = toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, { act }));
    const header = Buffer.alloc(5);
    header.writeUInt32BE(bytes.length, 1);
    const frame = Buffer.concat([header, bytes]);
    // Nobody reads: the window of the stream fills, and then the server must stop.
    // Their answers are 2 KB each: far more together than any window.
    const count = 3000;
    for (let i = 0; i < count; i++) stream.write(frame);
    const sent = () =>
      metric(server, 'grpc_server_msg_sent_total{grpc_type="bidi_stream",grpc_service="hyperpolicy.v1.PolicyService"');
    let before = -1;
    for (let now = await sent(); now !== before; now = await sent()) {
      before = now;
      // Others are served all the while.
      for (let i = 0; i < 50; i++) await server.client.act({ model: 'm', observation, context: [1, 2] });
    }
    expect(before).toBeGreaterThan(0);
    expect(before).toBeLessThan(count);
    stream.close();
  });

  test('versions that are swapped under load fail no call, and every answer is of one version', async () => {
    const store = await temporaryStore([hyper(1)]);
    const { client, server } = await startTestServer([], { store, versionCountMax: 1 });
    const actions = new Map<number, string>();
    let stop = false;
    let answered = 0;
    const caller = async (id: number) => {
      while (!stop) {
        const { version, action } = await client.act({ model: 'm', observation, context: [id % 3, 0] });
        const key = version * 10 + (id % 3);
        const values = [...action.values].map((value) => value.toFixed(4)).join();
        expect(actions.get(key) ?? values).toBe(values);
        actions.set(key, values);
        answered++;
      }
    };
    const callers = Array.from({ length: 6 }, (_, id) => caller(id));
    for (const seed of [2, 3, 4]) {
      await publishRandomPackage({ store, ...hyper(seed) });
      await server.models.refresh();
      const target = answered + 30;
      while (answered < target) await new Promise((resolve) => setImmediate(resolve));
    }
    stop = true;
    await Promise.all(callers);
    expect(new Set([...actions.keys()].map((key) => Math.floor(key / 10)))).toEqual(new Set([1, 2, 3, 4]));
  });
});
