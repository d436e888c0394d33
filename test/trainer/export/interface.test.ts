/** A network file says itself how its network acts: imported, it is the published graph to the last bit. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { fingerprint, type PolicySpecs, plainSpec } from '../../../src/contract/tensor-spec.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createNetwork, networkSpecs } from '../../../src/nn/network.ts';
import { readNetwork, writeNetwork } from '../../../src/nn/network-file.ts';
import { rangeNormalisation } from '../../../src/nn/normalisation.ts';
import { drawParameters, shapesOf } from '../../../src/nn/parameters.ts';
import { readPackage } from '../../../src/package/package.ts';
import { readSafetensors, writeSafetensors } from '../../../src/package/safetensors.ts';
import { createTd3Learner } from '../../../trainer/algorithms/td3/learner.ts';
import { importNetwork } from '../../../trainer/export/import-network.ts';
import { publishModel } from '../../../trainer/export/package.ts';
import { startTestServer } from '../../server/fixtures.ts';
import { criticConfigs, smallConfig, smallLearner, specs, tracedEngine } from '../algorithms/td3/fixture.ts';

const store = mkdtempSync(join(tmpdir(), 'hyperpolicy-interface-'));
afterAll(() => rmSync(store, { recursive: true }));

const training = { config: {}, seed: 3, steps: 0, evaluations: [], sourceRevision: 'unknown' };

/** The graphs of a package by file name, as SHA-256. */
const graphsIn = ({ manifest }: Awaited<ReturnType<typeof readPackage>>) =>
  Object.fromEntries(Object.entries(manifest.files).map(([name, { sha256 }]) => [name, sha256]));

const tasks: PolicySpecs = {
  ...specs,
  context: { ...plainSpec('goal', 2, { low: -1, high: 3 }), source: 'oracle' },
};
const onTasks = (policy: 'mlp' | 'context-mlp' | 'hyper') => {
  const config = { ...smallConfig(criticConfigs['mlp-standard']!), policy };
  return createTd3Learner({ config, specs: tasks, engine: tracedEngine, seed: 3 });
};

describe.each([
  ...Object.entries(criticConfigs).map(([name, critic]) => [name, specs, smallLearner(critic)] as const),
  ...(['mlp', 'context-mlp', 'hyper'] as const).map((policy) => [`tasks-${policy}`, tasks, onTasks(policy)] as const),
])('the networks of a TD3 run: %s, bounds -0.5 to 2', (name, specs, learner) => {
  const files = learner.networkFiles();

  test.each(['actor', 'critic'])('the %s is imported as it was published', async (network) => {
    const options = { store, model: `${name}-${network}`, algorithm: 'td3', environment: 'test', specs, training };
    const { directory } = await publishModel({ ...learner.model(), ...options, engine: tracedEngine });
    const published = graphsIn(await readPackage(directory));
    const fileName = `${network}.safetensors`;
    const imported = await importNetwork({
      file: files.get(fileName)!,
      fileName,
      store,
      model: `${name}-${network}-i`,
    });
    const graphs = graphsIn(await readPackage(imported.directory));
    expect(Object.keys(graphs).length).toBeGreaterThan(0);
    expect(published).toMatchObject(graphs);
    expect(imported.manifest.fingerprint).toBe(fingerprint(specs));
  });
});

describe('a hyper policy with a context range and a normalised observation', () => {
  const meta: PolicySpecs = {
    observation: plainSpec('observation', 4),
    action: plainSpec('action', 2, { low: -3, high: 1 }),
    context: { ...plainSpec('goal', 2, { low: 0, high: 3, unit: 'm/s' }), source: 'oracle' },
  };
  const network = createNetwork({
    kind: 'policy',
    config: { architecture: 'pearl-hyper-policy', trunkSizes: [8], dynamicHiddenSizes: [6] },
    sizes: { observationSize: 4, actionSize: 2, contextSize: 2 },
  });
  if (network.kind !== 'policy') throw new Error('expected a policy');
  const views = drawParameters(networkSpecs(network), createRandom(3));
  const units = {
    scaling: actionScaling(meta.action),
    observation: { shift: Float32Array.of(0.1, -0.2, 0, 7), scale: Float32Array.of(1, 0.3, 2, 5) },
    context: rangeNormalisation([0, 0], [3, 3]),
  };
  const use = { specs: meta, units, rewardScale: 5 };
  const file = writeNetwork(network, views, use);
  const own = { file, fileName: 'hyper.safetensors', store };

  test('is imported as it was published', async () => {
    const { directory } = await publishModel({
      store,
      model: 'hyper',
      algorithm: 'test',
      environment: 'test',
      specs: meta,
      rewardScale: 5,
      policy: { policy: network.policy, parameters: { views, shapes: shapesOf(networkSpecs(network)) }, ...units },
      critic: null,
      training,
      engine: tracedEngine,
    });
    const published = await readPackage(directory);
    const imported = await readPackage((await importNetwork({ ...own, model: 'hyper-i' })).directory);
    expect(graphsIn(imported)).toEqual(graphsIn(published));
    for (const field of ['fingerprint', 'normalisation', 'rewardScale', 'context'] as const) {
      expect(imported.manifest[field]).toEqual(published.manifest[field]);
    }
  });

  test('a latent context is one that clients give: no encoder comes along', async () => {
    const latent = { ...use, specs: { ...meta, context: { ...meta.context!, source: 'latent' as const } } };
    const { manifest } = await importNetwork({ ...own, file: writeNetwork(network, views, latent), model: 'latent' });
    expect(manifest.context!.source).toBe('oracle');
  });

  test('bounds that are given must be its own', async () => {
    const { manifest } = await importNetwork({ ...own, actionLow: [-3], actionHigh: [1, 1], model: 'same' });
    expect(manifest.action.low).toEqual([-3, -3]);
    await expect(importNetwork({ ...own, actionLow: [-1], model: 'other' })).rejects.toThrow(
      'import action-low: expected -3, -3, as hyper.safetensors says, got -1. Leave the option out: the network was trained with these bounds',
    );
  });

  test.each([
    ['not JSON', 'x', 'expected a valid "", got '],
    ['without a scaling', JSON.stringify({ specs: meta, rewardScale: 1 }), 'expected a valid "scaling", got '],
    ['of other sizes', use, 'observation: expected 4 values, got 3', { observation: plainSpec('observation', 3) }],
    [
      'with bounds that cannot be',
      use,
      'action value 0 ("action.0"): expected low below high, got 1 and 1',
      { action: plainSpec('action', 2, { low: 1, high: 1 }) },
    ],
  ])('an interface is refused that is %s', (_, interfaceOrText, message, change: Partial<PolicySpecs> = {}) => {
    const text =
      typeof interfaceOrText === 'string'
        ? interfaceOrText
        : readSafetensors(writeNetwork(network, views, { ...use, specs: { ...meta, ...change } })).metadata[
            'hyperpolicy.interface'
          ]!;
    const content = readSafetensors(file);
    const metadata = { ...content.metadata, 'hyperpolicy.interface': text };
    expect(() => readNetwork({ ...content, metadata }, 'x')).toThrow(message);
  });
});

