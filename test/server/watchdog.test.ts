/** Runs that do not end, in the real server: their version goes, and nothing else. */

import { once } from 'node:events';
import { mkdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAdminClient } from '../../clients/typescript/admin.ts';
import { createPolicyClient, type PolicyClient } from '../../clients/typescript/client.ts';
import { changeGraph, withSlowRuns } from '../endless-graph.ts';
import { publishRandomPackage } from '../random-package.ts';
import { temporaryStore } from './fixtures.ts';
import { type Line, type SpawnedServer, spawnServer } from './spawn.ts';

const sizes = { critic: 'none', observationSize: 3, actionSize: 2, hiddenSize: 8 } as const;
const plain = { model: 'plain', policy: 'plain', ...sizes } as const;
const hyper = { ...plain, model: 'hyper', policy: 'hyper', contextSize: 2, trunkSizes: [16] } as const;
const observation = [0.1, 0.2, 0.3];
/** On a busy machine loading takes longer than the other tests allow. */
const patient = ['--max-load-ms', '60000'];
/** Hours of work. */
const slowObservation = [1e6, 0, 0];

/** A store with three models, the newest version of one of which can be slow. @param always as of withSlowRuns */
async function storeWithSlow(policy: 'plain' | 'hyper', file: string, always = 0): Promise<string> {
  const store = await temporaryStore([plain, hyper]);
  const options = { ...(policy === 'plain' ? plain : hyper), model: 'slow' };
  for (const seed of [1, 2]) await publishRandomPackage({ store, ...options, seed });
  await changeGraph(join(store, 'slow', '2'), file, (model) => withSlowRuns(model, 'observation', always));
  return store;
}

async function serve(store: string, args: readonly string[] = []) {
  const flags = ['--store', store, '--workers', '1', '--watch-ms', '100', '--drain-ms', '500'];
  const server = await spawnServer([...flags, '--max-run-ms', '1000', '--max-load-ms', '2000', ...args]);
  const client = createPolicyClient({ address: server.address, timeoutMs: 30_000, keepaliveTimeoutMs: 30_000 });
  onTestFinished(() => client.close());
  return { server, client };
}

const page = (server: SpawnedServer, path: string) => fetch(`http://127.0.0.1:${server.serving.metricsPort}${path}`);
const withdrawn = (line: Line) => line.msg === 'model version withdrawn';
/** On a thread of the pool. */
const generate = (client: PolicyClient, context: number) =>
  client.act({ model: 'hyper', observation, context: [context, 0] });

