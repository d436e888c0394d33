import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createPolicyClient } from '../../../clients/typescript/client.ts';
import { startServer } from '../../../server/main.ts';
import { policyGradientCoefficients } from '../../../src/advantages/policy-gradient.ts';
import { createRandom, normalRow } from '../../../src/contract/random.ts';
import { runToEnd } from '../../../src/contract/sliced.ts';
import { fingerprint } from '../../../src/contract/tensor-spec.ts';
import { floatTensor, indexTensor, openSession, type TensorMap } from '../../../src/onnx/session.ts';
import { type Manifest, parseManifest } from '../../../src/package/manifest.ts';
import { readPackage } from '../../../src/package/package.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { metricLines, recordingLog, spoolFiles, startTestServer, temporaryStore } from '../fixtures.ts';

const observationSize = 4;
const actionSize = 2;
const sizes = { observationSize, actionSize, hiddenSize: 16, trunkSizes: [24], critic: 'none' } as const;
const pearl = { model: 'pearl', policy: 'hyper', contextSize: 3, encoder: true, stochastic: true, ...sizes } as const;
const plainPearl = { ...pearl, model: 'plain-pearl', policy: 'plain' } as const;
const maml = { model: 'maml', policy: 'hyper', contextSize: 2, adapt: true, stochastic: true, ...sizes } as const;

function experience(seed: number, rowCount: number) {
  const random = createRandom(seed);
  const draw = (size: number) => Float32Array.from({ length: rowCount * size }, () => random.normal());
  return {
    observation: { shape: [rowCount, observationSize], values: draw(observationSize) },
    action: { shape: [rowCount, actionSize], values: draw(actionSize).map(Math.tanh) },
    reward: draw(1),
  };
}

/** Steps [from, to) of an experience. */
function part({ observation, action, reward }: ReturnType<typeof experience>, from: number, to: number) {
  const rows = ({ shape, values }: { shape: number[]; values: Float32Array }) => ({
    shape: [to - from, shape[1]!],
    values: values.slice(from * shape[1]!, to * shape[1]!),
  });
  return { observation: rows(observation), action: rows(action), reward: reward.slice(from, to) };
}

const observations = experience(50, 5).observation;

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance = 1e-5): void {
  expect(actual).toHaveLength(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(actual[i]! - expected[i]!)).toBeLessThan(tolerance * (1 + Math.abs(expected[i]!)));
  }
}

/** Runs the graphs of a package, without the server's code. */
async function graphsOf(store: string, model: string) {
  const { files } = await readPackage(join(store, model, '1'));
  return (file: string, feeds: TensorMap): TensorMap => {
    const session = openSession(files.get(file)!, { threadCount: 1 });
    const outputs = session.run(feeds);
    session.dispose();
    return outputs;
  };
}

const stepFeeds = ({ observation, action }: ReturnType<typeof experience>): TensorMap => ({
  observation: floatTensor(observation.values, observation.shape),
  action: floatTensor(action.values, action.shape),
});

