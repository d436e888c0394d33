/** Networks of the reference's state dicts, imported and served: the outputs are the reference's. */

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { PolicyClient } from '../../../clients/typescript/client.ts';
import { createRandom } from '../../../src/contract/random.ts';
import { createNetwork, networkSpecs } from '../../../src/nn/network.ts';
import { writeNetwork } from '../../../src/nn/network-file.ts';
import { drawParameters } from '../../../src/nn/parameters.ts';
import { writeSafetensors } from '../../../src/package/safetensors.ts';
import { importNetwork } from '../../../trainer/export/import-network.ts';
import {
  architectures,
  caseInputs,
  isCriticCase,
  type PolicyCase,
  type ReferenceCase,
  referenceCases,
  sizesIn,
  stateDict,
} from '../../nn/reference.ts';
import { startTestServer } from '../../server/fixtures.ts';

const directory = mkdtempSync(join(tmpdir(), 'hyperpolicy-import-'));
afterAll(() => rmSync(directory, { recursive: true }));

const command = fileURLToPath(new URL('../../../dist/clients/cli/main.js', import.meta.url));

const hyperpolicy = (...args: string[]) =>
  new Promise<{ out: string; error: string }>((resolve) => {
    execFile(process.execPath, [command, ...args], { maxBuffer: 2 ** 26 }, (_failure, out, error) =>
      resolve({ out, error }),
    );
  });

/** A case's state dict as a file. */
const fileOf = (golden: ReferenceCase): Uint8Array => {
  const values = stateDict(golden);
  const tensors = golden.params.map(({ name, shape }) => [name, { shape, data: values.get(name)! }] as const);
  return writeSafetensors({ tensors: new Map(tensors), metadata: {} });
};

const optionsOf = (model: string, golden: ReferenceCase) => ({
  file: fileOf(golden),
  fileName: `${model}.safetensors`,
  architecture: architectures[golden.case]!,
  sizes: sizesIn(golden),
  store: directory,
  model,
});

/** A critic's state dict twice, as `q1.` and `q2.`, the second with 1 added to its output's bias. */
function twinsOf(golden: ReferenceCase): Uint8Array {
  const values = stateDict(golden);
  const twin = (prefix: string, by: number) =>
    golden.params.map(({ name, shape }) => {
      const data = values.get(name)!.map((value) => (name === 'last_layer.b1.bias' ? value + by : value));
      return [`${prefix}${name}`, { shape, data }] as const;
    });
  return writeSafetensors({ tensors: new Map([...twin('q1.', 0), ...twin('q2.', 1)]), metadata: {} });
}

/** Largest difference, on the scale of the largest expected value. */
function expectClose(actual: ArrayLike<number>, expected: readonly number[]): void {
  expect(actual.length).toBe(expected.length);
  const scale = Math.max(...expected.map(Math.abs));
  expect(Math.max(...expected.map((value, i) => Math.abs(actual[i]! - value))) / scale).toBeLessThan(1e-4);
}

type RowsOf = (name: string) => number[][];

const rowsOf =
  (golden: ReferenceCase): RowsOf =>
  (name) => {
    const { data, shape } = caseInputs(golden)[name]!;
    const [rowCount, size] = shape as [number, number];
    return Array.from({ length: rowCount }, (_, row) => [...data.subarray(row * size, (row + 1) * size)]);
  };

/** The deterministic action: the mean, or its tanh. */
const actionsIn = (golden: PolicyCase): number[] =>
  golden.case === 'pearl_hyper_policy' ? golden.mu.map(Math.tanh) : [...golden.mu];

const narrow = referenceCases.find(([name]) => name === 'sa-hyper-critic-narrow')![1];