describe('a run that does not end', { timeout: 60_000 }, () => {
  test.each([
    ['plain', 'policy.onnx'],
    ['hyper', 'policy.dynamic.onnx'],
  ] as const)(
    'of a %s policy: its version is withdrawn, its thread replaced, the others go on',
    async (policy, file) => {
      const store = await storeWithSlow(policy, file);
      const { server, client } = await serve(store, patient);
      const context = policy === 'hyper' ? { context: [1, 2] } : {};
      const ask = (values: number[]) => client.act({ model: 'slow', observation: values, ...context });
      expect((await ask(observation)).version).toBe(2);
      const stuck = ask(slowObservation);
      // On the event loop, in the meantime.
      expect((await client.act({ model: 'plain', observation })).version).toBe(1);
      await expect(stuck).rejects.toMatchObject({
        kind: 'unavailable',
        message: `${file}: expected a run that ends within 1000 ms, got one that goes on`,
      });
      expect(await server.line(withdrawn)).toMatchObject({ model: 'slow', version: 2 });
      expect((await ask(observation)).version).toBe(1);
      expect((await client.listModels()).find(({ model }) => model === 'slow')!.versions).toEqual([1]);
      // A thread as the one before: it has the graphs of all others.
      expect((await generate(client, 7)).version).toBe(1);
      const metrics = await (await page(server, '/metrics')).text();
      expect(metrics).toContain('hyperpolicy_threads_given_up_total 1\n');
      expect(metrics).toContain('hyperpolicy_model_loads_total{model="slow",result="withdrawn"} 1\n');
      expect((await page(server, '/readyz')).status).toBe(200);
      // The files are the same: it is not loaded again at the next looks.
      expect(server.lines.filter(({ msg }) => msg === 'model version ready')).toHaveLength(4);
      server.child.kill('SIGTERM');
      const [code, signal] = await once(server.child, 'exit');
      // By the signal: the thread is still in its run, and a process waits for its threads when it ends by itself.
      expect([code, signal]).toEqual([null, 'SIGTERM']);
      expect(server.lines.at(-1)!.msg).toBe('stopped');
    },
  );

  test('at load: its version is refused, and heavy runs of others are answered meanwhile', async () => {
    const aside = await temporaryStore();
    for (const seed of [1, 2, 3]) {
      await publishRandomPackage({ store: aside, ...plain, model: 'slow', seed });
      if (seed === 1) continue;
      await changeGraph(join(aside, 'slow', `${seed}`), 'policy.onnx', (model) =>
        withSlowRuns(model, 'observation', 1e6),
      );
    }
    const store = await temporaryStore([hyper]);
    await mkdir(join(store, 'slow'));
    for (const version of ['1', '2']) await rename(join(aside, 'slow', version), join(store, 'slow', version));
    const reason = 'policy.onnx: expected a run that ends within 4000 ms, got one that goes on';
    const refused = (version: number) => (line: Line) =>
      line.msg === 'model version refused' && 'version' in line && line.version === version;
    // At the start, where nobody waits yet.
    const { server, client } = await serve(store, ['--max-load-ms', '4000']);
    expect(await server.line(refused(2))).toMatchObject({ model: 'slow', reason });
    expect((await client.act({ model: 'slow', observation })).version).toBe(1);
    // Beside requests. The one thread of the pool is not the one that is given up.
    await rename(join(aside, 'slow', '3'), join(store, 'slow', '3'));
    let isOver = false;
    const second = server.line(refused(3)).finally(() => {
      isOver = true;
    });
    let longestMs = 0;
    for (let context = 0; !isOver; context++) {
      const startMs = performance.now();
      await generate(client, context);
      longestMs = Math.max(longestMs, performance.now() - startMs);
    }
    expect(await second).toMatchObject({ model: 'slow', reason });
    expect(longestMs).toBeLessThan(3500);
    expect((await client.act({ model: 'slow', observation })).version).toBe(1);
  });

  test.each([
    [1, 2],
    [2, 1],
  ])(
    'at the start, in %i processes with %i threads: all else is served, and admins change the model itself',
    async (processCount, workerCount) => {
      // Each version of "another" hangs, and it is the first that is tried.
      const never = { ...plain, model: 'another' };
      const store = await storeWithSlow('plain', 'policy.onnx', 1e6);
      await publishRandomPackage({ store, ...never });
      await changeGraph(join(store, 'another', '1'), 'policy.onnx', (model) => withSlowRuns(model, 'observation', 1e6));
      const args = ['--admin-port', '0', '--processes', `${processCount}`, '--workers', `${workerCount}`];
      // Nobody could wait for that.
      const { server, client } = await serve(store, [...args, '--max-load-ms', '600000', '--max-run-ms', '600000']);
      expect((await client.act({ model: 'plain', observation })).version).toBe(1);
      expect((await generate(client, 7)).version).toBe(1);
      expect((await client.act({ model: 'slow', observation })).version).toBe(1);
      await expect(client.act({ model: 'another', observation })).rejects.toMatchObject({
        kind: 'unavailable',
        actual: 'one that is loading',
      });
      const slow = { msg: 'model version takes long: nothing waits for it', slowMs: 5000 };
      expect(server.lines).toContainEqual(expect.objectContaining({ ...slow, model: 'another', version: 1 }));
      expect(server.lines).toContainEqual(expect.objectContaining({ ...slow, model: 'slow', version: 2 }));
      const ready = await page(server, '/readyz');
      const takesLong = (version: number, model: string) =>
        `version ${version} of model "${model}" takes long to load\n`;
      expect([ready.status, await ready.text()]).toEqual([
        200,
        `ready\n${takesLong(1, 'another')}${takesLong(2, 'slow')}`,
      ]);
      const metrics = await (await page(server, '/metrics')).text();
      expect(metrics).toContain('hyperpolicy_model_version_slow_load{model="another",version="1"} 1\n');
      expect(metrics).toContain('hyperpolicy_model_version_slow_load{model="slow",version="2"} 1\n');
      const admin = createAdminClient({ address: `127.0.0.1:${server.serving.adminPort}`, timeoutMs: 15_000 });
      onTestFinished(() => admin.close());
      expect(await admin.setLabel('slow', 'stable', 1)).toMatchObject({ versions: [1], labels: { stable: 1 } });
      expect(await admin.unloadVersion('slow', 2)).toMatchObject({ versions: [1], withheld: [2] });
      await publishRandomPackage({ store, ...plain, model: 'slow', seed: 3 });
      expect(await admin.loadVersion('slow', 3)).toMatchObject({ versions: [3, 1] });
      expect((await client.act({ model: 'slow', observation })).version).toBe(3);
      await publishRandomPackage({ store, ...never, seed: 2 });
      await expect
        .poll(() => client.act({ model: 'another', observation }), { timeout: 20_000 })
        .toMatchObject({ version: 2 });
    },
  );

  test('at the start, in many versions: they are waited for together, and the models behind them are served', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const store = await temporaryStore([plain, ...names.map((model) => ({ ...plain, model }))]);
    for (const model of names) {
      await changeGraph(join(store, model, '1'), 'policy.onnx', (graph) => withSlowRuns(graph, 'observation', 1e6));
    }
    const { server, client } = await serve(store, ['--max-load-ms', '600000']);
    const first = await server.line(({ msg }) => msg.startsWith('model version takes long'));
    // One after the other, the five others took 25 s at least.
    expect(server.serving.time - first.time).toBeLessThan(15_000);
    await expect
      .poll(() => client.act({ model: 'plain', observation }), { timeout: 20_000 })
      .toMatchObject({ version: 1 });
  });

  test.each([1, 2])('at load, in %i processes: admins change other models meanwhile', async (processCount) => {
    const aside = await temporaryStore([{ ...plain, model: 'slow' }]);
    await changeGraph(join(aside, 'slow', '1'), 'policy.onnx', (model) => withSlowRuns(model, 'observation', 1e6));
    const store = await temporaryStore([plain, hyper]);
    await publishRandomPackage({ store, ...plain, seed: 2 });
    const args = ['--admin-port', '0', '--processes', `${processCount}`, '--max-load-ms', '600000'];
    const { server, client } = await serve(store, args);
    const admin = createAdminClient({ address: `127.0.0.1:${server.serving.adminPort}`, timeoutMs: 15_000 });
    onTestFinished(() => admin.close());
    await rename(join(aside, 'slow'), join(store, 'slow'));
    const slow = () => client.act({ model: 'slow', observation }).catch(({ message }) => message);
    const loading = expect.stringContaining('got one that is loading');
    await expect.poll(slow, { timeout: 20_000 }).toEqual(loading);
    // A change of the model itself waits for some seconds, and nobody for it.
    admin.setTraffic('slow', {}).catch(() => {});
    expect(await admin.rollback('plain')).toMatchObject({ versions: [1], withheld: [2] });
    expect((await client.act({ model: 'plain', observation })).version).toBe(1);
    expect(await admin.loadVersion('plain', 2)).toMatchObject({ versions: [2, 1], withheld: [] });
    expect(await admin.setLabel('plain', 'stable', 1)).toMatchObject({ labels: { stable: 1 } });
    expect((await client.act({ model: 'plain', label: 'stable', observation })).version).toBe(1);
    expect(await slow()).toEqual(loading);
  });

  test.each([1, 2])('ends with the server, in %i processes, on SIGTERM', async (processCount) => {
    const store = await storeWithSlow('plain', 'policy.onnx');
    const { server, client } = await serve(store, [
      '--processes',
      `${processCount}`,
      '--max-run-ms',
      '600000',
      ...patient,
    ]);
    const stuck = client.act({ model: 'slow', observation: slowObservation }, { timeoutMs: 600_000 });
    stuck.catch(() => {});
    expect((await client.act({ model: 'plain', observation })).version).toBe(1);
    const startMs = performance.now();
    server.child.kill('SIGTERM');
    await once(server.child, 'exit');
    // --drain-ms is 500; then 5 s, or 15 with several processes.
    expect(performance.now() - startMs).toBeLessThan(25_000);
    await expect(stuck).rejects.toMatchObject({ kind: 'unavailable' });
    expect(server.lines.filter(({ pid }) => lives(pid))).toEqual([]);
  });

  test('does not outlive the parent of its process', async () => {
    const store = await storeWithSlow('plain', 'policy.onnx');
    const { server, client } = await serve(store, ['--processes', '2', '--max-run-ms', '600000', ...patient]);
    client.act({ model: 'slow', observation: slowObservation }, { timeoutMs: 600_000 }).catch(() => {});
    expect((await client.act({ model: 'plain', observation })).version).toBe(1);
    server.child.kill('SIGKILL');
    const pids = [...new Set(server.lines.map(({ pid }) => pid))];
    await expect.poll(() => pids.filter(lives), { timeout: 20_000 }).toEqual([]);
  });
});

function lives(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
