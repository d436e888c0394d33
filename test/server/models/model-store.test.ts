import { cp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { publishRandomPackage } from '../../random-package.ts';
import { metricLines, startTestServer, temporaryStore } from '../fixtures.ts';

const sizes = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
const plain = (model: string, seed = 1) => ({ model, policy: 'plain', critic: 'none', seed, ...sizes }) as const;
const observation = [0.1, 0.2, 0.3];

describe('the model store', () => {
  test('serves the newest version, and the one before by its number', async () => {
    const store = await temporaryStore([plain('m', 1), plain('m', 2), plain('m', 3)]);
    const { client } = await startTestServer([], { store });
    expect((await client.listModels())[0]!.versions).toEqual([3, 2]);
    const newest = await client.act({ model: 'm', observation });
    const former = await client.act({ model: 'm', version: 2, observation });
    expect([newest.version, former.version]).toEqual([3, 2]);
    expect(former.action).not.toEqual(newest.action);
    await expect(client.act({ model: 'm', version: 1, observation })).rejects.toThrow(
      'Act version: expected a version of model "m" that is ready (3, 2), got 1',
    );
  });

  test.each([
    [
      'a truncated graph',
      (directory: string) => truncate(join(directory, 'policy.onnx'), 100),
      /expected \d+ bytes, got 100/,
    ],
    [
      'a changed byte',
      async (directory: string) => {
        const path = join(directory, 'policy.onnx');
        const bytes = await readFile(path);
        bytes[bytes.length - 20]! ^= 1;
        await writeFile(path, bytes);
      },
      /expected SHA-256/,
    ],
    ['a missing graph', (directory: string) => rm(join(directory, 'policy.onnx')), /policy\.onnx: expected a file/],
    [
      'a manifest that is not JSON',
      (directory: string) => writeFile(join(directory, 'manifest.json'), '{'),
      /expected JSON/,
    ],
    [
      'a probe that differs',
      async (directory: string) => {
        const path = join(directory, 'manifest.json');
        const manifest = JSON.parse(await readFile(path, 'utf8'));
        manifest.probes[0].outputs.action.values[0] += 0.01;
        await writeFile(path, JSON.stringify(manifest));
      },
      /policy probe output "action": expected .* at 0 within 0.0001, got .*The version is not served/,
    ],
    [
      'a graph with another size than the specs',
      async (directory: string) => {
        const path = join(directory, 'manifest.json');
        const manifest = JSON.parse(await readFile(path, 'utf8'));
        manifest.policy.graph.inputs[0].shape[1] = 4;
        await writeFile(path, JSON.stringify(manifest));
      },
      /policy\.onnx input "observation": expected shape \[rows, 3\], got \[B, 4\]/,
    ],
  ])('%s is refused with its reason while the others and the older version serve', async (_, damage, reason) => {
    const store = await temporaryStore([plain('m', 1), plain('m', 2), plain('other')]);
    await damage(join(store, 'm', '2'));
    const server = await startTestServer([], { store });
    const { client, lines } = server;
    expect((await client.act({ model: 'm', observation })).version).toBe(1);
    expect((await client.act({ model: 'other', observation })).version).toBe(1);
    const refusal = lines.find(({ msg }) => msg === 'model version refused');
    expect(refusal).toMatchObject({ model: 'm', version: 2, reason: expect.stringMatching(reason) });
    expect(await metricLines(server, 'hyperpolicy_model_loads_total{model="m"')).toEqual({
      'hyperpolicy_model_loads_total{model="m",result="loaded"}': 1,
      'hyperpolicy_model_loads_total{model="m",result="refused"}': 1,
    });
  });

  test('a model none of whose versions loads is unavailable, not unknown', async () => {
    const store = await temporaryStore([plain('m'), plain('other')]);
    await truncate(join(store, 'm', '1', 'policy.onnx'), 100);
    const { client, server } = await startTestServer([], { store });
    await expect(client.act({ model: 'm', observation })).rejects.toMatchObject({
      kind: 'unavailable',
      message: 'Act model: expected a version of model "m" that is ready, got none. The server\'s log has the reason',
    });
    await publishRandomPackage({ store, ...plain('m', 2) });
    await server.models.refresh();
    expect((await client.act({ model: 'm', observation })).version).toBe(2);
  });

  test('takes up a version that is published later, keeps two, and forgets a model that is gone', async () => {
    const store = await temporaryStore([plain('m', 1)]);
    const { client, server } = await startTestServer([], { store });
    const first = await client.act({ model: 'm', observation });
    await publishRandomPackage({ store, ...plain('m', 2) });
    await publishRandomPackage({ store, ...plain('m', 3) });
    await publishRandomPackage({ store, ...plain('late') });
    await server.models.refresh();
    const later = await client.act({ model: 'm', observation });
    expect([first.version, later.version]).toEqual([1, 3]);
    expect(server.models.list().map(({ model, versions }) => [model, versions.map(({ version }) => version)])).toEqual([
      ['late', [1]],
      ['m', [3, 2]],
    ]);
    await rm(join(store, 'm'), { recursive: true });
    await server.models.refresh();
    await expect(client.act({ model: 'm', observation })).rejects.toMatchObject({ kind: 'not_found' });
  });

  test('a version that is being published is not seen', async () => {
    const store = await temporaryStore([plain('m', 1)]);
    await cp(join(store, 'm', '1'), join(store, 'm', '.aside-2'), { recursive: true });
    const { client } = await startTestServer([], { store });
    expect((await client.listModels())[0]!.versions).toEqual([1]);
  });

  test('a store that is missing or empty is live and not ready, until a model comes', async () => {
    const store = join(await temporaryStore(), 'later');
    const test = await startTestServer([], { store });
    const status = async (path: string) => (await fetch(`http://127.0.0.1:${test.server.metricsPort}${path}`)).status;
    expect([await status('/healthz'), await status('/readyz')]).toEqual([200, 503]);
    await expect(test.client.act({ model: 'm', observation })).rejects.toMatchObject({
      kind: 'unavailable',
      message:
        'Act model: expected a store with a model that is ready, got none. Publish one into the store of the server: "hyperpolicy train td3", or to try it "hyperpolicy models make-random --model demo"',
    });
    await publishRandomPackage({ store, ...plain('m') });
    await test.server.models.refresh();
    expect(await status('/readyz')).toBe(200);
    expect((await test.client.act({ model: 'm', observation })).version).toBe(1);
  });
});
