/** Servers that freeze, restart or cannot be reached, seen by a client with its defaults. Needs the built command. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type ActStreamEvent, createPolicyClient, type PolicyClientOptions } from '../../clients/typescript/index.ts';
import { openRelay } from '../relay.ts';
import { temporaryStore } from '../server/fixtures.ts';
import { spawnServer } from '../server/spawn.ts';

let store: string;
beforeAll(async () => {
  const size = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
  store = await temporaryStore([{ model: 'm', policy: 'plain', critic: 'none', ...size }], afterAll);
});

const observation = [1, 2, 3];
/** Longer than any test: what settles before was noticed. */
const never = 600_000;

/** A client that shows whether it notices, not whether it gives up. */
function clientOf(address: string, options: Partial<PolicyClientOptions> = {}) {
  const client = createPolicyClient({ address, timeoutMs: never, ...options });
  onTestFinished(() => client.close());
  return client;
}

/** A stream with the events that it told, and a wait for one. */
function streamOf(client: ReturnType<typeof clientOf>, options: { resume?: boolean; clientId?: string } = {}) {
  const events: ActStreamEvent[] = [];
  let look = () => {};
  const stream = client.actStream({
    model: 'm',
    ...options,
    onEvent(event) {
      events.push(event);
      look();
    },
  });
  const told = (kind: ActStreamEvent['kind']) =>
    new Promise<void>((resolve) => {
      look = () => {
        if (events.some((event) => event.kind === kind)) resolve();
      };
      look();
    });
  return { stream, events, told };
}

/** Acts until there is an answer, as a control loop does. */
async function actUntilAnswered(stream: ReturnType<typeof streamOf>['stream']) {
  for (;;) {
    const result = await stream.act({ observation }, { timeoutMs: 100 }).catch(() => undefined);
    if (result !== undefined) return result;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A cable: connections to a server that can be unplugged, without either side being told. */
async function cable(address: string) {
  let isPlugged = true;
  let byteCount = 0;
  const relay = await openRelay(Number(address.split(':')[1]), {
    carry: (to) => (bytes) => {
      if (!isPlugged) return;
      byteCount += bytes.length;
      to.write(bytes);
    },
    tellsEnds: () => isPlugged,
  });
  onTestFinished(() => relay.stop());
  return {
    address: `127.0.0.1:${relay.port}`,
    plug(plugged: boolean) {
      isPlugged = plugged;
    },
    get connectionCount() {
      return relay.connectionCount;
    },
    get byteCount() {
      return byteCount;
    },
  };
}

const signal = (child: ChildProcess, name: NodeJS.Signals) => child.kill(name);

describe('a frozen server', () => {
  test('is noticed, with an act pending and without', async () => {
    const { child, address } = await spawnServer(['--store', store]);
    const busy = streamOf(clientOf(address));
    const idle = streamOf(clientOf(address));
    await busy.stream.act({ observation });
    await idle.stream.act({ observation });
    signal(child, 'SIGSTOP');
    await expect(busy.stream.act({ observation })).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('no sign of life for 800 ms'),
    });
    await idle.told('ended');
    expect(idle.stream.error).toMatchObject({ kind: 'unavailable' });
  });

  test('is noticed by single calls, and answers them again when it goes on', async () => {
    const { child, address } = await spawnServer(['--store', store]);
    const client = clientOf(address);
    await client.act({ model: 'm', observation });
    signal(child, 'SIGSTOP');
    await expect(client.act({ model: 'm', observation })).rejects.toMatchObject({ kind: 'unavailable' });
    signal(child, 'SIGCONT');
    await expect
      .poll(
        () =>
          client.act({ model: 'm', observation }).then(
            ({ version }) => version,
            () => 0,
          ),
        { timeout: 30_000 },
      )
      .toBe(1);
  });
});

test('an unplugged server is noticed, and the stream goes on when it is back, with its version', async () => {
  const { address } = await spawnServer(['--store', store]);
  const way = await cable(address);
  const { stream, events, told } = streamOf(clientOf(way.address), { resume: true, clientId: 'robot' });
  const first = await stream.act({ observation });
  way.plug(false);
  const held = await stream.act({ observation, fallback: 'hold', budgetUs: 2 ** 32 - 1 });
  expect(held.action).toEqual(first.action);
  expect(held.fallback).toMatchObject({ kind: 'hold', reason: 'unavailable' });
  await told('lost');
  // Tries to connect are accepted, and hang.
  await expect.poll(() => way.connectionCount, { timeout: 30_000 }).toBeGreaterThan(2);
  way.plug(true);
  expect((await actUntilAnswered(stream)).version).toBe(1);
  expect(events.map(({ kind }) => kind)).toEqual(['lost', 'resumed']);
});