describe('Adapt with an encoder', () => {
  test('calls one after the other equal one with everything', async () => {
    const { client } = await startTestServer([pearl]);
    const all = experience(1, 20);
    const whole = await client.adapt({ model: 'pearl', ...all, seed: 3 });
    let { contextHandle } = await client.adapt({ model: 'pearl', seed: 1 });
    let last = whole;
    for (const [from, to] of [
      [0, 1],
      [1, 12],
      [12, 20],
    ] as const) {
      last = await client.adapt({ model: 'pearl', contextHandle, ...part(all, from, to), seed: 3 });
      contextHandle = last.contextHandle;
    }
    expect(last.posterior!.transitionCount).toBe(20);
    for (const field of ['mean', 'variance', 'context'] as const) {
      expectClose(last.posterior![field].values, whole.posterior![field].values);
    }
  });

  test('gives the product of the factors of the graph', async () => {
    const { client, server } = await startTestServer([pearl]);
    const run = await graphsOf(server.config.store, 'pearl');
    const steps = experience(2, 7);
    const factors = run('encoder.onnx', { ...stepFeeds(steps), reward: floatTensor(steps.reward, [7]) });
    const { posterior } = await client.adapt({ model: 'pearl', ...steps });
    for (let c = 0; c < 3; c++) {
      const sum = (name: string) =>
        Array.from({ length: 7 }, (_, n) => (factors[name]!.data as Float32Array)[n * 3 + c]!).reduce((a, b) => a + b);
      expectClose([posterior!.variance.values[c]!], [1 / sum('precision')]);
      expectClose([posterior!.mean.values[c]!], [sum('weighted_mean') / sum('precision')]);
    }
    expect(Math.max(...posterior!.mean.values.map(Math.abs))).toBeGreaterThan(0.05);
  });

  test('without transitions draws from the prior, with the noise of the seed', async () => {
    const { client } = await startTestServer([pearl]);
    const { posterior } = await client.adapt({ model: 'pearl', seed: 17 });
    const noise = new Float32Array(3);
    normalRow(17, 0, 3, noise);
    expect(posterior).toMatchObject({ seed: 17, transitionCount: 0 });
    expect([...posterior!.mean.values, ...posterior!.variance.values]).toEqual([0, 0, 0, 1, 1, 1]);
    expect(posterior!.context.values).toEqual(noise);
  });

  test('a handle without new transitions draws again from the same posterior', async () => {
    const { client } = await startTestServer([pearl]);
    const first = await client.adapt({ model: 'pearl', ...experience(3, 4), seed: 1 });
    const again = await client.adapt({ model: 'pearl', contextHandle: first.contextHandle, seed: 2 });
    expect(again.posterior!.mean).toEqual(first.posterior!.mean);
    expect(again.posterior!.variance).toEqual(first.posterior!.variance);
    expect(again.posterior!.context).not.toEqual(first.posterior!.context);
    const noise = new Float32Array(3);
    normalRow(2, 0, 3, noise);
    const { mean, variance, context } = again.posterior!;
    expectClose(
      context.values,
      mean.values.map((value, i) => value + Math.sqrt(variance.values[i]!) * noise[i]!),
    );
    // Without a seed the server draws one, and says which.
    const drawn = await client.adapt({ model: 'pearl', contextHandle: first.contextHandle });
    const repeated = await client.adapt({
      model: 'pearl',
      contextHandle: first.contextHandle,
      seed: drawn.posterior!.seed,
    });
    expect(repeated.posterior!.context).toEqual(drawn.posterior!.context);
  });

  test.each([pearl, plainPearl])('$model: acting by handle is acting in its context', async (options) => {
    const { client } = await startTestServer([options]);
    const { model } = options;
    const { contextHandle, posterior } = await client.adapt({ model, ...experience(4, 6) });
    const asked = { model, observation: observations, sample: true, seed: 5, logProb: true };
    const byHandle = await client.act({ ...asked, contextHandle });
    const byContext = await client.act({ ...asked, context: posterior!.context });
    expect(byHandle.action).toEqual(byContext.action);
    expect(byHandle.logProb).toEqual(byContext.logProb);
    const other = await client.act({ ...asked, context: posterior!.context.values.map((value) => value + 1) });
    expect(other.action).not.toEqual(byHandle.action);
    const stream = client.actStream({ model });
    onTestFinished(() => stream.close());
    expect((await stream.act({ observation: observations, contextHandle, sample: true, seed: 5 })).action).toEqual(
      byHandle.action,
    );
  });
});

