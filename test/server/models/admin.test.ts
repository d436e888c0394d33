import { readFile, rm, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createAdminClient } from '../../../clients/typescript/admin.ts';
import { emptyRouting, labelForClient, readRouting, writeRouting } from '../../../src/package/routing.ts';
import { metricLines, startTestServer, temporaryStore } from '../fixtures.ts';

const version = (seed: number) =>
  ({ model: 'm', policy: 'plain', critic: 'none', seed, observationSize: 3, actionSize: 2, hiddenSize: 8 }) as const;
const observation = [0.1, 0.2, 0.3];

/** A store with versions 1 to 4 of one model, of which the newest two are kept. */
async function startAdminServer() {
  const store = await temporaryStore([version(1), version(2), version(3), version(4)]);
  const test = await startTestServer([], { store, adminPort: 0 });
  const admin = createAdminClient({ address: `127.0.0.1:${test.server.adminPort}` });
  onTestFinished(() => admin.close());
  const answers = async (options: object = {}) =>
    (await test.client.act({ model: 'm', observation, ...options })).version;
  return { ...test, store, admin, answers };
}

describe('AdminService', () => {
  test('rollback withdraws the newest, load brings it back; both outlive a restart', async () => {
    const { admin, answers, store } = await startAdminServer();
    expect(await answers()).toBe(4);
    expect(await admin.rollback('m')).toMatchObject({ versions: [3, 2], withheld: [4] });
    expect(await answers()).toBe(3);
    const restarted = await startTestServer([], { store });
    expect((await restarted.client.act({ model: 'm', observation })).version).toBe(3);
    expect(await admin.loadVersion('m', 4)).toMatchObject({ versions: [4, 3], withheld: [] });
    expect(await answers()).toBe(4);
  });

  test('an old version is served on demand, and no more once it is unloaded', async () => {
    const { admin, answers } = await startAdminServer();
    await expect(answers({ version: 1 })).rejects.toMatchObject({ kind: 'not_found' });
    expect((await admin.loadVersion('m', 1)).versions).toEqual([4, 3, 1]);
    expect(await answers({ version: 1 })).toBe(1);
    expect((await admin.unloadVersion('m', 1)).versions).toEqual([4, 3]);
    await expect(answers({ version: 1 })).rejects.toMatchObject({ kind: 'not_found' });
  });

  test('a label keeps its version, moves, and goes', async () => {
    const { admin, answers, client } = await startAdminServer();
    await admin.setLabel('m', 'stable', 2);
    expect(await answers({ label: 'stable' })).toBe(2);
    expect((await client.listModels())[0]!.labels).toEqual({ stable: 2 });
    await admin.setLabel('m', 'stable', 3);
    expect(await answers({ label: 'stable' })).toBe(3);
    await expect(answers({ label: 'canary' })).rejects.toThrow(
      'Act label: expected a label of model "m" (stable), got "canary"',
    );
    await expect(admin.unloadVersion('m', 3)).rejects.toThrow(
      'UnloadVersion: expected version 3 without labels, got label "stable". Point the label at another version first',
    );
    await admin.setLabel('m', 'stable', undefined);
    await expect(answers({ label: 'stable' })).rejects.toMatchObject({ kind: 'not_found' });
  });

  test('traffic is split by client, and a client keeps its version', async () => {
    const { admin, answers } = await startAdminServer();
    await admin.setLabel('m', 'stable', 3);
    await admin.setLabel('m', 'canary', 4);
    await admin.setTraffic('m', { stable: 75, canary: 25 });
    const versions: number[] = [];
    for (let i = 0; i < 40; i++) versions.push(await answers({ clientId: `robot-${i}` }));
    expect(new Set(versions)).toEqual(new Set([3, 4]));
    for (let i = 0; i < 40; i++) expect(await answers({ clientId: `robot-${i}` })).toBe(versions[i]);
    // Nobody in particular gets the larger share; who names a version gets it.
    expect(await answers()).toBe(3);
    expect(await answers({ clientId: 'robot-1', version: 4 })).toBe(4);
    await admin.setTraffic('m', {});
    expect(await answers()).toBe(4);
  });

  test.each([
    [
      'an unknown model',
      (admin: ReturnType<typeof createAdminClient>) => admin.rollback('nope'),
      'Rollback model: expected a model of the store, got "nope"',
    ],
    [
      'a path as a model',
      (admin: ReturnType<typeof createAdminClient>) => admin.rollback('../m'),
      'Rollback model: expected a model of the store, got "../m"',
    ],
    [
      'an unknown version',
      (admin: ReturnType<typeof createAdminClient>) => admin.setLabel('m', 'stable', 9),
      'SetLabel version: expected a version of model "m" in the store (1, 2, 3, 4), got 9',
    ],
    [
      'shares that do not sum to 100',
      async (admin: ReturnType<typeof createAdminClient>) => {
        await admin.setLabel('m', 'stable', 3);
        return admin.setTraffic('m', { stable: 50 }).finally(() => admin.setLabel('m', 'stable', undefined));
      },
      'SetTraffic percentages: expected shares that sum to 100, got 50 (stable=50)',
    ],
    [
      'a share of a label that is not there',
      async (admin: ReturnType<typeof createAdminClient>) => {
        await admin.setLabel('m', 'stable', 3);
        return admin
          .setTraffic('m', { stable: 90, canary: 10 })
          .finally(() => admin.setLabel('m', 'stable', undefined));
      },
      'SetTraffic percentages: expected labels of the model (stable), got "canary". Give the label a version first, or take it out of the percentages',
    ],
    [
      'a share below nothing',
      async (admin: ReturnType<typeof createAdminClient>) => {
        await admin.setLabel('m', 'stable', 3);
        return admin.setTraffic('m', { stable: -1 }).finally(() => admin.setLabel('m', 'stable', undefined));
      },
      'SetTraffic percentages: expected 0 to 100 for label "stable", got -1',
    ],
    [
      'a label with a bad name',
      (admin: ReturnType<typeof createAdminClient>) => admin.setLabel('m', 'No Spaces', 4),
      'SetLabel label: expected 1 to 64 of a-z, 0-9, ".", "_" and "-", the first a letter or digit, got "No Spaces"',
    ],
  ])('%s is refused and changes nothing', async (_, act, message) => {
    const { admin, store } = await startAdminServer();
    await expect(act(admin)).rejects.toThrow(message);
    expect(await readRouting(store, 'm')).toEqual(emptyRouting);
  });

  test('a label on a version that does not load is taken back', async () => {
    const { admin, store, answers } = await startAdminServer();
    await writeFile(join(store, 'm', '1', 'policy.onnx'), 'damaged');
    await expect(admin.setLabel('m', 'stable', 1)).rejects.toMatchObject({ kind: 'failed_precondition' });
    expect(await readRouting(store, 'm')).toEqual(emptyRouting);
    expect(await answers()).toBe(4);
  });

  test('the only version of a model, where it does not load, is an error and is not labelled', async () => {
    const store = await temporaryStore([version(1)]);
    const { server } = await startTestServer([], { store, adminPort: 0 });
    const admin = createAdminClient({ address: `127.0.0.1:${server.adminPort}` });
    onTestFinished(() => admin.close());
    await writeFile(join(store, 'm', '1', 'policy.onnx'), 'damaged');
    const touched = new Date();
    await utimes(join(store, 'm', '1', 'manifest.json'), touched, touched);
    await admin.unloadVersion('m', 1);
    const refusal =
      'expected version 1 of model "m" to load, got one that is withheld or refused. The log has the reason';
    await expect(admin.loadVersion('m', 1)).rejects.toThrow(`LoadVersion: ${refusal}`);
    await expect(admin.setLabel('m', 'stable', 1)).rejects.toThrow(`SetLabel: ${refusal}`);
    expect(await readRouting(store, 'm')).toEqual({ ...emptyRouting, withheld: [1] });
  });

  test('a version that is gone from the store is not withheld any more', async () => {
    const { admin, store } = await startAdminServer();
    expect((await admin.unloadVersion('m', 4)).withheld).toEqual([4]);
    expect((await admin.unloadVersion('m', 3)).withheld).toEqual([3, 4]);
    await rm(join(store, 'm', '4'), { recursive: true });
    expect((await admin.setLabel('m', 'stable', 2)).withheld).toEqual([3]);
    expect((await readRouting(store, 'm')).withheld).toEqual([3]);
  });

  test('a label that takes traffic cannot be removed', async () => {
    const { admin } = await startAdminServer();
    await admin.setLabel('m', 'stable', 3);
    await admin.setTraffic('m', { stable: 100 });
    await expect(admin.setLabel('m', 'stable', undefined)).rejects.toThrow(
      'SetLabel percentages: expected labels, of which the model has none, got "stable". Give the label a version first, or take it out of the percentages',
    );
  });

  test('each action has one line of the log, with what was asked and how it ended', async () => {
    const { admin, lines } = await startAdminServer();
    await admin.loadVersion('m', 1);
    await admin.setLabel('m', 'stable', 3);
    await admin.setTraffic('m', { stable: 100 });
    await admin.setTraffic('m', {});
    await admin.setLabel('m', 'stable', undefined);
    await admin.unloadVersion('m', 1);
    await admin.rollback('m');
    await expect(admin.rollback('x'.repeat(5000))).rejects.toThrow();
    const told = lines.filter(({ msg }) => String(msg).startsWith('admin action'));
    expect(told.map(({ time: _, pid: _pid, hostname: _host, ...line }) => line)).toEqual(
      [
        { action: 'LoadVersion', model: 'm', version: 1, versions: [4, 3, 1], withheld: [] },
        { action: 'SetLabel', model: 'm', version: 3, label: 'stable', versions: [4, 3, 1], withheld: [] },
        { action: 'SetTraffic', model: 'm', shares: 'stable=100', versions: [4, 3, 1], withheld: [] },
        { action: 'SetTraffic', model: 'm', shares: '', versions: [4, 3, 1], withheld: [] },
        { action: 'SetLabel', model: 'm', label: 'stable', removed: true, versions: [4, 3, 1], withheld: [] },
        { action: 'UnloadVersion', model: 'm', version: 1, versions: [4, 3], withheld: [1] },
        { action: 'Rollback', model: 'm', versions: [3, 2], withheld: [1, 4] },
        {
          ...{ action: 'Rollback', model: 'x'.repeat(1000), level: 40, msg: 'admin action refused' },
          reason: expect.stringMatching(/^Rollback model: expected a model of the store, got "x+"$/),
        },
      ].map((line) => ({ level: 30, msg: 'admin action', ...line })),
    );
  });

  test('a model of which all is unloaded says what brings it back', async () => {
    const store = await temporaryStore([version(1), version(2)]);
    const { server, client } = await startTestServer([], { store, adminPort: 0 });
    const admin = createAdminClient({ address: `127.0.0.1:${server.adminPort}` });
    onTestFinished(() => admin.close());
    await admin.rollback('m');
    await admin.unloadVersion('m', 1);
    await expect(client.act({ model: 'm', observation })).rejects.toThrow(
      'Act model: expected a version of model "m" that is ready, got none: versions 2, 1 were unloaded or rolled back. Bring one back with "hyperpolicy models load"',
    );
    await rm(join(store, 'm', '2'), { recursive: true });
    await server.models.refresh();
    await expect(client.getModel({ model: 'm' })).rejects.toThrow('got none: version 1 was unloaded or rolled back. ');
    await admin.loadVersion('m', 1);
    expect((await client.act({ model: 'm', observation })).version).toBe(1);
  });

  test('the last version cannot be rolled back', async () => {
    const store = await temporaryStore([version(1)]);
    const { server } = await startTestServer([], { store, adminPort: 0 });
    const admin = createAdminClient({ address: `127.0.0.1:${server.adminPort}` });
    onTestFinished(() => admin.close());
    await expect(admin.rollback('m')).rejects.toMatchObject({ kind: 'failed_precondition' });
  });

  test('is not on the port of the policy service', async () => {
    const { address } = await startAdminServer();
    const wrong = createAdminClient({ address });
    onTestFinished(() => wrong.close());
    await expect(wrong.rollback('m')).rejects.toThrow(/Rollback: expected a port with this method/);
  });
});

