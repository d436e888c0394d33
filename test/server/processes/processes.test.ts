import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAdminClient } from '../../../clients/typescript/admin.ts';
import { createPolicyClient, type PolicyClient } from '../../../clients/typescript/client.ts';
import { changeGraph, withSlowRuns } from '../../endless-graph.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { plain, spoolFiles, temporaryStore } from '../fixtures.ts';
import { acceptSettings, connectRaw, frameTypes } from '../raw-http2.ts';
import { runToEnd, type SpawnedServer, spawnServer } from '../spawn.ts';

const hyper = { ...plain, model: 'hyper', policy: 'hyper', contextSize: 2, trunkSizes: [16, 32] } as const;
const observation = [0.1, 0.2, 0.3];

/** Two processes, over a store that nobody looks through by himself. */
async function spawnTwo(store: string, args: readonly string[] = []): Promise<SpawnedServer> {
  return spawnServer(['--store', store, '--processes', '2', '--workers', '1', '--watch-ms', '0', ...args]);
}

/** Clients with a connection each, made one after the other: the processes take turns. */
async function connect(address: string, count: number): Promise<PolicyClient[]> {
  const clients = Array.from({ length: count }, () => createPolicyClient({ address, timeoutMs: 20_000 }));
  for (const client of clients) {
    onTestFinished(() => client.close());
    await client.listModels();
  }
  return clients;
}

const page = (server: SpawnedServer, path: string) => fetch(`http://127.0.0.1:${server.serving.metricsPort}${path}`);

/** Values of the metrics whose line begins with this. */
async function metrics(server: SpawnedServer, prefix: string): Promise<Record<string, number>> {
  const lines = (await (await page(server, '/metrics')).text()).split('\n').filter((line) => line.startsWith(prefix));
  return Object.fromEntries(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]),
  );
}

const acts =
  'grpc_server_started_total{grpc_type="unary",grpc_service="hyperpolicy.v1.PolicyService",grpc_method="Act"}';

/** The system's number of one of the processes. */
const pidOf = async (server: SpawnedServer, number: number): Promise<number> =>
  (await server.line(({ msg, process: other }) => msg === 'process serving' && other === number)).pid;

/** Whether a process of this number exists. */
function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let i = 0; i < 600; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect.fail('it does not come to hold');
}

