/** `hyperpolicy analyse weights` as a process: its lines of JSON, its files, and what it refuses. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createEnvironment } from '../../src/envs/registry.ts';
import { temporaryStore } from '../server/fixtures.ts';
import { runCommand } from './command.ts';

const cleanUps: (() => unknown)[] = [];
afterAll(async () => {
  for (const cleanUp of cleanUps) await cleanUp();
});

let folder: string;
beforeAll(async () => {
  const env = await createEnvironment('Pendulum-v1');
  const environment = { name: 'Pendulum-v1', ...env.specs };
  env.dispose();
  const random = { policy: 'plain', hiddenSize: 8, trunkSizes: [8], environment } as const;
  folder = await temporaryStore(
    [
      { ...random, model: 'hyper', critic: 'hyper', seed: 1 },
      { ...random, model: 'hyper', critic: 'hyper', seed: 2 },
      { ...random, model: 'small', critic: 'plain', seed: 3 },
      { ...random, model: 'small', critic: 'plain', seed: 4 },
    ],
    (cleanUp) => cleanUps.push(cleanUp),
  );
});

const weights = (...args: string[]) =>
  runCommand(['analyse', 'weights', '--store', '.', '--inputs', '2', '--bins', '10', ...args], folder);
const lines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test('the lines, the tables and the picture are of the same histograms', async () => {
  const args = ['--model', 'hyper', '--against', 'small'];
  const { code, stdout, stderr } = await weights(...args, '--out', 'w.csv', '--picture', 'w.svg');
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(/weights 2\/2 100%/);
  const [first, second, plain, all] = lines(stdout);
  expect(first).toMatchObject({ model: 'hyper', version: 1, network: 'critic', architecture: 'sa-hyper' });
  expect(second).toMatchObject({ model: 'hyper', version: 2 });
  expect(plain).toMatchObject({ model: 'small', version: 2, architecture: 'mlp-small' });
  expect(all).toMatchObject({ models: ['hyper'], against: 'small', versions: 2, inputs: 2, bins: 10, out: 'w.csv' });
  type Part = { layer: number; part: string; count: number; totalVariation: number };
  // Twins of two states, 1-8-1; the plain twins also see the observation, 4-8-1.
  expect(first.parts.map(({ layer, part, count }: Part) => [layer, part, count])).toEqual([
    [0, 'weights', 32],
    [0, 'biases', 32],
    [1, 'weights', 32],
    [1, 'biases', 4],
  ]);
  expect(plain.parts.map(({ count }: Part) => count)).toEqual([64, 16, 16, 2]);
  expect(plain.parts[0]).not.toHaveProperty('totalVariation');

  const [head, ...rows] = readFileSync(join(folder, 'w.csv'), 'utf8').trim().split('\n');
  expect(head).toBe('model,version,step,layer,part,low,high,fraction,plainFraction');
  expect(rows).toHaveLength(2 * 4 * 10);
  // Half of the sum of differences between the two histograms of the first part.
  const bins = rows
    .filter((row) => row.startsWith('hyper,1,0,0,weights,'))
    .map((row) => row.split(',').slice(5).map(Number) as [number, number, number, number]);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  expect(sum(bins.map(([, , fraction]) => fraction))).toBeCloseTo(1, 12);
  expect(sum(bins.map(([, , , plainFraction]) => plainFraction))).toBeCloseTo(1, 12);
  const distance = sum(bins.map(([, , fraction, plainFraction]) => Math.abs(fraction - plainFraction))) / 2;
  expect(first.parts[0].totalVariation).toBeCloseTo(distance, 12);
  expect(distance).toBeGreaterThan(0);

  const picture = readFileSync(join(folder, 'w.svg'), 'utf8');
  for (const text of [
    'Weights of layer 0',
    'Weights of layer 1',
    'hyper@2, sa-hyper, step 0',
    'small@2, mlp-small, step 0',
    '0.5',
    'fraction in a bin',
  ]) {
    expect(picture).toContain(`>${text}<`);
  }

  const again = await weights(...args, '--out', 'w.json');
  expect(lines(again.stdout).slice(0, 3)).toEqual([first, second, plain]);
  const { generated, plain: own } = JSON.parse(readFileSync(join(folder, 'w.json'), 'utf8'));
  expect(generated[0].parts[0].fractions).toEqual(bins.map(([, , fraction]) => fraction));
  expect(generated[0].parts[0].bins).toEqual({ low: bins[0]![0], high: bins.at(-1)![1], count: 10 });
  expect(own.parts[0].fractions).toHaveLength(10);
  // Alone a version has the same distance.
  const alone = lines((await weights('--model', 'hyper@2', '--against', 'small')).stdout);
  expect(alone[0]).toEqual(second);
});

test.each([
  [['--model', 'small', '--against', 'small'], 1, 'expected a critic or a policy whose weights a primary generates'],
  [
    ['--model', 'hyper', '--against', 'hyper'],
    1,
    'expected a plain critic of 2 layers to compare with, got the critic "sa-hyper"',
  ],
  [['--model', 'hyper', '--network', 'policy', '--against', 'small'], 1, 'got the policy "mlp"'],
  [['--model', 'hyper', '--against', 'small@1,2'], 2, 'Expected a model, or a model with one version'],
  [['--model', 'hyper', '--against', 'small@3'], 1, 'version of "small": expected one of 1, 2, got 3'],
  [['--model', 'hyper'], 2, "required option '--against <name>' not specified"],
])('refuses %j', async (args, code, message) => {
  const finished = await weights(...args);
  expect(finished.code).toBe(code);
  expect(finished.stderr).toContain(message);
  expect(finished.stdout).toBe('');
});