describe('a state dict of the reference, served', () => {
  let client: PolicyClient;
  let address: string;

  beforeAll(async () => {
    for (const [model, golden] of referenceCases) await importNetwork(optionsOf(model, golden));
    await importNetwork({ ...optionsOf('twins', narrow), file: twinsOf(narrow) });
    ({ client, address } = await startTestServer([], { store: directory }, afterAll));
  }, 300_000);

  test.each(referenceCases)('%s gives the reference outputs', async (model, golden) => {
    const rows = rowsOf(golden);
    if (!isCriticCase(golden)) {
      const { action } = await client.act({ model, observation: rows('observation'), context: rows('context') });
      expectClose(action.values, actionsIn(golden as PolicyCase));
      return;
    }
    const { q, dqDa } = await client.qGrad({
      model,
      observation: rows('observation'),
      action: rows('action'),
      ...(golden.context_dim !== undefined && { context: rows('context') }),
      reduction: 'min',
    });
    expectClose(q.values, golden.q);
    expectClose(dqDa.values, golden.dq_da);
  });

  test('twins are both served', async () => {
    if (!isCriticCase(narrow)) throw new Error('expected a critic');
    const request = { model: 'twins', observation: rowsOf(narrow)('observation'), action: rowsOf(narrow)('action') };
    const [min, mean] = [
      await client.qGrad({ ...request, reduction: 'min' }),
      await client.qGrad({ ...request, reduction: 'mean' }),
    ];
    expectClose(min.q.values, narrow.q);
    // (q + q + 1) / 2.
    expectClose(
      mean.q.values,
      narrow.q.map((q) => q + 0.5),
    );
    expectClose(mean.dqDa.values, narrow.dq_da);
  });

  test('a critic with a context wants it, one for all rows or one each; the others do not', async () => {
    const [model, golden] = referenceCases.find(([name]) => name === 'pearl-hyper-critic')!;
    const rows = rowsOf(golden);
    const request = { model, observation: rows('observation'), action: rows('action') };
    await expect(client.qGrad(request)).rejects.toThrow('QGrad context: expected a tensor');
    await expect(client.qGrad({ ...request, context: rows('context').slice(1) })).rejects.toThrow(
      'QGrad context: expected one row, or one per action (3), got 2 rows',
    );
    await expect(client.qGrad({ ...request, contextHandle: 'x' })).rejects.toThrow(
      'QGrad context_handle: expected a handle that this server holds, got an unknown or expired one',
    );
    const one = await client.qGrad({ ...request, context: rows('context')[0]! });
    const each = await client.qGrad({ ...request, context: rows('context').map(() => rows('context')[0]!) });
    expect(one.q.values).toEqual(each.q.values);
    const plain = { model: 'sa-hyper-critic-narrow', observation: [0, 0, 0, 0], action: [0, 0] };
    await expect(client.qGrad({ ...plain, context: [1] })).rejects.toThrow(
      'QGrad context: expected none: the critic of model "sa-hyper-critic-narrow" takes no context, got one',
    );
  });

  test('from the command line: qgrad and act', async () => {
    const rows = rowsOf(narrow);
    const inputs = ['--observation', JSON.stringify(rows('observation')), '--action', JSON.stringify(rows('action'))];
    const answer = await hyperpolicy('qgrad', '--server', address, '--model', 'sa-hyper-critic-narrow', ...inputs);
    const { q, dqDa } = JSON.parse(answer.out) as { q: number[]; dqDa: number[][] };
    if (!isCriticCase(narrow)) throw new Error('expected a critic');
    expectClose(q, narrow.q);
    expectClose(dqDa.flat(), narrow.dq_da);

    const [model, golden] = referenceCases.find(([name]) => name === 'maml-hyper-policy')!;
    const given = ['observation', 'context'].flatMap((name) => [`--${name}`, JSON.stringify(rowsOf(golden)(name))]);
    const acted = await hyperpolicy('act', '--server', address, '--model', model, ...given);
    const { action } = JSON.parse(acted.out) as { action: number[][] };
    expectClose(action.flat(), (golden as PolicyCase).mu);
  });
});