describe('a file without an interface', () => {
  const network = createNetwork({
    kind: 'policy',
    config: { architecture: 'td3-policy', hiddenSizes: [8] },
    sizes: { observationSize: 3, actionSize: 1 },
  });
  const bare = {
    file: writeNetwork(network, drawParameters(networkSpecs(network), createRandom(1))),
    fileName: 'bare',
  };

  test('has normalised actions: they are mapped onto the bounds that are given', async () => {
    const bounds = { actionLow: [-2], actionHigh: [4] };
    const { directory, manifest } = await importNetwork({ ...bare, ...bounds, store, model: 'mapped' });
    const action = manifest.probes[0]!.outputs.action!.values;
    const unit = await importNetwork({ ...bare, actionLow: [-1], actionHigh: [1], store, model: 'unit' });
    // Centre 1, half 3.
    for (const [i, value] of unit.manifest.probes[0]!.outputs.action!.values.entries()) {
      expect(action[i]).toBeCloseTo(1 + 3 * value, 5);
    }
    expect((await readPackage(directory)).manifest.action.high).toEqual([4]);
  });

  test('needs both bounds or none', async () => {
    await expect(importNetwork({ ...bare, actionLow: [-2], store, model: 'half' })).rejects.toThrow(
      'import bare: action "action.0": expected a low and a high bound',
    );
  });
});

test('a policy of which some actions have bounds is served: each action is clipped to those that it has', async () => {
  const network = createNetwork({
    kind: 'policy',
    config: { architecture: 'maml', hiddenSizes: [4] },
    sizes: { observationSize: 1, actionSize: 3 },
  });
  const views = drawParameters(networkSpecs(network), createRandom(1));
  for (const view of Object.values(views)) view.fill(0);
  views['mlp.layer1.bias']!.set([5, -7, 9]);
  const action = {
    names: ['steer', 'push', 'turn'],
    low: [-1, 0, null],
    high: [1, null, null],
    units: ['1', 'N', '1'],
  };
  const mixed: PolicySpecs = { observation: plainSpec('observation', 1), action, context: null };
  const use = { specs: mixed, units: { scaling: actionScaling(action) }, rewardScale: 1 };
  const ownStore = mkdtempSync(join(store, 'mixed-'));
  const file = writeNetwork(network, views, use);
  await importNetwork({ file, fileName: 'mixed.safetensors', store: ownStore, model: 'mixed' });
  const { client } = await startTestServer([], { store: ownStore });
  expect([...(await client.act({ model: 'mixed', observation: [0] })).action.values]).toEqual([1, 0, 9]);
});

test('a network with a weight that is not finite is refused, and named with the output that shows it', async () => {
  const network = createNetwork({
    kind: 'policy',
    config: { architecture: 'td3-policy', hiddenSizes: [8] },
    sizes: { observationSize: 3, actionSize: 1 },
  });
  const views = drawParameters(networkSpecs(network), createRandom(1));
  views['layer1.bias']![0] = Number.NaN;
  const file = writeNetwork(network, views);
  await expect(importNetwork({ file, fileName: 'broken', store, model: 'broken' })).rejects.toThrow(
    'publish "broken" policy: expected finite outputs of the network, got NaN at 0 of "action". ' +
      'Its weights are not finite, or so large that its values overflow: the training diverged, or the file is damaged',
  );
});

test('a state dict is described by the options: the error names the flags', async () => {
  const dict = { tensors: new Map([['0.weight', { shape: [1, 3], data: new Float32Array(3) }]]), metadata: {} };
  const options = {
    file: writeSafetensors(dict),
    fileName: 'd.safetensors',
    sizes: { actionSize: 1 },
    store,
    model: 'd',
  };
  await expect(importNetwork(options)).rejects.toThrow(
    'd.safetensors: expected an architecture and the sizes of observation and action, as the file does not describe itself, got architecture none, observationSize none, actionSize 1. Give --architecture, --observation-size and --action-size',
  );
});
