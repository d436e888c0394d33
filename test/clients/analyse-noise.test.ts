/** `hyperpolicy analyse noise` as a process: its table, its CSV, its line of JSON, and what it refuses. */

import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand } from './command.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-noise-'));
  const sizes = '--hidden 8 --tasks 3 --episodes 2 --eval-tasks 2 --eval-episodes 2 --iterations 2 --threads 1'.split(
    ' ',
  );
  const run = ['--run', 'run', '--publish', 'none', '--keep-at', '1'];
  const { code, stderr } = await runCommand(
    ['train', 'maml', '--env', 'Point-Robot', '--policy', 'maml', ...sizes, ...run],
    directory,
  );
  expect(code, stderr).toBe(0);
}, 120_000);
afterAll(() => rm(directory, { recursive: true, force: true }));

const analyse = (...args: string[]) => runCommand(['analyse', 'noise', ...args], directory);

test('the table and the JSON are of the updates in the CSV', async () => {
  const { code, stdout, stderr } = await analyse('run', '--step', '1', '--updates', '3', '--out', 'updates.csv');
  expect(code, stderr).toBe(0);
  const result = JSON.parse(stdout) as {
    readonly postReturn: { readonly mean: number; readonly coefficientOfVariation: number };
    readonly updateCount: number;
  };
  expect(result).toMatchObject({ run: 'run', step: 1, seed: 300, policy: 'maml', updateCount: 3, csv: 'updates.csv' });
  const [titles, ...rows] = (await readFile(join(directory, 'updates.csv'), 'utf8')).trim().split('\n');
  expect(titles).toBe('update,preReturn,postReturn,norm,kl,accepted');
  expect(rows.map((row) => row.split(',')[0])).toEqual(['0', '1', '2']);
  const returns = rows.map((row) => Number(row.split(',')[2]));
  expect(result.postReturn.mean).toBeCloseTo(returns.reduce((sum, value) => sum + value, 0) / 3, 12);
  expect(stderr).toMatch(/update 3 of 3: test tasks \S+ before, \S+ after adaptation/);
  const [, , , , coefficient] = /^after adaptation +(\S+) +(\S+) +(\S+) +(\S+)$/m.exec(stderr)!;
  expect(coefficient).toBe(result.postReturn.coefficientOfVariation.toPrecision(4));
}, 60_000);

test.each([
  [['nowhere'], 1, 'analyse noise: run directory "nowhere": expected a run, got no config.json'],
  [['run', '--step', '7'], 1, 'run directory "run": expected a learner of iteration 7, got those of iterations 1, 2'],
  [['run', '--updates', '1'], 2, 'Expected an integer from 2 to 10000'],
  [['run', '--out', 'no/folder.csv'], 1, '--out no/folder.csv: expected a folder at '],
] as const)('%j is refused', async (args, exitCode, text) => {
  const { code, stdout, stderr } = await analyse(...args);
  expect({ code, stdout }).toEqual({ code: exitCode, stdout: '' });
  expect(stderr).toContain(text);
});
