/** `hyperpolicy analyse gradients`, as a process of its own. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEnvironment } from '../../src/envs/registry.ts';
import { temporaryStore } from '../server/fixtures.ts';
import { runCommand } from './command.ts';

const cleanUps: (() => Promise<unknown>)[] = [];
afterAll(async () => {
  for (const cleanUp of cleanUps) await cleanUp();
});

let folder: string;
beforeAll(async () => {
  const env = await createEnvironment('Pendulum-v1');
  const environment = { name: 'Pendulum-v1', ...env.specs };
  env.dispose();
  const random = { policy: 'plain', critic: 'plain', hiddenSize: 8, environment } as const;
  folder = await temporaryStore(
    [
      { ...random, model: 'a', seed: 1 },
      { ...random, model: 'a', seed: 2 },
      { ...random, model: 'b', critic: 'hyper', trunkSizes: [8], seed: 3 },
      { ...random, model: 'actor', critic: 'none' },
      { model: 'nowhere', policy: 'plain', critic: 'plain', observationSize: 3, actionSize: 1 },
    ],
    (cleanUp) => cleanUps.push(cleanUp as () => Promise<unknown>),
  );
});

const small = ['--states', '3', '--actions', '4', '--horizon', '20'];
const gradients = (...args: string[]) =>
  runCommand(['analyse', 'gradients', '--store', '.', ...small, ...args], folder);
const lines = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('hyperpolicy analyse gradients', () => {
  it('prints a line for each version and writes a table, all cosines and a picture, the same for a seed', async () => {
    const args = ['--model', 'a', 'b@1', '--thresholds', '0,0.5'];
    const { code, stdout, stderr } = await gradients(...args, '--out', 'a.csv', '--picture', 'a.svg');
    expect(stderr).toMatch(/^gradients 1\/36 .*\n(.*\n)*gradients 36\/36 100%/);
    expect(code).toBe(0);
    const [first, second, third, all] = lines(stdout);
    expect(first).toMatchObject({ model: 'a', version: 1, environment: 'Pendulum-v1', statesWithCosine: 3 });
    expect(second).toMatchObject({ model: 'a', version: 2, architecture: 'mlp-small' });
    expect(third).toMatchObject({ model: 'b', version: 1, architecture: 'sa-hyper' });
    expect(Object.keys(first.fractionsAbove)).toEqual(['0', '0.5']);
    expect(all).toMatchObject({
      models: ['a', 'b'],
      versions: 3,
      states: 3,
      actions: 4,
      out: 'a.csv',
      picture: 'a.svg',
    });
    // Of each version 3 episodes of 200 steps, and 12 of at most 20.
    expect(all.environmentSteps).toBeGreaterThan(3 * 600);
    expect(all.environmentSteps).toBeLessThanOrEqual(3 * (600 + 240));

    const table = readFileSync(join(folder, 'a.csv'), 'utf8').trim().split('\n');
    expect(table[0]).toBe(
      'model,version,step,environment,critic,statesWithCosine,meanCosine,standardDeviation,fractionAbove0,fractionAbove0.5',
    );
    expect(table[1]).toBe(
      `a,1,0,Pendulum-v1,mlp-small,3,${first.meanCosine},${first.standardDeviation},${first.fractionsAbove['0']},${first.fractionsAbove['0.5']}`,
    );
    expect(table).toHaveLength(4);
    const picture = readFileSync(join(folder, 'a.svg'), 'utf8');
    for (const text of [
      'Gradient accuracy on Pendulum-v1',
      'Cosine above 0.5',
      'a, mlp-small',
      'b, sa-hyper',
      'version',
    ]) {
      expect(picture).toContain(`>${text}<`);
    }

    const again = await gradients(...args, '--out', 'a.json');
    expect(lines(again.stdout).slice(0, 3)).toEqual([first, second, third]);
    const { settings, versions } = JSON.parse(readFileSync(join(folder, 'a.json'), 'utf8'));
    expect(settings).toMatchObject({
      states: 3,
      noise: 0.3,
      discount: 0.99,
      hold: 1,
      horizon: 20,
      reduction: 'q1',
      seed: 0,
    });
    // With one action value a cosine is 1 or -1.
    const cosines: number[] = versions[0].cosines;
    for (const cosine of cosines) expect(Math.abs(cosine)).toBeCloseTo(1, 12);
    expect(first.meanCosine).toBeCloseTo(cosines.reduce((sum, cosine) => sum + cosine, 0) / 3, 12);
    expect(first.fractionsAbove['0.5']).toBe(cosines.filter((cosine) => cosine > 0.5).length / 3);
  });

  it('takes the settings of the authors', async () => {
    const { code, stdout } = await gradients('--model', 'a@2', '--hold', '3', '--bootstrap', '--reduction', 'min');
    expect(code).toBe(0);
    expect(lines(stdout)).toHaveLength(2);
  });

  it('studies a version that is named twice once, and writes what it has if a later one fails', async () => {
    const { code, stdout } = await gradients('--model', 'a@2', 'a', 'actor', '--out', 'part.csv');
    expect(code).toBe(1);
    expect(lines(stdout).map(({ version }) => version)).toEqual([2, 1]);
    const [, ...rows] = readFileSync(join(folder, 'part.csv'), 'utf8').trim().split('\n');
    expect(rows.map((row) => row.split(',').slice(0, 2))).toEqual([
      ['a', '2'],
      ['a', '1'],
    ]);
  });

  it.each([
    [['--model', 'c'], 1, 'model of .: expected one of a, actor, b, nowhere, got "c". Train one with --publish every'],
    [['--model', 'a@3'], 1, 'version of "a": expected one of 1, 2, got 3'],
    [['--model', 'a@x'], 2, 'Expected a model, or a model with versions, such as my-cheetah@3 or my-cheetah@3,5,9'],
    [
      ['--model', 'actor'],
      1,
      'actor/1: expected a package with a critic, got one of random without. Name a model that "hyperpolicy train td3" or',
    ],
    [['--model', 'a', '--env', 'Hopper-v5'], 1, 'Name the environment that it was trained in, "Pendulum-v1"'],
    [['--model', 'nowhere'], 1, 'got "none". Name yours with --env: its name, or its file such as ./my-env.js'],
    [
      ['--model', 'a', '--actions', '1'],
      1,
      'actions at each state: expected at least 2, one more than an action of Pendulum-v1 has values, got 1',
    ],
    [['--model', 'a', '--out', 'a.txt'], 1, '--out: expected a file that ends in .json or .csv, got "a.txt"'],
    [['--model', 'a', '--picture', 'a.gif'], 1, '--picture: expected a file that ends in .svg or .png, got "a.gif"'],
    [['--model', 'a', '--thresholds', '2'], 2, 'Expected one row of numbers from -1 to 1'],
    [[], 2, "required option '--model <name...>' not specified"],
  ])('refuses %j in one line', async (args, code, message) => {
    const finished = await gradients(...args);
    expect(finished.code).toBe(code);
    expect(finished.stderr).toContain(message);
    expect(finished.stderr.trim().split('\n')).toHaveLength(1);
  });

  it('is found below analyse', async () => {
    const { code, stderr } = await runCommand(['analyse'], folder);
    expect(code).toBe(2);
    expect(stderr).toContain('hyperpolicy: expected a subcommand. See --help');
  });
});