describe('a connection that the server told to leave', () => {
  /** A stream that stays on such a connection. */
  async function stayingStream() {
    const { address } = await spawnServer(['--store', store, '--max-connection-age-ms', '100']);
    const way = await cable(address);
    const client = clientOf(way.address);
    const told = streamOf(client);
    await told.stream.act({ observation });
    const { connectionCount } = way;
    // Another call goes over another connection only when the first is left.
    while (way.connectionCount === connectionCount) await client.act({ model: 'm', observation });
    expect((await told.stream.act({ observation })).version).toBe(1);
    return { way, ...told };
  }

  test('is noticed to be lost by a stream that is asked, also without resume', async () => {
    const { way, stream, events } = await stayingStream();
    way.plug(false);
    while (!stream.ended) await stream.act({ observation }, { timeoutMs: 100 }).catch(() => {});
    expect(stream.error).toMatchObject({ kind: 'unavailable', actual: 'silence' });
    expect(events.map(({ kind }) => kind)).toEqual(['ended']);
  });

  test('is not taken for lost by a program that was busy meanwhile', async () => {
    const { stream, events } = await stayingStream();
    const late = stream.act({ observation }, { timeoutMs: 1100 });
    for (const endMs = performance.now() + 1200; performance.now() < endMs; );
    await expect(late).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    expect((await stream.act({ observation })).version).toBe(1);
    expect(events).toEqual([]);
  });
});

test('a server that restarts has its stream back', async () => {
  const before = await spawnServer(['--store', store]);
  const { stream, events } = streamOf(clientOf(before.address), { resume: true });
  await stream.act({ observation });
  signal(before.child, 'SIGKILL');
  await once(before.child, 'exit');
  await expect(stream.act({ observation })).rejects.toMatchObject({ kind: 'unavailable' });
  await spawnServer(['--store', store, '--port', before.address.split(':')[1]!]);
  expect((await actUntilAnswered(stream)).version).toBe(1);
  expect(events.map(({ kind }) => kind)).toEqual(['lost', 'resumed']);
});

test('an idle client with its defaults stays connected: its pings are not too many', async () => {
  const server = await spawnServer(['--store', store]);
  const way = await cable(server.address);
  const client = clientOf(way.address);
  await client.act({ model: 'm', observation });
  const startBytes = way.byteCount;
  // Ten pings with their answers, of 17 bytes each.
  await expect.poll(() => way.byteCount - startBytes, { timeout: 30_000 }).toBeGreaterThan(10 * 2 * 17);
  await client.act({ model: 'm', observation });
  expect(way.connectionCount).toBe(1);
  const { metricsPort } = server.serving;
  const metrics = await (await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).text();
  expect(metrics).toContain('hyperpolicy_connections_ended_total{reason="pings"} 0');
});

test('a program that is busy for longer than a server may be silent does not lose it', async () => {
  const { address } = await spawnServer(['--store', store]);
  const { stream, events } = streamOf(clientOf(address));
  await stream.act({ observation });
  for (let i = 0; i < 3; i++) {
    const answer = stream.act({ observation });
    for (const endMs = performance.now() + 1200; performance.now() < endMs; );
    expect((await answer).version).toBe(1);
  }
  expect(events).toEqual([]);
});

test('a host that answers no try to connect is tried again and again', async () => {
  // Its queue of connections is full: what comes is dropped, as by a host that is off.
  const script = `const s = require('node:net').createServer(); s.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => { console.log(s.address().port); process.kill(process.pid, 'SIGSTOP'); });`;
  const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => {
    child.kill('SIGKILL');
  });
  const port = Number(await new Promise((resolve) => child.stdout.once('data', resolve)));
  const fillers: Socket[] = [];
  onTestFinished(() => {
    for (const socket of fillers) socket.destroy();
  });
  for (let i = 0; i < 4; i++) fillers.push(connect(port, '127.0.0.1').on('error', () => {}));
  const client = clientOf(`127.0.0.1:${port}`, { connectTimeoutMs: 200 });
  await expect(client.listModels()).rejects.toMatchObject({ kind: 'unavailable' });
});