describe('two processes on one port', () => {
  test('share the connections, and are shown as one server', async () => {
    const server = await spawnTwo(await temporaryStore([plain]), ['--http-port', '0', '--log-requests', '1']);
    expect((await page(server, '/readyz')).status).toBe(200);
    expect(await (await page(server, '/healthz')).text()).toBe('ok\n');
    const clients = await connect(server.address, 4);
    for (const client of clients) expect((await client.act({ model: 'plain', observation })).version).toBe(1);
    expect(await metrics(server, 'hyperpolicy_')).toMatchObject({
      hyperpolicy_processes: 2,
      hyperpolicy_process_replacements_total: 0,
      hyperpolicy_connections: 4,
      'hyperpolicy_model_version_info{model="plain",version="1"}': 1,
    });
    // A sum where it counts, and not where it tells how old something is: two ages would be twice one.
    const ageSeconds = (await metrics(server, 'hyperpolicy_weight_age_seconds'))[
      'hyperpolicy_weight_age_seconds{model="plain"}'
    ]!;
    const published = Date.parse((await clients[0]!.getModel({ model: 'plain' })).publishedAt);
    expect(ageSeconds).toBeLessThanOrEqual((Date.now() - published) / 1000);
    const { process_start_time_seconds: startSeconds } = await metrics(server, 'process_start_time_seconds');
    expect(startSeconds! * 1000).toBeGreaterThan(Date.now() - 60_000);
    expect(startSeconds! * 1000).toBeLessThan(Date.now() + 1000);
    expect(await metrics(server, acts)).toEqual({ [acts]: 4 });
    const http = await fetch(`http://127.0.0.1:${server.serving.httpPort}/hyperpolicy.v1.PolicyService/ListModels`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await http.json()).toMatchObject({ models: [{ model: 'plain' }] });
    // The log says which process answered: each had two of the connections.
    await until(() => server.lines.filter(({ msg }) => msg === 'request').length >= 10);
    const answered = server.lines.filter((line) => line.msg === 'request' && 'method' in line && line.method === 'Act');
    expect(answered.map(({ process: number }) => number).sort()).toEqual([1, 1, 2, 2]);
  });

  test('cut a connection over the HTTP bound of both, and take another once there is room', async () => {
    const server = await spawnTwo(await temporaryStore([plain]), ['--http-port', '0', '--max-http-connections', '1']);
    const open = async () => {
      const socket = createConnection({ port: server.serving.httpPort!, host: '127.0.0.1' });
      onTestFinished(() => {
        socket.destroy();
      });
      await once(socket, 'connect');
      return socket;
    };
    /** The status of an answer; undefined where the connection was cut. */
    const ask = (socket: Socket) =>
      new Promise<number | undefined>((resolve) => {
        socket.once('data', (data) => resolve(Number(String(data).split(' ')[1])));
        socket.once('error', () => {});
        socket.once('close', () => resolve(undefined));
        socket.write('GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n');
      });
    const held = [await open(), await open()];
    for (const socket of held) expect(await ask(socket)).toBe(404);
    expect(await ask(await open())).toBeUndefined();
    held[0]!.destroy();
    await until(async () => (await ask(await open())) === 404);
  });

  test('hold contexts for each other, and clear them away in the end', async () => {
    const latent = { ...hyper, model: 'latent', encoder: true };
    const moved = { ...hyper, model: 'moved', adapt: true, stochastic: true };
    const handleDirectory = await temporaryStore();
    const server = await spawnTwo(await temporaryStore([latent, moved]), ['--handle-directory', handleDirectory]);
    const clients = await connect(server.address, 4);
    const { contextHandle, posterior } = await clients[0]!.adapt({ model: 'latent', seed: 1 });
    const asked = { model: 'latent', observation };
    const { action } = await clients[0]!.act({ ...asked, context: posterior!.context });
    for (const client of clients) {
      expect((await client.act({ ...asked, contextHandle })).action).toEqual(action);
      const { posterior: again } = await client.adapt({ model: 'latent', contextHandle, seed: 1 });
      expect(again!.context).toEqual(posterior!.context);
    }
    const steps = {
      observation: [observation, [1, 2, 3]],
      action: [
        [0.1, -0.2],
        [0.3, 0.4],
      ],
      reward: [1, -1],
    };
    const stepped = await clients[1]!.adapt({ model: 'moved', ...steps, context: [1, 0] });
    const ofHandle = { model: 'moved', observation, contextHandle: stepped.contextHandle };
    const acted = await Promise.all(clients.map(async (client) => (await client.act(ofHandle)).action));
    for (const one of acted) expect(one).toEqual(acted[0]);
    expect(acted[0]).not.toEqual((await clients[0]!.act({ model: 'moved', observation, context: [1, 0] })).action);
    expect(await metrics(server, 'hyperpolicy_context_handles ')).toEqual({ hyperpolicy_context_handles: 6 });
    // Whoever takes a place takes over its handles.
    process.kill(await pidOf(server, 1), 'SIGKILL');
    await server.line(({ msg }) => msg === 'process replaced');
    expect(await metrics(server, 'hyperpolicy_context_handles ')).toEqual({ hyperpolicy_context_handles: 6 });
    const [spool] = await readdir(handleDirectory);
    expect(await spoolFiles(join(handleDirectory, spool!))).toHaveLength(6);
    server.child.kill('SIGTERM');
    await once(server.child, 'exit');
    expect(await readdir(handleDirectory)).toEqual([]);
  });

  test('change what they serve together, before the admin is answered', async () => {
    const store = await temporaryStore([plain]);
    const server = await spawnTwo(store, ['--admin-port', '0']);
    const clients = await connect(server.address, 4);
    const admin = createAdminClient({ address: `127.0.0.1:${server.serving.adminPort}`, timeoutMs: 20_000 });
    onTestFinished(() => admin.close());
    const served = (label?: string) =>
      Promise.all(
        clients.map(async (client) => {
          const selection = { model: 'plain', ...(label !== undefined && { label }) };
          return (await client.act({ ...selection, observation })).version;
        }),
      );
    await publishRandomPackage({ store, ...plain, seed: 2 });
    expect(await served()).toEqual([1, 1, 1, 1]);
    expect((await admin.loadVersion('plain', 2)).versions).toEqual([2, 1]);
    expect(await served()).toEqual([2, 2, 2, 2]);
    await admin.setLabel('plain', 'stable', 1);
    expect(await served('stable')).toEqual([1, 1, 1, 1]);
    await admin.setTraffic('plain', { stable: 100 });
    expect(await served()).toEqual([1, 1, 1, 1]);
    await admin.setTraffic('plain', {});
    await admin.rollback('plain');
    expect(await served()).toEqual([1, 1, 1, 1]);
    await expect(admin.rollback('plain')).rejects.toMatchObject({ kind: 'failed_precondition' });
  });

  test('look for new versions together', async () => {
    const store = await temporaryStore([plain]);
    const server = await spawnTwo(store, ['--watch-ms', '50']);
    const clients = await connect(server.address, 4);
    await publishRandomPackage({ store, ...plain, seed: 2 });
    await until(async () => {
      const versions = await Promise.all(
        clients.map(async (client) => (await client.getModel({ model: 'plain' })).version),
      );
      return versions.every((version) => version === 2);
    });
    expect(
      server.lines
        .filter(({ msg }) => msg === 'model version ready')
        .map(({ process: number }) => number)
        .sort(),
    ).toEqual([1, 1, 2, 2]);
  });

  test('are prepared together, and pin and unpin together', async () => {
    const server = await spawnTwo(await temporaryStore([hyper]));
    const clients = await connect(server.address, 4);
    const context = [0.5, -0.5];
    const cached = () => metrics(server, 'hyperpolicy_context_cache_');
    expect(await clients[0]!.prepare({ model: 'hyper', context })).toMatchObject({
      version: 1,
      count: 1,
      generatedCount: 1,
    });
    const entries = 'hyperpolicy_context_cache_entries{cache="policy"}';
    const hits = 'hyperpolicy_context_cache_hits_total{cache="policy"}';
    expect((await cached())[entries]).toBe(2);
    const before = (await cached())[hits]!;
    for (const client of clients) {
      expect((await client.act({ model: 'hyper', observation, context })).timing.primaryUs).toBe(0);
    }
    expect((await cached())[hits]).toBe(before + 4);
    expect(await clients[1]!.prepare({ model: 'hyper', context, pinning: 'pin' })).toMatchObject({ generatedCount: 0 });
    expect(await clients[2]!.prepare({ model: 'hyper', context, pinning: 'unpin' })).toMatchObject({ count: 1 });
  });

  test('log what fails for each other after its answer was due', async () => {
    const store = await temporaryStore([hyper]);
    await changeGraph(join(store, 'hyper', '1'), 'policy.primary.onnx', (model) => withSlowRuns(model, 'context'));
    // Of a Prepare's time half is margin: a run that begins within it is late, and still begins.
    const server = await spawnTwo(store, ['--deadline-margin-ms', '30000', '--log-requests', '1']);
    // On a busy machine a slow version may still be loading.
    await until(async () => (await page(server, '/readyz')).status === 200);
    const [idle, busy] = await connect(server.address, 2);
    const late = () => server.lines.find(({ msg }) => msg === 'run failed after its answer was due');
    const of = (method: string) => server.lines.find((line) => line.msg === 'request' && line.method === method)!;
    let tookMs = 1000;
    for (let i = 0; late() === undefined && i < 50; i++) {
      const startMs = performance.now();
      // About half a second on the only thread of a process.
      const slow = busy!.act({ model: 'hyper', observation, context: [100, i] });
      // Answered after that run has begun.
      await busy!.getModel({ model: 'hyper' });
      const tooLarge = { model: 'hyper', context: [1e12, i] };
      await expect(idle!.prepare(tooLarge, { timeoutMs: tookMs * 1.5 })).rejects.toMatchObject({
        kind: 'resource_exhausted',
      });
      await slow;
      tookMs = performance.now() - startMs;
      // Behind the one that was late.
      await busy!.act({ model: 'hyper', observation, context: [0.1, i] });
    }
    expect(late()).toMatchObject({
      level: 50,
      process: of('Act').process,
      reason: 'policy.primary.onnx: expected memory of the cpu device for a run of this graph',
      method: 'Prepare',
      model: 'hyper',
      version: 1,
    });
    expect(of('Prepare').process).not.toBe(of('Act').process);
  });

  test('count the rate of a token together, and give the whole of it to who uses one of them', async () => {
    const store = await temporaryStore([plain]);
    const tokensFile = join(store, 'tokens.json');
    const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');
    const limit = { requestsPerSecond: 50 };
    await writeFile(
      tokensFile,
      JSON.stringify([
        { name: 'one', sha256: sha256('one-token'), ...limit },
        { name: 'both', sha256: sha256('both-token'), ...limit },
        { name: 'free', sha256: sha256('free-token') },
      ]),
    );
    const server = await spawnTwo(store, ['--tokens', tokensFile]);
    const clientOf = (token: string) => {
      const client = createPolicyClient({ address: server.address, timeoutMs: 20_000, token });
      onTestFinished(() => client.close());
      return client;
    };
    /** Whether a call is let in. */
    const isIn = (client: PolicyClient) =>
      client.listModels().then(
        () => true,
        (error: { kind?: string }) => {
          expect(error.kind).toBe('resource_exhausted');
          return false;
        },
      );
    const free = clientOf('free-token');
    await free.listModels();
    // 50 at once on one connection; the message to the other process is under way.
    const one = clientOf('one-token');
    expect(await Promise.all(Array.from({ length: 50 }, () => isIn(one)))).not.toContain(false);
    const both = [clientOf('both-token'), clientOf('both-token')];
    const startMs = performance.now();
    let count = 0;
    await Promise.all(
      both.map(async (client) => {
        while (performance.now() - startMs < 2000) if (await isIn(client)) count++;
      }),
    );
    const seconds = (performance.now() - startMs) / 1000;
    // 50 at once, 50 a second; at most as many more as the other process let in before it heard.
    expect(count).toBeGreaterThanOrEqual(50 + 50 * 2 - 5);
    expect(count).toBeLessThanOrEqual(50 + 50 * seconds + 50);
    expect(count).toBeLessThan(2 * (50 + 50 * 2) - 50);
  });

  test('know the contexts that one of them was given', async () => {
    const store = await temporaryStore([{ ...plain, model: 'pearl', contextSize: 2, encoder: true }]);
    const server = await spawnTwo(store);
    const clients = await connect(server.address, 4);
    const { contextHandle } = await clients[0]!.adapt({ model: 'pearl' });
    const actions = await Promise.all(
      clients.map(async (client) => (await client.act({ model: 'pearl', observation, contextHandle })).action.values),
    );
    for (const action of actions) expect(action).toEqual(actions[0]);
  });
});