describe('from the command line', () => {
  const sizes = ['--observation-size', '4', '--action-size', '2'];
  const to = ['--model', 'narrow-cli', '--store', directory];
  const path = join(directory, 'narrow.safetensors');
  writeFileSync(path, fileOf(narrow));

  test('import prints what it published', async () => {
    const { out, error } = await hyperpolicy('import', path, '--architecture', 'sa-hyper', ...sizes, ...to);
    expect(error).toBe(
      'action "action.0" has no low and no high bound, "action.1" has no low and no high bound: nothing clips it there. Bounds: --action-low, --action-high\n',
    );
    expect(JSON.parse(out)).toMatchObject({
      model: 'narrow-cli',
      version: 1,
      files: ['critic.primary.onnx', 'critic.dynamic.onnx'],
    });
  });

  test('import names what does not fit, in one line', async () => {
    const missing = await hyperpolicy('import', 'nope.safetensors', '--architecture', 'sa-hyper', ...sizes, ...to);
    expect(missing.error).toMatch(
      /^hyperpolicy: import nope.safetensors: expected a file at \/.*\/nope.safetensors, got none\n$/,
    );
    const other = await hyperpolicy('import', path, '--architecture', 'as-hyper', ...sizes, ...to);
    expect(other.error).toBe(
      'hyperpolicy: tensor "hyper.hyper.0.weight": expected [32, 2], as as-hyper with observation 4, action 2, context 0, got [32, 4]\n',
    );
    const cut = join(directory, 'cut.safetensors');
    writeFileSync(cut, fileOf(narrow).subarray(0, 5000));
    const damaged = await hyperpolicy('import', cut, '--architecture', 'sa-hyper', ...sizes, ...to);
    expect(damaged.error).toMatch(
      /^hyperpolicy: cut\.safetensors: expected \d+ bytes of tensors, as the header says, got \d+\./,
    );
    const bounds = await hyperpolicy(
      'import',
      path,
      '--architecture',
      'sa-hyper',
      ...sizes,
      ...to,
      '--action-low',
      'x',
    );
    expect(bounds.error).toContain("argument 'x' is invalid. Expected numbers with commas between");
  });

  test('architectures prints a row each', async () => {
    const { out } = await hyperpolicy('architectures', '--observation-size', '11', '--action-size', '3');
    const row = out.split('\n').find((line) => line.startsWith('sa-hyper  '));
    expect(row).toMatch(/critic +yes +7,748,610 /);
  });
});

describe('bounds', () => {
  test('are in the specs, one for all or one each', async () => {
    const options = { ...optionsOf('bounded', narrow), actionLow: [-1], actionHigh: [0.5, 2] };
    const { manifest } = await importNetwork(options);
    expect([manifest.action.low, manifest.action.high]).toEqual([
      [-1, -1],
      [0.5, 2],
    ]);
  });

  test('are absent unless given', async () => {
    const { manifest } = await importNetwork(optionsOf('unbounded', narrow));
    expect(manifest.action.low).toEqual([null, null]);
  });

  test('that do not fit are refused', async () => {
    const options = optionsOf('bounded', narrow);
    await expect(importNetwork({ ...options, actionLow: [-1, -1, -1] })).rejects.toThrow(
      'import action-low: expected 1 value, or one per action (2), got 3',
    );
    await expect(importNetwork({ ...options, actionLow: [1], actionHigh: [2, 1] })).rejects.toThrow(
      'import action value 1: expected action-low below action-high, got 1 and 1',
    );
  });
});

describe('a file of ours', () => {
  const network = createNetwork({
    kind: 'policy',
    config: { architecture: 'pearl-hyper-policy', trunkSizes: [8, 12], dynamicHiddenSizes: [6, 5], headRank: 3 },
    sizes: { observationSize: 4, actionSize: 2, contextSize: 3 },
  });
  const options = {
    file: writeNetwork(network, drawParameters(networkSpecs(network), createRandom(3))),
    fileName: 'own.safetensors',
    architecture: 'pearl-hyper-policy',
    sizes: { observationSize: 4, actionSize: 2, contextSize: 3 },
    store: directory,
    model: 'own',
  };

  test('is published as it describes itself, options included', async () => {
    const { manifest } = await importNetwork(options);
    expect(manifest.policy).toMatchObject({ kind: 'hyper', architecture: 'pearl-hyper-policy', stochastic: true });
  });

  test('is refused where the options say something else', async () => {
    const sizes = { ...options.sizes, contextSize: 2 };
    await expect(importNetwork({ ...options, sizes })).rejects.toThrow(
      'own.safetensors: expected pearl-hyper-policy with observation 4, action 2, context 3, got pearl-hyper-policy with observation 4, action 2, context 2',
    );
  });
});
