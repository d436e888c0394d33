/** Loading a version beside other work: no long turns of the event loop, and nothing served but what was checked. */

import { existsSync, readFileSync } from 'node:fs';
import { readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import pino from 'pino';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { ComputePool } from '../../../server/compute/compute-pool.ts';
import { parseServerConfig } from '../../../server/config.ts';
import { ModelStore } from '../../../server/models/model-store.ts';
import { PackageLoader, type PackageLoaderOptions } from '../../../server/models/package-loader.ts';
import { openVersion } from '../../../server/models/served-version.ts';
import { VersionLabels } from '../../../server/telemetry/version-labels.ts';
import { ContextCache } from '../../../server/weights/context-cache.ts';
import { isInstalled, missingDevice } from '../../../src/onnx/providers.ts';
import { createWorkerPool } from '../../../src/onnx/worker-pool.ts';
import { readPackageIndex } from '../../../src/package/package.ts';
import { emptyRouting, writeRouting } from '../../../src/package/routing.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { metricLines, recordingLog, startTestServer, temporaryStore } from '../fixtures.ts';

const observation = [0.1, 0.2, 0.3];
const sizes = { observationSize: 3, actionSize: 2, hiddenSize: 8 } as const;
const plain = { model: 'small', policy: 'plain', critic: 'none', ...sizes } as const;
const hyper = { model: 'hyper', policy: 'hyper', critic: 'hyper', trunkSizes: [16], ...sizes } as const;
const large = { model: 'large', policy: 'hyper', critic: 'none', hiddenSize: 256, trunkSizes: [512, 1024] } as const;

/** By this file Linux tells how long the calling thread has computed, whatever the neighbours do; other systems have none. */
const schedule = '/proc/thread-self/schedstat';
const computedMs = () => Number(readFileSync(schedule, 'utf8').split(' ')[0]) / 1e6;

/** A turn of the event loop computes for at most so long while a version is loaded, as told in ticks of 4 ms; opening the file takes longer. */
const turnMsMax = 25;

test.runIf(existsSync(schedule))('no turn of the event loop computes for long', { timeout: 240_000 }, async () => {
  const store = await temporaryStore([plain]);
  const aside = await temporaryStore([large]);
  expect((await stat(join(aside, 'large', '1', 'policy.primary.onnx'))).size).toBeGreaterThan(30e6);
  const { server, client } = await startTestServer([], { store });
  await client.act({ model: 'small', observation });
  await rename(join(aside, 'large'), join(store, 'large'));
  let turnCount = 0;
  let longestMs = 0;
  let before = computedMs();
  const look = () => {
    const now = computedMs();
    longestMs = Math.max(longestMs, now - before);
    before = now;
    turnCount++;
    timer = setImmediate(look);
  };
  let timer = setImmediate(look);
  // Where both cores are busy, loading can take so long that it is given up and tried again.
  while (server.models.list().length < 2) await server.models.refresh();
  clearImmediate(timer);
  expect(server.models.list().map(({ model }) => model)).toEqual(['large', 'small']);
  expect(turnCount).toBeGreaterThan(100);
  expect(longestMs).toBeLessThan(turnMsMax);
});

test('a client that asks for a model while it loads is told so, also if it waits for another', async () => {
  const store = await temporaryStore([plain]);
  const aside = await temporaryStore([hyper, { ...plain, model: 'waits' }]);
  const { server } = await startTestServer([], { store });
  for (const model of ['hyper', 'waits']) await rename(join(aside, model), join(store, model));
  let isOver = false;
  const refreshed = server.models.refresh().then(() => {
    isOver = true;
  });
  const messages = new Set<string>();
  const ask = (model: string) =>
    server.models.resolve('Act', { model, selection: { case: undefined } }, { caller: undefined });
  while (!isOver) {
    for (const model of ['hyper', 'waits']) {
      try {
        ask(model);
      } catch (error) {
        messages.add((error as Error).message);
      }
    }
    await new Promise(setImmediate);
  }
  await refreshed;
  const told = (model: string) =>
    `Act model: expected a version of model "${model}" that is ready, got one that is loading. Ask again in a few seconds: a large network takes that long`;
  const unknown = (model: string) => `Act model: expected one of "small", got "${model}"`;
  // Unknown until the store is listed.
  expect([...messages]).toEqual([unknown('hyper'), unknown('waits'), told('hyper'), told('waits')]);
  expect([ask('hyper').version, ask('waits').version]).toEqual([1, 1]);
});

/** What versions are opened with. */
function networkOptions() {
  const executor = createWorkerPool({ workerCount: 1, queueCountMax: 1, session: { threadCount: 1 } });
  onTestFinished(() => executor.dispose());
  const cache = () => new ContextCache({ bytesMax: 2 ** 20, timeToLiveMs: 0 });
  return {
    pool: new ComputePool({ executor, batchRowCountMax: 4, queueRowCountMax: 8 }),
    inline: { threadCount: 1 },
    precision: 'float32',
    newRows: 'kept',
    contextCache: cache(),
    criticCache: cache(),
    labels: new VersionLabels(),
  } as const;
}

/** A loader, and what it tells. */
function loaderOf(
  options: Pick<PackageLoaderOptions, 'store' | 'devices' | 'networks'> & Partial<PackageLoaderOptions>,
) {
  const { log, lines } = recordingLog();
  const told = {
    onLoad: vi.fn(),
    onDeviceFallback: vi.fn(),
    onWithdrawn: vi.fn(),
    onTried: vi.fn(),
    newestOf: vi.fn(),
  };
  const stuck = { stuckCount: () => 0, stuckCountMax: 1 };
  const openTrial = vi.fn();
  return { loader: new PackageLoader({ ...stuck, openTrial, ...options, ...told, log }), lines, ...told };
}

test.each(['policy.primary.onnx', 'critic.primary.onnx', 'policy.dynamic.onnx'])(
  'a package whose %s changes after it was looked at is refused',
  async (file) => {
    const directory = join(await temporaryStore([hyper]), 'hyper', '1');
    const options = { ...networkOptions(), device: 'cpu', keyPrefix: '0/', restRatio: 0 } as const;
    const index = await readPackageIndex(directory);
    const path = join(directory, file);
    const bytes = await readFile(path);
    const changed = Buffer.from(bytes);
    changed[changed.length - 20]! ^= 1;
    await writeFile(path, changed);
    await expect(openVersion(index, options)).rejects.toMatchObject({
      kind: 'invalid_argument',
      where: path,
      expected: `SHA-256 ${index.manifest.files[file]!.sha256}`,
    });
    await writeFile(path, bytes);
    (await openVersion(index, options)).retire();
  },
);

describe('a version that takes long', () => {
  /** Opens the store with a version that takes long until it is told to go on. `hold` makes another wait, which does not tell that it is slow. */
  async function openedWithSlow({ slow = 'hyper/1', seeds = [0] }: { slow?: string; seeds?: readonly number[] } = {}) {
    const store = await temporaryStore([plain, ...seeds.map((seed) => ({ ...hyper, seed }))]);
    const networks = networkOptions();
    const held = new Map<string, Promise<void>>();
    const hold = (folder: string) => {
      let goOn = () => {};
      held.set(
        join(store, folder),
        new Promise((resolve) => {
          goOn = resolve;
        }),
      );
      return goOn;
    };
    const goOn = hold(slow);
    const openings = new Set<string>();
    const slowly: PackageLoaderOptions['networks']['pool'] = {
      async open(file, options) {
        const directory = dirname(file.path);
        openings.add(directory);
        if (directory === join(store, slow)) expect(options.onSlow!()).toBe(false);
        await held.get(directory);
        return networks.pool.open(file, options);
      },
    };
    // So that each version is tried first.
    const stuckCount = () => 1;
    const { models, lines, told } = storeOf({ store, networks, trialPool: slowly, stuckCount });
    onTestFinished(() => {
      goOn();
      return models.close();
    });
    await models.open();
    return { store, models, goOn, hold, openings, networks, lines, told };
  }

  /** The models of a store, and what they tell. */
  function storeOf({ store, networks, trialPool, stuckCount }: StoreOptions) {
    const { log, lines } = recordingLog();
    const told: (typeof models.trying)[] = [];
    const models: ModelStore = new ModelStore({
      config: parseServerConfig({ store, watchMs: 0 }),
      networks,
      openTrial: () => ({ pool: trialPool, close: async () => {} }),
      stuckCount,
      stuckCountMax: 8,
      devices: ['cpu'],
      log,
      onLoad: vi.fn(),
      onLabels: vi.fn(),
      onDeviceFallback: vi.fn(),
      onChange: () => told.push(models.trying),
    });
    return { models, lines, told };
  }
  type StoreOptions = Pick<PackageLoaderOptions, 'store' | 'networks' | 'stuckCount'> & {
    readonly trialPool: PackageLoaderOptions['networks']['pool'];
  };

  const tried = { model: 'hyper', version: 1 };
  const ofSmall = { model: 'small', versions: [1] };

  test('is waited for by nobody, and served once it is loaded', async () => {
    const { models, goOn, lines } = await openedWithSlow();
    expect([models.ready(), models.trying]).toEqual([[ofSmall], [tried]]);
    await models.refresh();
    expect(() =>
      models.resolve('Act', { model: 'hyper', selection: { case: undefined } }, { caller: undefined }),
    ).toThrow('got one that is loading');
    expect(lines.filter(({ level }) => level === pino.levels.values.warn)).toMatchObject([
      { ...tried, msg: 'model version takes long: nothing waits for it', slowMs: 5000 },
    ]);
    const asked = models.refresh({ model: 'hyper', version: 1 });
    goOn();
    // Who asks for it by its number waits.
    await asked;
    expect([models.ready(), models.trying]).toEqual([[{ model: 'hyper', versions: [1] }, ofSmall], []]);
  });

  test('has the start wait for the next ones together, and for three in all', async () => {
    const hanging = ['a', 'b', 'c', 'd', 'e'];
    const store = await temporaryStore([plain, ...hanging.map((model) => ({ ...plain, model }))]);
    const networks = networkOptions();
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    /** By model: tells that it takes long. */
    const tellSlow = new Map<string, () => void>();
    let stuckCount = 0;
    const pool: PackageLoaderOptions['networks']['pool'] = {
      async open(file, options) {
        const model = basename(dirname(dirname(file.path)));
        if (!hanging.includes(model)) return networks.pool.open(file, options);
        const slow = new Promise<void>((resolve) => tellSlow.set(model, resolve));
        await Promise.race([slow, ended]);
        if (options.onSlow!()) {
          stuckCount++;
          options.onLost!(new Error('given up'));
        } else {
          await ended;
        }
        throw new Error('given up');
      },
    };
    const { models, lines } = storeOf({
      store,
      networks: { ...networks, pool },
      trialPool: pool,
      stuckCount: () => stuckCount,
    });
    onTestFinished(() => {
      end();
      return models.close();
    });
    const opened = models.open();
    const seen = (count: number) =>
      vi.waitFor(() => expect([...tellSlow.keys()].sort()).toEqual(hanging.slice(0, count)), 30_000);
    await seen(1);
    tellSlow.get('a')!();
    await seen(5);
    for (const model of ['b', 'c']) tellSlow.get(model)!();
    await opened;
    // Those that are looked at together begin in any order.
    expect(models.trying.map(({ model }) => model).sort()).toEqual(['a', 'b', 'c']);
    await vi.waitFor(() => expect(models.ready()).toEqual([ofSmall]), 30_000);
    expect(lines.at(-2)).toMatchObject({ msg: 'several versions take long: the rest is loaded later', leftCount: 6 });
  });

  test('has others tried beside it, and tells of those that changed', async () => {
    const { store, models, hold, openings, told } = await openedWithSlow();
    const added = ['a', 'b'];
    const goOnWith = added.map((model) => hold(`${model}/1`));
    for (const model of added) await publishRandomPackage({ store, ...hyper, model });
    told.length = 0;
    const looking = models.refresh();
    for (const model of added) await vi.waitFor(() => expect(openings).toContain(join(store, model, '1')), 30_000);
    for (const go of goOnWith) go();
    await looking;
    // Of either, and of the end of the scan.
    expect(told).toHaveLength(3);
    await models.refresh();
    expect(told).toHaveLength(4);
  });

  test('is freed where it was unloaded meanwhile', async () => {
    const { store, models, goOn, networks, lines } = await openedWithSlow();
    await writeRouting(store, 'hyper', { ...emptyRouting, withheld: [1] });
    await models.refresh({ model: 'hyper' });
    goOn();
    await vi.waitFor(() =>
      expect(lines).toContainEqual(expect.objectContaining({ msg: 'model version ready', ...tried })),
    );
    await vi.waitFor(() => expect(networks.pool.queues.map(({ name }) => name)).toEqual(['policy.onnx']));
    expect([models.ready(), models.trying]).toEqual([[ofSmall], []]);
  });

  test('that is gone from the store meanwhile: all are told of its end', async () => {
    const { store, goOn, told } = await openedWithSlow();
    expect(told.at(-1)).toEqual([tried]);
    await rm(join(store, 'hyper'), { recursive: true });
    goOn();
    await vi.waitFor(() => expect(told.at(-1)).toEqual([]));
  });

  test('that was asked for is waited for, also if it is loaded while older ones are', async () => {
    const { store, models, goOn, hold, openings, lines } = await openedWithSlow({ slow: 'hyper/3' });
    for (const seed of [2, 3]) await publishRandomPackage({ store, ...hyper, seed });
    const goOnWithOlder = hold('hyper/2');
    const asked = models.refresh({ model: 'hyper', version: 3 });
    await vi.waitFor(() => expect(openings).toContain(join(store, 'hyper', '2')), 30_000);
    goOn();
    const ready = expect.objectContaining({ msg: 'model version ready', model: 'hyper', version: 3 });
    await vi.waitFor(() => expect(lines).toContainEqual(ready), 30_000);
    goOnWithOlder();
    await asked;
    expect(models.ready()).toEqual([{ model: 'hyper', versions: [3, 2] }, ofSmall]);
  });

  test('gets the contexts that were in use when it is loaded', async () => {
    const { models, goOn, lines } = await openedWithSlow({ slow: 'hyper/2', seeds: [1, 2] });
    const ask = () => models.resolve('Act', { model: 'hyper', selection: { case: undefined } }, { caller: undefined });
    const served = ask();
    expect(served.version).toBe(1);
    const { weights } = served.policy!;
    await weights!.prefetch(['\0'.repeat(4 * served.contextSize)]);
    goOn();
    await vi.waitFor(() => expect(ask().version).toBe(2), 30_000);
    const ready = { msg: 'model version ready', model: 'hyper', version: 2, contextCount: 1 };
    expect(lines).toContainEqual(expect.objectContaining(ready));
  });

  test('is said to be loading to who names it, unless it is withheld', async () => {
    const { store, models } = await openedWithSlow({ slow: 'hyper/2', seeds: [1, 2] });
    const routing = { ...emptyRouting, labels: { new: 2 } };
    await writeRouting(store, 'hyper', routing);
    await models.refresh({ model: 'hyper' });
    const byNumber = { case: 'version', value: 2 } as const;
    const ask = (selection: typeof byNumber | { case: 'label'; value: string }) => () =>
      models.resolve('Act', { model: 'hyper', selection }, { caller: undefined });
    const told = (what: string) =>
      `Act ${what}: expected version 2 of model "hyper", got one that is loading. Ask again in a few seconds: a large network takes that long`;
    expect(ask(byNumber)).toThrow(told('version'));
    expect(ask({ case: 'label', value: 'new' })).toThrow(told('label'));
    await writeRouting(store, 'hyper', { ...routing, withheld: [2] });
    await models.refresh({ model: 'hyper' });
    expect(ask(byNumber)).toThrow('expected a version of model "hyper" that is ready (1), got 2');
  });

  test('is given up when the server stops, without a word of refusal', async () => {
    const store = await temporaryStore([hyper]);
    let isGivenUp = false;
    const endless: PackageLoaderOptions['networks']['pool'] = {
      async open(_, { onSlow }) {
        // As a pool looks at its threads.
        await vi.waitUntil(() => onSlow!(), { timeout: 30_000 });
        isGivenUp = true;
        throw new Error('given up');
      },
    };
    const openTrial = () => ({ pool: endless, close: async () => {} });
    const stuck = { stuckCount: () => 1, stuckCountMax: 3 };
    const { loader, lines, onLoad } = loaderOf({
      store,
      devices: ['cpu', 'cpu'],
      networks: networkOptions(),
      openTrial,
      ...stuck,
    });
    expect(await loader.versionOf('hyper', 1, [])).toBeUndefined();
    expect(isGivenUp).toBe(false);
    loader.close();
    await loader.over();
    expect([isGivenUp, loader.trying, onLoad.mock.calls]).toEqual([true, [], []]);
    expect(lines.map(({ msg }) => msg)).toEqual(['model version takes long: nothing waits for it']);
  });
});

test('a stuck thread has several models loaded at once during the start, and not beside requests', async () => {
  const stuck = { stuckCount: () => 1, stuckCountMax: 3 };
  const { loader } = loaderOf({
    store: await temporaryStore(),
    devices: ['cpu'],
    networks: networkOptions(),
    ...stuck,
  });
  expect(loader.lookCountMax).toBe(4);
  loader.yieldToRequests();
  expect(loader.lookCountMax).toBe(1);
});

test('nothing is loaded while too many threads are in runs that do not end, and again once they have ended', async () => {
  const store = await temporaryStore([hyper]);
  let stuckCount = 3;
  const stuck = { stuckCount: () => stuckCount, stuckCountMax: 3 };
  const { loader, lines, onLoad } = loaderOf({ store, devices: ['cpu'], networks: networkOptions(), ...stuck });
  expect(await loader.versionOf('hyper', 1, [])).toBe(undefined);
  expect(lines.at(-1)).toMatchObject({
    msg: 'model version refused',
    reason:
      'threads in runs that do not end: expected fewer than 3, got 3. Remove the versions that were refused or withdrawn for that, ' +
      'and start the server again',
    retryMs: 1000,
  });
  stuckCount = 0;
  loader.retry({ model: 'hyper', version: 1 });
  (await loader.versionOf('hyper', 1, []))!.retire();
  expect(onLoad.mock.calls).toEqual([
    ['refused', 'hyper'],
    ['loaded', 'hyper'],
  ]);
});

test('contexts in use are generated for a new version before it serves', { timeout: 60_000 }, async () => {
  const store = await temporaryStore([{ ...hyper, seed: 1 }]);
  const test = await startTestServer([], { store });
  const { server, client, lines } = test;
  const contexts = Array.from({ length: 20 }, (_, i) => [i, -i]);
  const ask = async () => {
    const answers = [];
    for (const context of contexts) answers.push(await client.act({ model: 'hyper', observation, context }));
    return answers;
  };
  const former = await ask();
  const counts = 'hyperpolicy_context_cache_misses_total{cache="policy"}';
  expect(await metricLines(test, counts)).toEqual({ [counts]: 20 });
  await publishRandomPackage({ store, ...hyper, seed: 2 });
  await server.models.refresh();
  const later = await ask();
  expect(later.map(({ version }) => version)).toEqual(contexts.map(() => 2));
  expect(await metricLines(test, counts)).toEqual({ [counts]: 20 });
  expect(lines.filter(({ msg }) => msg === 'model version ready').map((line) => line.contextCount)).toEqual([0, 20]);
  // They are the new version's, as one that carried nothing over has them.
  const { client: fresh } = await startTestServer([], { store });
  for (const [i, { action }] of later.entries()) {
    const { action: own } = await fresh.act({ model: 'hyper', observation, context: contexts[i]! });
    const differences = (others: ArrayLike<number>) => action.values.map((value, a) => Math.abs(value - others[a]!));
    expect(Math.max(...differences(own.values))).toBeLessThan(1e-5);
    expect(Math.max(...differences(former[i]!.action.values))).toBeGreaterThan(1e-5);
  }
});

test('a server that stops does not wait until all contexts are carried over', { timeout: 60_000 }, async () => {
  const store = await temporaryStore([{ ...hyper, seed: 1 }]);
  const started = await startTestServer([], { store });
  const { server, client, lines } = started;
  const contexts = Array.from({ length: 1000 }, (_, i) => [i, -i]);
  await client.prepare({ model: 'hyper', context: contexts });
  await publishRandomPackage({ store, ...hyper, seed: 2 });
  const entries = 'hyperpolicy_context_cache_entries{cache="policy"}';
  const looking = server.models.refresh();
  await vi.waitFor(async () => expect((await metricLines(started, entries))[entries]).toBeGreaterThan(1000), 30_000);
  await server.stop();
  await looking;
  const counts = lines.filter(({ msg }) => msg === 'model version ready').map(({ contextCount }) => contextCount);
  expect(counts).toEqual([0, expect.any(Number)]);
  expect(counts[1]).toBeLessThan(1000);
});

test.skipIf(isInstalled('cuda'))('a version that one device refuses is served on the next', async () => {
  const store = await temporaryStore([hyper]);
  const networks = networkOptions();
  const either = loaderOf({ store, devices: ['cuda', 'cpu'], networks });
  const served = await either.loader.versionOf('hyper', 1, []);
  expect(served).toMatchObject({ device: 'cpu', precision: 'float32' });
  served!.retire();
  expect(either.onDeviceFallback.mock.calls).toEqual([['hyper', 'cuda']]);
  expect(either.onLoad.mock.calls).toEqual([['loaded', 'hyper']]);
  expect(either.lines.filter(({ level }) => level === pino.levels.values.warn)).toMatchObject([
    { model: 'hyper', version: 1, device: 'cuda', next: 'cpu', reason: expect.stringContaining('the cuda device') },
  ]);
  // A device that was named is an error.
  const named = loaderOf({ store, devices: ['cuda'], networks });
  expect(await named.loader.versionOf('hyper', 1, [])).toBeUndefined();
  expect(named.onLoad.mock.calls).toEqual([['refused', 'hyper']]);
  expect(named.onDeviceFallback).not.toHaveBeenCalled();
});

test.each([
  [
    'once where its provider cannot be loaded',
    'OrtSessionOptionsAppendExecutionProvider_Cuda: Failed to load shared library',
    false,
  ],
  [
    'once where its driver is missing',
    'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version',
    false,
  ],
  ['for each version where it refuses one', 'CUDA failure 700: an illegal memory access was encountered', true],
])('a device is tried %s, and each fallback is told', async (_, actual, isTriedAgain) => {
  const store = await temporaryStore([hyper, { ...hyper, model: 'other' }]);
  const networks = networkOptions();
  let triedCount = 0;
  // There is no GPU: this is what one would say.
  const pool: PackageLoaderOptions['networks']['pool'] = {
    open(file, { device, ...graph }) {
      if (device !== 'cuda') return networks.pool.open(file, graph);
      triedCount++;
      return Promise.reject(missingDevice(graph.name, device, actual));
    },
  };
  const devices = ['cuda', 'cpu'] as const;
  const { loader, lines, onDeviceFallback } = loaderOf({ store, devices, networks: { ...networks, pool } });
  const load = async (model: string) => (await loader.versionOf(model, 1, []))!.retire();
  await load('hyper');
  expect(triedCount).toBeGreaterThan(0);
  const triedBefore = triedCount;
  await load('other');
  expect(triedCount > triedBefore).toBe(isTriedAgain);
  expect(onDeviceFallback.mock.calls).toEqual([
    ['hyper', 'cuda'],
    ['other', 'cuda'],
  ]);
  const refused = { device: 'cuda', next: 'cpu', reason: expect.stringContaining(`the cuda device, got ${actual}`) };
  expect(lines.filter(({ msg }) => msg === 'refused on a device')).toMatchObject([
    { model: 'hyper', version: 1, ...refused },
    { model: 'other', version: 1, ...refused },
  ]);
});

test('a version in TF32 says so in the log', async () => {
  const store = await temporaryStore([hyper]);
  const networks = networkOptions();
  // There is no GPU: the cpu stands for it.
  const pool: PackageLoaderOptions['networks']['pool'] = {
    open: (file, { device, ...graph }) => {
      expect(device).toBe('cuda');
      return networks.pool.open(file, graph);
    },
  };
  const asked = { store, devices: ['cuda'], networks: { ...networks, precision: 'tf32', pool } } as const;
  const { loader, lines } = loaderOf(asked);
  const served = await loader.versionOf('hyper', 1, []);
  const named = { device: 'cuda', precision: 'tf32' };
  expect(served).toMatchObject(named);
  served!.retire();
  expect(lines.filter(({ msg }) => msg === 'model version ready')).toMatchObject([named]);
});

test('a package that was refused for a reason that passes is tried again; another one only when its files change', async () => {
  const store = await temporaryStore([hyper]);
  const networks = networkOptions();
  let fault: Error | undefined;
  const faulty: PackageLoaderOptions['networks']['pool'] = {
    open: (...asked) => (fault === undefined ? networks.pool.open(...asked) : Promise.reject(fault)),
  };
  const { loader, onLoad } = loaderOf({ store, devices: ['cpu'], networks: { ...networks, pool: faulty } });
  const load = () => loader.versionOf('hyper', 1, []);
  const tooManyFiles = Object.assign(new Error('too many open files'), { code: 'EMFILE' });
  fault = new Error('read', { cause: tooManyFiles });
  expect(await load()).toBeUndefined();
  expect(await load()).toBeUndefined();
  // The second look came within a second.
  expect(onLoad).toHaveBeenCalledTimes(1);
  // Somebody asks for it: it is tried at once.
  loader.retry({ model: 'hyper', version: 1 });
  expect(await load()).toBeUndefined();
  expect(onLoad).toHaveBeenCalledTimes(2);
  fault = undefined;
  const served = await vi.waitFor(async () => (await load()) ?? expect.fail('not yet'), 10_000);
  served.retire();
  fault = new Error('a bad graph');
  const touched = new Date();
  await utimes(join(store, 'hyper', '1', 'manifest.json'), touched, touched);
  expect(await load()).toBeUndefined();
  onLoad.mockClear();
  fault = undefined;
  await new Promise((resolve) => setTimeout(resolve, 1100));
  expect(await load()).toBeUndefined();
  expect(onLoad).not.toHaveBeenCalled();
});