describe('routing', () => {
  test('a damaged file keeps what was read before, and says so', async () => {
    const store = await temporaryStore([version(1), version(2)]);
    await writeRouting(store, 'm', { labels: { stable: 1 }, percentages: {}, withheld: [] });
    const test = await startTestServer([], { store });
    const { server, client, lines } = test;
    await writeFile(join(store, 'm', 'labels.json'), '{"labels": 5}');
    await server.models.refresh();
    expect((await client.act({ model: 'm', label: 'stable', observation })).version).toBe(1);
    expect(lines.find(({ msg }) => msg === 'labels refused')).toMatchObject({ model: 'm' });
    await server.models.refresh();
    await writeRouting(store, 'm', { labels: { stable: 2 }, percentages: {}, withheld: [] });
    await server.models.refresh();
    await server.models.refresh();
    // What is read at the start is no change.
    expect(await metricLines(test, 'hyperpolicy_reloads_total{kind="labels"')).toEqual({
      'hyperpolicy_reloads_total{kind="labels",result="loaded"}': 1,
      'hyperpolicy_reloads_total{kind="labels",result="refused"}': 1,
    });
  });

  test('of a damaged file that was never read serves nothing of its model until it is mended', async () => {
    const store = await temporaryStore([version(1), version(2), { ...version(1), model: 'other' }]);
    const file = join(store, 'm', 'labels.json');
    await writeRouting(store, 'm', { labels: {}, percentages: {}, withheld: [2] });
    const whole = await readFile(file);
    await writeFile(file, whole.subarray(0, 10));
    const test = await startTestServer([], { store });
    const { server, client, lines } = test;
    await server.models.refresh();
    expect(await client.listModels()).toMatchObject([{ model: 'other', versions: [1] }]);
    await expect(client.act({ model: 'm', observation })).rejects.toThrow(
      'Act model: expected a version of model "m" that is ready, got none. The server\'s log has the reason',
    );
    expect(lines.filter(({ msg }) => msg === 'labels refused')).toMatchObject([
      { level: 50, model: 'm', file, served: 'none', remedy: expect.stringMatching(/^Mend the file, or remove it/) },
    ]);
    await writeFile(file, whole);
    await server.models.refresh();
    expect((await client.act({ model: 'm', observation })).version).toBe(1);
  });

  test('of a damaged file keeps withheld what was the only version', async () => {
    const store = await temporaryStore([version(1)]);
    const { server, client } = await startTestServer([], { store });
    await writeRouting(store, 'm', { labels: {}, percentages: {}, withheld: [1] });
    await server.models.refresh();
    await truncate(join(store, 'm', 'labels.json'));
    for (let look = 0; look < 2; look++) await server.models.refresh();
    await expect(client.act({ model: 'm', observation })).rejects.toMatchObject({ kind: 'unavailable' });
  });

  const labels = (count: number) => ({
    labels: Object.fromEntries(Array.from({ length: count }, (_, i) => [`l${i}`, 1])),
  });
  const long = 'x'.repeat(100_000);
  const numbers = (count: number) => ({ withheld: Array.from({ length: count }, () => 0) });
  test.each([
    ['1,001 labels', labels(1001), /labels: expected at most 1000, got 1001$/],
    ['3,000 labels', labels(3000), /got more than 2100 lists, objects and fields$/],
    ['500,000 labels', labels(500_000), /labels\.json: expected at most 524288 bytes, got \d+$/],
    ['20,000 numbers', numbers(20_000), /got withheld: expected at most 10000 entries$/],
    [
      'a label of a version that no message carries',
      { labels: { canary: 1_700_000_000_000 } },
      /^m\/labels\.json: expected labels, percentages and withheld, got labels\.canary: Too big: expected number to be <=4294967295$/,
    ],
    ['a long name', { [long]: 1 }, /got Unrecognized key: "x{162,200}$/],
    [
      'two versions of a label',
      '{"labels": {"stable": 1,\n"stable": 2}}',
      /^m\/labels\.json: expected labels, percentages and withheld, got "stable" twice in an object \(line 1 and line 2\)$/,
    ],
  ])('%s are refused, said once, and hold up nobody', async (_, content, reason) => {
    const store = await temporaryStore([version(1), version(2)]);
    await writeRouting(store, 'm', { labels: { stable: 1 }, percentages: {}, withheld: [] });
    const { server, client, lines } = await startTestServer([], { store });
    await writeFile(join(store, 'm', 'labels.json'), typeof content === 'string' ? content : JSON.stringify(content));
    for (let look = 0; look < 3; look++) await server.models.refresh();
    expect((await client.act({ model: 'm', label: 'stable', observation })).version).toBe(1);
    expect(await client.listModels()).toMatchObject([{ model: 'm', labels: { stable: 1 } }]);
    const refusals = lines.filter(({ msg }) => msg === 'labels refused');
    expect(refusals).toMatchObject([{ model: 'm', reason: expect.stringMatching(reason) }]);
  });

  test('is written whole or not at all', async () => {
    const store = await temporaryStore([version(1)]);
    await writeRouting(store, 'm', { labels: { a: 1 }, percentages: { a: 100 }, withheld: [] });
    const before = await readFile(join(store, 'm', 'labels.json'), 'utf8');
    await expect(writeRouting(store, 'm', { labels: {}, percentages: { a: 100 }, withheld: [] })).rejects.toThrow();
    expect(await readFile(join(store, 'm', 'labels.json'), 'utf8')).toBe(before);
  });

  test('shares are kept to a few per cent over many clients', () => {
    const routing = { labels: { a: 1, b: 2 }, percentages: { a: 90, b: 10 }, withheld: [] };
    const count = 10_000;
    let b = 0;
    for (let i = 0; i < count; i++) if (labelForClient(routing, `client-${i}`) === 'b') b++;
    // Standard error 0.3 %; four of them.
    expect(Math.abs(b / count - 0.1)).toBeLessThan(0.012);
  });
});