describe('a process that dies', () => {
  test('is replaced while the other goes on; counts never fall, and the server is not ready meanwhile', async () => {
    const server = await spawnTwo(await temporaryStore([plain]));
    const clients = await connect(server.address, 4);
    for (const client of clients) await client.act({ model: 'plain', observation });
    expect(await metrics(server, acts)).toEqual({ [acts]: 4 });
    process.kill(await pidOf(server, 1), 'SIGKILL');
    expect(await server.line(({ msg }) => msg === 'process died; another takes its place')).toMatchObject({
      process: 1,
      signal: 'SIGKILL',
      delayMs: 200,
    });
    expect([(await page(server, '/readyz')).status, await (await page(server, '/readyz')).text()]).toEqual([
      503,
      'process 1: loading\n',
    ]);
    expect(await metrics(server, acts)).toEqual({ [acts]: 4 });
    // A new client gets through at once.
    const [late] = await connect(server.address, 1);
    expect((await late!.act({ model: 'plain', observation })).version).toBe(1);
    await server.line(({ msg }) => msg === 'process replaced');
    await until(async () => (await page(server, '/readyz')).status === 200);
    expect(await metrics(server, 'hyperpolicy_process')).toEqual({
      hyperpolicy_processes: 2,
      hyperpolicy_process_replacements_total: 1,
    });
    // The clients of the one that died connect again.
    for (const client of clients) await client.act({ model: 'plain', observation }).catch(() => {});
    for (const client of clients) expect((await client.act({ model: 'plain', observation })).version).toBe(1);
    expect((await metrics(server, acts))[acts]).toBeGreaterThanOrEqual(9);
  });

  test('before it takes a connection that it was handed: the client sees the end of it at once', async () => {
    const server = await spawnTwo(await temporaryStore([plain]));
    const stopped = await pidOf(server, 1);
    process.kill(stopped, 'SIGSTOP');
    onTestFinished(() => {
      if (lives(stopped)) process.kill(stopped, 'SIGCONT');
    });
    // The processes take turns, so one of these is on its way to the one that is stopped.
    const peers = [
      await connectRaw(server.address),
      await connectRaw(server.address),
      await connectRaw(server.address),
    ];
    await until(() => peers.filter(({ frames }) => frames.length > 0).length === 2);
    const waiting = peers.find(({ frames }) => frames.length === 0)!;
    let isEnded = false;
    void waiting.closed.then(() => {
      isEnded = true;
    });
    // It is not lost yet: the process may go on.
    const [client] = await connect(server.address, 1);
    expect(isEnded).toBe(false);
    const killedAtMs = performance.now();
    process.kill(stopped, 'SIGKILL');
    await waiting.closed;
    expect(performance.now() - killedAtMs).toBeLessThan(2000);
    // The others are well, and nobody else is handed to it.
    await client!.listModels();
    await connect(server.address, 4);
    for (const { socket } of peers.filter((peer) => peer !== waiting)) expect(socket.destroyed).toBe(false);
  });

  test('has, when it is replaced, the pins and the versions of the others before its first connection', async () => {
    const store = await temporaryStore([hyper]);
    const server = await spawnTwo(store, ['--admin-port', '0']);
    const clients = await connect(server.address, 2);
    const admin = createAdminClient({ address: `127.0.0.1:${server.serving.adminPort}`, timeoutMs: 20_000 });
    onTestFinished(() => admin.close());
    const entries = async () =>
      (await metrics(server, 'hyperpolicy_context_cache_entries'))['hyperpolicy_context_cache_entries{cache="policy"}'];
    const model = 'hyper';
    const pinned = [
      [0.5, -0.5],
      [0.25, 1],
      [3, 4],
    ];
    await clients[0]!.prepare({ model, context: pinned, pinning: 'pin' });
    await clients[1]!.prepare({ model, context: [3, 4], pinning: 'unpin' });
    await clients[1]!.prepare({ model, context: [7, 7] });
    expect(await entries()).toBe(8);
    await admin.setLabel(model, 'stable', 1);
    // Nobody has looked for this one yet.
    await publishRandomPackage({ store, ...hyper, seed: 2 });
    process.kill(await pidOf(server, 1), 'SIGKILL');
    await server.line(({ msg }) => msg === 'process replaced');
    // Four of each version in the other, which carried them over, and the two that are pinned.
    await until(async () => (await entries()) === 10);
    const told = server.lines.map(({ msg, process: number }) => `${number} ${msg}`);
    expect(told.indexOf('1 pinned again what the others have')).toBeLessThan(told.lastIndexOf('1 process serving'));
    const late = await connect(server.address, 4);
    for (const client of late) {
      for (const context of pinned.slice(0, 2)) {
        const asked = { model, observation, context, version: 1 };
        expect((await client.act(asked)).timing.primaryUs).toBe(0);
      }
      expect((await client.listModels())[0]!.versions).toEqual([2, 1]);
      expect((await client.act({ model, observation, context: [0, 0], label: 'stable' })).version).toBe(1);
    }
  });

  test('also when none is left: the port stays the same', async () => {
    const server = await spawnTwo(await temporaryStore([plain]));
    for (const pid of [await pidOf(server, 1), await pidOf(server, 2)]) process.kill(pid, 'SIGKILL');
    await until(() => server.lines.filter(({ msg }) => msg === 'process replaced').length >= 2);
    expect((await page(server, '/readyz')).status).toBe(200);
    const [client] = await connect(server.address, 1);
    expect((await client!.act({ model: 'plain', observation })).version).toBe(1);
    const exit = once(server.child, 'exit');
    server.child.kill('SIGTERM');
    expect(await exit).toEqual([0, null]);
  });
});