describe('Adapt with an inner step', () => {
  const context = [0.4, -0.7];
  const lengths = [12, 8];

  /** A step and the action of the result, in process. */
  async function inProcess(store: string) {
    const run = await graphsOf(store, 'maml');
    const generated = run('policy.primary.onnx', { context: floatTensor(Float32Array.from(context), [1, 2]) });
    const step = (weights: TensorMap, steps: ReturnType<typeof experience>): TensorMap => {
      const { reward } = steps;
      const coefficient = runToEnd(
        policyGradientCoefficients(
          { observation: steps.observation.values, reward, lengths },
          { discount: 0.95, lambda: 1 },
        ),
      );
      const feeds = { ...stepFeeds(steps), coefficient: floatTensor(coefficient, [reward.length]) };
      const outputs = run('adapt.onnx', { ...feeds, ...weights });
      return Object.fromEntries(Object.keys(weights).map((name) => [name, outputs[`adapted_${name}`]!]));
    };
    const act = (weights: TensorMap) =>
      run('policy.dynamic.onnx', {
        ...weights,
        observation: floatTensor(observations.values, observations.shape),
        noise: floatTensor(new Float32Array(5 * actionSize), [5, actionSize]),
        index: indexTensor(new Int32Array(5)),
      }).action!.data as Float32Array;
    return { generated, step, act };
  }

  test('acts with the weights that the graphs give in process, step after step', async () => {
    const { client, server } = await startTestServer([maml]);
    const { generated, step, act } = await inProcess(server.config.store);
    const [first, second] = [experience(5, 20), experience(6, 20)];
    const one = await client.adapt({ model: 'maml', ...first, episodeLengths: lengths, context });
    const two = await client.adapt({
      model: 'maml',
      ...second,
      episodeLengths: lengths,
      contextHandle: one.contextHandle,
    });
    const afterOne = step(generated, first);
    const afterTwo = step(afterOne, second);
    const asked = { model: 'maml', observation: observations };
    const before = (await client.act({ ...asked, context })).action.values;
    expectClose(before, act(generated));
    const actedOne = (await client.act({ ...asked, contextHandle: one.contextHandle })).action.values;
    expectClose(actedOne, act(afterOne));
    expectClose((await client.act({ ...asked, contextHandle: two.contextHandle })).action.values, act(afterTwo));
    // The step shows in the actions.
    expect(Math.max(...actedOne.map((value, i) => Math.abs(value - before[i]!)))).toBeGreaterThan(1e-3);
    const distance = Math.hypot(
      ...Object.entries(generated).flatMap(([name, { data }]) =>
        Array.from(data as Float32Array, (value, i) => value - (afterOne[name]!.data as Float32Array)[i]!),
      ),
    );
    expect(one.weights!.stepCount).toBe(1);
    expectClose([one.weights!.stepNorm], [distance], 1e-3);
    expect(two.weights!.stepCount).toBe(2);
  });

  test('a handle needs no primary run', async () => {
    const started = await startTestServer([maml], { contextCacheBytesMax: 0 });
    const { client } = started;
    const primaryRuns = async () =>
      Object.values(await metricLines(started, 'hyperpolicy_heavy_run_seconds_count{graph="policy.primary.onnx"'))[0];
    const { contextHandle } = await client.adapt({ model: 'maml', ...experience(7, 20), context });
    const runs = await primaryRuns();
    for (let i = 0; i < 3; i++) await client.act({ model: 'maml', observation: observations, contextHandle });
    expect(await primaryRuns()).toBe(runs);
    await client.act({ model: 'maml', observation: observations, context });
    expect(await primaryRuns()).toBe(runs! + 1);
  });

  test('late work is dropped, and holds nothing', async () => {
    const wide = { ...maml, observationSize: 60 };
    const started = await startTestServer([wide]);
    // A baseline of 124 features: 31 M multiply-adds, tens of milliseconds.
    const steps = { ...experience(30, 4000), observation: { shape: [4000, 60], values: new Float32Array(240_000) } };
    createRandom(31).fillNormal(steps.observation.values);
    const late = started.client.adapt({ model: 'maml', ...steps, context }, { timeoutMs: 5 });
    await expect(late).rejects.toMatchObject({ kind: 'deadline_exceeded' });
    expect((await started.client.adapt({ model: 'maml', ...steps, context })).weights!.stepCount).toBe(1);
    expect((await metricLines(started, 'hyperpolicy_context_handles ')).hyperpolicy_context_handles).toBe(1);
  });

  test('requests at the same time do not share a step', async () => {
    const { client } = await startTestServer([maml]);
    const asked = [8, 9, 10, 11].map((seed) => ({ model: 'maml', ...experience(seed, 5 + seed), context }));
    const together = await Promise.all(asked.map((one) => client.adapt(one)));
    for (const [i, one] of asked.entries()) {
      expect((await client.adapt(one)).weights).toEqual(together[i]!.weights);
    }
  });
});

