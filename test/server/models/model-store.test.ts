import { execFileSync } from 'node:child_process';
import { cp, mkdir, readFile, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAdminClient } from '../../../clients/typescript/admin.ts';
import { parseServerConfig } from '../../../server/config.ts';
import { Serving } from '../../../server/serving.ts';
import { ModelProtoSchema } from '../../../src/gen/onnx/onnx_pb.ts';
import type { Manifest } from '../../../src/package/manifest.ts';
import { changeGraph, makeEndless } from '../../endless-graph.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { metricLines, recordingLog, startTestServer, temporaryStore } from '../fixtures.ts';

const sizes = { observationSize: 3, actionSize: 2, hiddenSize: 8 };
const plain = (model: string, seed = 1) => ({ model, policy: 'plain', critic: 'none', seed, ...sizes }) as const;
const observation = [0.1, 0.2, 0.3];

async function editManifest(directory: string, edit: (manifest: Manifest) => void): Promise<void> {
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  edit(manifest);
  await writeFile(path, JSON.stringify(manifest));
}

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
      (directory: string) =>
        editManifest(directory, ({ probes }) => {
          probes[0]!.outputs.action!.values[0]! += 0.01;
        }),
      /policy probe output "action": expected .* at 0 within 0.0001, got .*The version is not served/,
    ],
    [
      'a probe without outputs',
      (directory: string) =>
        editManifest(directory, ({ probes }) => {
          probes[0]!.outputs = {};
        }),
      /policy probe output "action": expected values to compare, got none/,
    ],
    [
      'a probe of no rows',
      (directory: string) =>
        editManifest(directory, ({ probes }) => {
          probes[0]!.inputs = { observation: { shape: [0, 3], values: [] } };
          probes[0]!.outputs = { action: { shape: [0, 2], values: [] } };
        }),
      /policy probe output "action": expected values to compare, got none/,
    ],
    [
      'a network without a probe',
      (directory: string) =>
        editManifest(directory, ({ probes }) => {
          probes[0]!.target = 'critic';
        }),
      /m version 2: expected a probe of its policy, got none/,
    ],
    [
      'a probe that takes anything',
      (directory: string) =>
        editManifest(directory, ({ probes }) => {
          probes[0]!.tolerance = 1e9;
        }),
      /expected a valid "probes\.0\.tolerance"/,
    ],
    [
      'weights that are no numbers',
      (directory: string) =>
        changeGraph(directory, 'policy.onnx', (model) => {
          const proto = fromBinary(ModelProtoSchema, model);
          proto.graph!.initializer.find(({ dims }) => dims.length === 2)!.rawData.fill(0xff, 4, 8);
          return toBinary(ModelProtoSchema, proto);
        }),
      /policy\.onnx: expected finite weights, got one that is not, at 1 of /,
    ],
    [
      'a graph of another size than the manifest says',
      async (directory: string) => {
        const other = join(await temporaryStore([{ ...plain('m'), observationSize: 4 }]), 'm', '1', 'policy.onnx');
        const bytes = await readFile(other);
        await changeGraph(directory, 'policy.onnx', () => bytes);
      },
      /policy\.onnx input "observation": expected that of the manifest, float32 \[B, 3\], got float32 \[B, 4\]/,
    ],
    [
      'a graph whose runs never end',
      (directory: string) => makeEndless(directory, 'policy.onnx'),
      /policy\.onnx: expected a graph whose runs end, without Loop, got a node "for ever" of type Loop/,
    ],
    [
      'a graph with another size than the specs',
      (directory: string) =>
        editManifest(directory, ({ policy }) => {
          if (policy?.kind === 'plain') policy.graph.inputs[0]!.shape[1] = 4;
        }),
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

  test.each(['policy.primary.onnx', 'policy.dynamic.onnx', 'critic.primary.onnx', 'critic.dynamic.onnx'])(
    'a %s that never ends is refused, and the server goes on and stops',
    async (file) => {
      const hyper = (model: string) =>
        ({ model, policy: 'hyper', critic: 'hyper', trunkSizes: [8], ...sizes }) as const;
      const store = await temporaryStore([hyper('bad'), hyper('good')]);
      await makeEndless(join(store, 'bad', '1'), file);
      const { client, lines } = await startTestServer([], { store });
      expect((await client.listModels()).map(({ model }) => model)).toEqual(['good']);
      expect(lines.find(({ msg }) => msg === 'model version refused')).toMatchObject({
        model: 'bad',
        reason: expect.stringContaining('without Loop'),
      });
    },
  );

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

  test('folders that are passed over are named once with the reason, and hide nothing', async () => {
    const store = await temporaryStore([plain('m'), plain('good')]);
    for (const path of ['Upper/1', 'm/v1', 'm/0004', 'm/4294967296', '.hidden', 'm/.aside']) {
      await mkdir(join(store, path), { recursive: true });
    }
    await cp(join(store, 'm/1'), join(store, '7'), { recursive: true });
    await symlink('loop', join(store, 'loop'));
    await symlink('5', join(store, 'm/5'));
    await symlink('/nowhere', join(store, 'unplugged'));
    await writeFile(join(store, 'notes.txt'), '');
    execFileSync('mkfifo', [join(store, 'pipe'), join(store, 'good/2')]);
    const { server, client, lines } = await startTestServer([], { store });
    await server.models.refresh();
    expect((await client.listModels()).map(({ model, versions }) => [model, versions])).toEqual([
      ['good', [1]],
      ['m', [1]],
    ]);
    const version = 'expected a version, an integer from 1 to 4294967295 without leading zeros, got';
    const told = lines.filter(({ msg }) => msg === 'folder of the store passed over');
    const reasons = Object.fromEntries(
      told.map(({ directory, reason }) => [relative(store, String(directory)), reason]),
    );
    expect(reasons).toEqual({
      Upper: 'expected a model name (1 to 64 of a-z 0-9 . _ - and a letter or digit first), got "Upper"',
      'm/v1': `${version} "v1"`,
      'm/0004': `${version} "0004"`,
      '7': "expected a model's folder, got one of its versions. The store is the folder above: name that one",
      loop: 'expected a folder that can be read, got ELOOP: too many symbolic links encountered',
      unplugged: 'expected a folder that can be read, got ENOENT: no such file or directory',
    });
    expect(told).toHaveLength(6);
    expect(lines.filter(({ version: refused }) => refused === 2 ** 32)).toMatchObject([
      { msg: 'model version refused', model: 'm', reason: `${version} "4294967296"` },
    ]);
    expect(lines).toContainEqual(expect.objectContaining({ msg: 'model version refused', model: 'm', version: 5 }));
  });

  test('the folder of a model, or of a version, given as the store is named', async () => {
    const store = await temporaryStore([plain('m')]);
    for (const [given, reason] of [
      ['m', "expected a model's folder, got one of its versions. The store is the folder above: name that one"],
      ['m/1', 'expected a store, got one version of a model. Name the folder two above it'],
    ] as const) {
      const { lines } = await startTestServer([], { store: join(store, given) });
      expect(lines).toContainEqual(expect.objectContaining({ msg: 'folder of the store passed over', reason }));
    }
  });

  test('the largest version that messages carry is served, and none after it is published', async () => {
    const store = await temporaryStore([{ ...plain('m'), critic: 'plain' }]);
    const largest = 2 ** 32 - 1;
    const rename = async (version: number) => {
      await cp(join(store, 'm/1'), join(store, `m/${version}`), { recursive: true });
      const path = join(store, `m/${version}/manifest.json`);
      await writeFile(path, JSON.stringify({ ...JSON.parse(await readFile(path, 'utf8')), version }));
    };
    for (const version of [2 ** 31, largest, 1_700_000_000_000]) await rename(version);
    const { client, server } = await startTestServer([], { store, httpPort: 0, adminPort: 0 });
    expect((await client.listModels())[0]!.versions).toEqual([largest, 2 ** 31]);
    expect((await client.act({ model: 'm', observation })).version).toBe(largest);
    for (const version of [largest, 2 ** 31]) {
      expect((await client.act({ model: 'm', version, observation })).version).toBe(version);
      expect((await client.qGrad({ model: 'm', version, observation, action: [0, 0] })).version).toBe(version);
      const stream = client.actStream({ model: 'm', version });
      expect((await stream.act({ observation })).version).toBe(version);
      stream.close();
      const response = await fetch(`http://127.0.0.1:${server.httpPort}/hyperpolicy.v1.PolicyService/GetModel`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'm', version }),
      });
      expect(await response.json()).toMatchObject({ model: 'm', version });
    }
    const admin = createAdminClient({ address: `127.0.0.1:${server.adminPort}` });
    onTestFinished(() => admin.close());
    expect((await admin.setLabel('m', 'stable', largest)).labels).toEqual({ stable: largest });
    expect((await client.act({ model: 'm', label: 'stable', observation })).version).toBe(largest);
    await expect(publishRandomPackage({ store, ...plain('m', 2) })).rejects.toThrow(
      'expected a version below 4294967295, the largest that messages carry, as the newest, got 4294967295',
    );
  });

  test('a version that is replaced by one that does not load goes on, and the next good one is taken', async () => {
    const store = await temporaryStore([plain('m', 1)]);
    const { client, server, lines } = await startTestServer([], { store });
    const { action } = await client.act({ model: 'm', observation });
    const graph = join(store, 'm/1/policy.onnx');
    const manifest = join(store, 'm/1/manifest.json');
    const whole = await readFile(graph);
    await truncate(graph, 100);
    await utimes(manifest, 1, 1);
    for (let i = 0; i < 2; i++) await server.models.refresh();
    expect((await client.act({ model: 'm', observation })).action).toEqual(action);
    expect(lines.filter(({ msg }) => msg === 'model version refused')).toHaveLength(1);
    await writeFile(graph, whole);
    await server.models.refresh();
    expect(lines.filter(({ msg }) => msg === 'model version ready')).toHaveLength(2);
    expect((await client.act({ model: 'm', observation })).action).toEqual(action);
  });

  test('a package that is still being copied is tried again when its files are there', async () => {
    const store = await temporaryStore([plain('m', 1)]);
    const graph = join(store, 'm/1/policy.onnx');
    const whole = await readFile(graph);
    await rm(graph);
    const { client, server } = await startTestServer([], { store });
    await expect(client.act({ model: 'm', observation })).rejects.toMatchObject({ kind: 'unavailable' });
    await writeFile(graph, whole);
    await server.models.refresh();
    expect((await client.act({ model: 'm', observation })).version).toBe(1);
  });

  test('a pipe in the place of labels or of a manifest is refused, not waited for', async () => {
    const store = await temporaryStore([plain('m', 1), plain('m', 2), plain('n')]);
    await rm(join(store, 'm/2/manifest.json'));
    execFileSync('mkfifo', [join(store, 'n/labels.json'), join(store, 'm/2/manifest.json')]);
    const { client, lines } = await startTestServer([], { store });
    expect((await client.act({ model: 'm', observation })).version).toBe(1);
    await expect(client.act({ model: 'n', observation })).rejects.toMatchObject({ kind: 'unavailable' });
    for (const [msg, file] of [
      ['labels refused', 'n/labels.json'],
      ['model version refused', 'm/2/manifest.json'],
    ]) {
      const reason = expect.stringContaining(`${join(store, file!)}: expected a regular file, got something else`);
      expect(lines).toContainEqual(expect.objectContaining({ msg, reason }));
    }
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

  test('a server whose models are loaded is not ready until its port listens', async () => {
    const store = await temporaryStore([plain('m')]);
    const config = parseServerConfig({ store, port: 0, watchMs: 0, drainMs: 0, newRows: 'kept' });
    const serving = new Serving(config, recordingLog().log);
    onTestFinished(() => serving.close());
    const reasons = [serving.notReady()];
    await serving.start(async ({ models }) => {
      expect(models.list()).toHaveLength(1);
      reasons.push(serving.notReady());
    });
    reasons.push(serving.notReady());
    await serving.drain();
    reasons.push(serving.notReady());
    expect(reasons).toEqual(['loading', 'loading', undefined, 'draining']);
  });
});