describe('the end of several processes', () => {
  test('on SIGTERM under load no call fails, and the exit code is 0', async () => {
    const server = await spawnTwo(await temporaryStore([plain]), ['--drain-ms', '5000']);
    const clients = await connect(server.address, 4);
    let answered = 0;
    let terminated = false;
    const failures: unknown[] = [];
    const caller = async (client: PolicyClient) => {
      for (;;) {
        try {
          await client.act({ model: 'plain', observation });
          answered++;
        } catch (error) {
          // Once it is gone there is nobody to connect to: that call never began.
          if (!terminated || !/refused connection|Connection dropped|No connection established/.test(String(error)))
            failures.push(error);
          return;
        }
        if (answered === 400) {
          server.child.kill('SIGTERM');
          terminated = true;
        }
      }
    };
    const exit = once(server.child, 'exit');
    await Promise.all([...clients, ...clients].map(caller));
    expect(await exit).toEqual([0, null]);
    expect(failures).toEqual([]);
    expect(answered).toBeGreaterThanOrEqual(400);
    const drained = server.lines.filter(({ msg }) => msg === 'draining').map(({ process: number }) => number);
    expect(drained.sort()).toEqual([0, 1, 2]);
    expect(server.error()).toBe('');
  });

  test('one that is cut off while it drains makes the exit code 1', async () => {
    const server = await spawnTwo(await temporaryStore([plain]), ['--drain-ms', '20000']);
    // A call that never comes to its message holds a process for as long as it may drain.
    const peers = [await connectRaw(server.address), await connectRaw(server.address)];
    for (const peer of peers) {
      await acceptSettings(peer);
      peer.open(1, '/hyperpolicy.v1.PolicyService/Act');
      peer.send({ type: frameTypes.ping, body: Buffer.alloc(8) });
      await peer.until(({ type, flags }) => type === frameTypes.ping && flags === 1);
    }
    const exit = once(server.child, 'exit');
    server.child.kill('SIGTERM');
    await until(() => server.lines.filter(({ msg }) => msg === 'draining').length === 3);
    expect(await (await page(server, '/readyz')).text()).toBe('draining\n');
    process.kill(await pidOf(server, 2), 'SIGKILL');
    for (const peer of peers) peer.socket.destroy();
    expect(await exit).toEqual([1, null]);
    expect(server.error()).toBe(
      'hyperpolicy: the end of the server: expected every process to end well, got 1 of 2 that did not. The log has the reason\n',
    );
  });

  test('a parent that is killed leaves nobody behind', async () => {
    const server = await spawnTwo(await temporaryStore([plain]));
    const pids = [await pidOf(server, 1), await pidOf(server, 2)];
    expect(pids.map(lives)).toEqual([true, true]);
    server.child.kill('SIGKILL');
    await until(() => !pids.some(lives));
  });
});

describe('what keeps several processes from a start', () => {
  test('a port in use is one line and exit code 1', async () => {
    const taken = createServer();
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      taken.close();
    });
    const { port } = taken.address() as { port: number };
    const store = await temporaryStore();
    const args = ['serve', '--store', store, '--processes', '2', '--workers', '1', '--log-level', 'silent'];
    for (const [flags, remedy] of [
      [['--port', `${port}`, '--metrics-port', '0'], 'Choose another port: --port'],
      [['--port', '0', '--metrics-port', `${port}`], 'Choose another metrics port: --metrics-port'],
      [['--port', '0', '--metrics-port', '0', '--admin-port', `${port}`], 'Choose another admin port: --admin-port'],
    ] as const) {
      expect(await runToEnd([...args, ...flags])).toEqual({
        code: 1,
        error: `hyperpolicy: listening on 127.0.0.1:${port}: expected a free port, got one that is in use. ${remedy} N, or 0 for any that is free\n`,
      });
    }
  });
});