describe('a package that adapts', () => {
  test.each([
    ['encoder', pearl, 'precision', /encoder probe output "precision": expected .* at 0 within 0.0001/],
    ['adapt', maml, 'adapted_w1', /adapt probe output "adapted_w1": expected .* at 0 within 0.0001/],
  ] as const)('is refused where its %s probe differs', async (target, options, output, reason) => {
    const store = await temporaryStore([options]);
    const path = join(store, options.model, '1', 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8'));
    manifest.probes.find((probe: { target: string }) => probe.target === target).outputs[output].values[0] += 1;
    await writeFile(path, JSON.stringify(manifest));
    const { lines } = await startTestServer([], { store });
    expect(lines.find(({ msg }) => msg === 'model version refused')).toMatchObject({
      reason: expect.stringMatching(reason),
    });
  });

  test.each([
    [
      'an encoder and a context that is known',
      pearl,
      (manifest: Manifest) => ({ ...manifest, context: { ...manifest.context!, source: 'oracle' as const } }),
      'manifest.json: expected a latent context with an encoder, got one that is oracle',
    ],
    [
      'an inner step and a deterministic policy',
      maml,
      (manifest: Manifest) => ({ ...manifest, policy: { ...manifest.policy!, stochastic: false } }),
      'manifest.json: expected a stochastic hyper policy with adapt, got a deterministic hyper one',
    ],
    [
      'both',
      maml,
      (manifest: Manifest) => ({ ...manifest, encoder: { ...manifest.adapt!, prior: 'start' as const } }),
      'manifest.json: expected an encoder or adapt, got both',
    ],
  ])('with %s is refused before it is published', async (_, options, change, message) => {
    const store = await temporaryStore([options]);
    const { manifest } = await readPackage(join(store, options.model, '1'));
    const changed = change(manifest);
    const text = JSON.stringify({ ...changed, fingerprint: fingerprint(changed) });
    expect(() => parseManifest(text)).toThrow(message);
  });

  test('breaks the contract where the step lacks a weight', async () => {
    const store = await temporaryStore([maml]);
    const path = join(store, 'maml', '1', 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8'));
    manifest.adapt.outputs.pop();
    await writeFile(path, JSON.stringify(manifest));
    const { lines } = await startTestServer([], { store });
    expect(lines.find(({ msg }) => msg === 'model version refused')).toMatchObject({
      reason: expect.stringMatching(/^adapt\.onnx output: expected those of the manifest/),
    });
  });
});

describe('finite values that are too large for a model', () => {
  const tooLarge = (method: string) => ({
    kind: 'invalid_argument',
    message: expect.stringMatching(
      new RegExp(
        `^${method}: expected values that this model can work with, got some as large as \\S+, of which it makes`,
      ),
    ),
  });

  test('are the client’s doing, hold nothing and write nothing to the log', async () => {
    const started = await startTestServer([
      pearl,
      maml,
      { ...pearl, model: 'critic', critic: 'hyper', encoder: false },
    ]);
    const { client, lines } = started;
    const steps = experience(60, 6);
    const observation = { ...steps.observation, values: steps.observation.values.map(() => 3e38) };
    const huge = { ...steps, observation };
    await expect(client.adapt({ model: 'pearl', ...huge })).rejects.toMatchObject(tooLarge('Adapt'));
    const reward = steps.reward.map(() => 3e38);
    await expect(client.adapt({ model: 'pearl', ...steps, reward })).rejects.toMatchObject(tooLarge('Adapt'));
    await expect(client.adapt({ model: 'maml', ...steps, context: [1e30, 1e30] })).rejects.toMatchObject(
      tooLarge('Adapt'),
    );
    const [context, act] = [[1e30, 1e30, 1e30], { model: 'pearl', observation: observations }];
    await expect(client.act({ ...act, context })).rejects.toMatchObject(tooLarge('Act'));
    await expect(
      client.actStream({ model: 'pearl' }).act({ observation: observations, context }),
    ).rejects.toMatchObject(tooLarge('Act'));
    const { action } = steps;
    await expect(client.qGrad({ model: 'critic', observation, action })).rejects.toMatchObject(tooLarge('QGrad'));
    expect(await metricLines(started, 'hyperpolicy_context_handles ')).toEqual({ hyperpolicy_context_handles: 0 });
    expect(lines.filter(({ level }) => (level as number) >= 40)).toEqual([]);
  });
});

describe('context handles', () => {
  const unknown = {
    kind: 'not_found',
    message: 'Act context_handle: expected a handle that this server holds, got an unknown or expired one',
  };

  async function parentDirectory(): Promise<string> {
    const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    return directory;
  }

  test('are forgotten when they were not used', async () => {
    const handleDirectory = await parentDirectory();
    const started = await startTestServer([pearl], { handleDirectory, handleCacheBytesMax: 0 });
    const { client } = started;
    const [spool] = await readdir(handleDirectory);
    const { contextHandle, expiresAfterMs } = await client.adapt({ model: 'pearl' });
    expect(expiresAfterMs).toBe(600_000);
    const file = join(handleDirectory, spool!, contextHandle);
    const asked = { model: 'pearl', observation: observations, contextHandle };
    const usedBefore = async (minutes: number) => {
      const at = Date.now() / 1000 - minutes * 60;
      await utimes(file, at, at);
    };
    await usedBefore(9);
    expect((await client.act(asked)).version).toBe(1);
    await usedBefore(11);
    await expect(client.act(asked)).rejects.toMatchObject(unknown);
    expect(await spoolFiles(join(handleDirectory, spool!))).toEqual([]);
    expect(await metricLines(started, 'hyperpolicy_context_handle')).toEqual({
      hyperpolicy_context_handles: 0,
      hyperpolicy_context_handle_bytes: 0,
      'hyperpolicy_context_handles_dropped_total{reason="expired"}': 1,
      'hyperpolicy_context_handles_dropped_total{reason="evicted"}': 0,
    });
  });

  test('make room for newer ones', async () => {
    const { client } = await startTestServer([pearl], { handleCountMax: 2 });
    const handles = [];
    for (let i = 0; i < 3; i++) handles.push((await client.adapt({ model: 'pearl' })).contextHandle);
    const act = (contextHandle: string) => client.act({ model: 'pearl', observation: observations, contextHandle });
    await expect(act(handles[0]!)).rejects.toMatchObject(unknown);
    expect((await act(handles[1]!)).version).toBe(1);
    expect((await act(handles[2]!)).version).toBe(1);
  });

  test('go with the server that made their directory', async () => {
    const handleDirectory = await parentDirectory();
    const store = await temporaryStore([pearl]);
    const { log } = recordingLog();
    const server = await startServer({ store, port: 0, metricsPort: 0, watchMs: 0, handleDirectory }, log);
    expect(await readdir(handleDirectory)).toHaveLength(1);
    await server.stop();
    expect(await readdir(handleDirectory)).toEqual([]);
  });

  test('are of no use to another token', async () => {
    const store = await temporaryStore([pearl]);
    const tokensFile = join(store, 'tokens.json');
    const sha256 = (token: string) => createHash('sha256').update(token).digest('hex');
    const names = ['one', 'two'];
    await writeFile(tokensFile, JSON.stringify(names.map((name) => ({ name, sha256: sha256(name) }))));
    const { address } = await startTestServer([], { store, tokensFile });
    const [one, two] = names.map((token) => {
      const client = createPolicyClient({ address, token });
      onTestFinished(() => client.close());
      return client;
    });
    const { contextHandle } = await one!.adapt({ model: 'pearl' });
    const asked = { model: 'pearl', observation: observations, contextHandle };
    expect((await one!.act(asked)).version).toBe(1);
    await expect(two!.act(asked)).rejects.toMatchObject(unknown);
    await expect(two!.act({ ...asked, version: 1 })).rejects.toMatchObject(unknown);
    await expect(two!.adapt({ model: 'pearl', contextHandle })).rejects.toMatchObject({ kind: 'not_found' });
  });
});

describe('a handle and its version', () => {
  /** A handle of version 1 of a model that has had so many more since. */
  async function afterSwap(versionCount: number, keepsFirst = true) {
    const store = await temporaryStore([pearl]);
    const started = await startTestServer([], { store, versionCountMax: keepsFirst ? versionCount : 1 });
    const { client, server } = started;
    const { contextHandle } = await client.adapt({ model: 'pearl', ...experience(20, 4) });
    const asked = { model: 'pearl', observation: observations, contextHandle };
    const before = await client.act(asked);
    for (let seed = 2; seed <= versionCount; seed++) {
      await publishRandomPackage({ store, ...pearl, seed });
      await server.models.refresh();
    }
    return { ...started, asked, before, contextHandle };
  }

  test('a swap changes nothing for a client with a handle', async () => {
    const { client, asked, before, contextHandle } = await afterSwap(2);
    const after = await client.act(asked);
    expect([before.version, after.version]).toEqual([1, 1]);
    expect(after.action).toEqual(before.action);
    const followed = client.actStream({ model: 'pearl', follow: true });
    onTestFinished(() => followed.close());
    expect((await followed.act({ observation: observations, contextHandle })).version).toBe(1);
    expect((await client.adapt({ model: 'pearl', contextHandle })).version).toBe(1);
    // Who begins anew gets the newest.
    expect((await client.adapt({ model: 'pearl' })).version).toBe(2);
  });

  test('names the model as well, of a call and of a stream', async () => {
    const { client } = await startTestServer([pearl, plainPearl]);
    const { contextHandle } = await client.adapt({ model: 'pearl' });
    const asked = { observation: observations, contextHandle };
    const { action } = await client.act({ ...asked, model: 'pearl' });
    expect((await client.act({ ...asked, model: '' })).action).toEqual(action);
    expect((await client.act({ ...asked, model: '', version: 1 })).action).toEqual(action);
    expect((await client.adapt({ model: '', contextHandle })).version).toBe(1);
    for (const follow of [false, true]) {
      const stream = client.actStream({ model: '', follow });
      onTestFinished(() => stream.close());
      expect((await stream.act(asked)).action).toEqual(action);
      // The stream is the model's from then on.
      await expect(stream.act({ observation: observations })).rejects.toThrow('Act context');
    }
    await expect(client.act({ observation: observations, model: '' })).rejects.toMatchObject({ kind: 'not_found' });
    await expect(client.act({ ...asked, model: '', contextHandle: '0'.repeat(32) })).rejects.toMatchObject({
      kind: 'not_found',
      message: 'Act context_handle: expected a handle that this server holds, got an unknown or expired one',
    });
  });

  test('another version that is named does not take it', async () => {
    const { client, asked, contextHandle } = await afterSwap(2);
    await expect(client.act({ ...asked, version: 2 })).rejects.toMatchObject({
      kind: 'failed_precondition',
      message:
        'Act context_handle: expected a handle of model "pearl" version 2, got one of version 1. Name no version, or adapt again',
    });
    expect((await client.act({ ...asked, version: 1 })).version).toBe(1);
    await expect(client.adapt({ model: 'pearl', version: 2, contextHandle })).rejects.toMatchObject({
      kind: 'failed_precondition',
    });
    // A stream that began with version 2 stays there, and tells.
    const stream = client.actStream({ model: 'pearl', version: 2 });
    onTestFinished(() => stream.close());
    await expect(stream.act({ observation: observations, contextHandle })).rejects.toMatchObject({
      kind: 'failed_precondition',
    });
  });

  test('a version that is gone takes its handles with it', async () => {
    const { client, asked } = await afterSwap(2, false);
    await expect(client.act(asked)).rejects.toMatchObject({
      kind: 'failed_precondition',
      message:
        'Act context_handle: expected a handle of a version of model "pearl" that is ready (2), got one of version 1, which is gone. Adapt again',
    });
  });

  test('a package that is published again under its number takes the handles of the earlier one with it, and says so', async () => {
    const store = await temporaryStore([pearl]);
    const { client, server } = await startTestServer([], { store });
    const { contextHandle } = await client.adapt({ model: 'pearl' });
    await rm(join(store, 'pearl', '1'), { recursive: true });
    await publishRandomPackage({ store, ...pearl, seed: 2 });
    await server.models.refresh();
    const asked = { model: 'pearl', observation: observations, contextHandle };
    await expect(client.act(asked)).rejects.toMatchObject({
      kind: 'failed_precondition',
      message:
        'Act context_handle: expected a handle of a version of model "pearl" that is ready (1), got one of an earlier package of version 1. Adapt again',
    });
    await expect(client.act({ ...asked, version: 1 })).rejects.toMatchObject({
      message:
        'Act context_handle: expected a handle of model "pearl" version 1, got one of an earlier package of version 1. Name no version, or adapt again',
    });
  });

  test('another model does not take it', async () => {
    const { client } = await startTestServer([pearl, plainPearl]);
    const { contextHandle } = await client.adapt({ model: 'pearl' });
    await expect(client.act({ model: 'plain-pearl', observation: observations, contextHandle })).rejects.toMatchObject({
      kind: 'failed_precondition',
      message:
        'Act context_handle: expected a handle of model "plain-pearl" version 1, got one of another model. Name no version, or adapt again',
    });
  });
});
