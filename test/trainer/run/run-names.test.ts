/** Names of runs: with the seed, and found again by the model's name. */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findRun, runName } from '../../../trainer/run/run-names.ts';

let runs: string;
beforeEach(() => {
  runs = mkdtempSync(join(tmpdir(), 'run-names-test-'));
});
afterEach(() => rmSync(runs, { recursive: true }));

const make = (...names: string[]) => names.map((name) => mkdirSync(join(runs, name)));

test('a run has its seed in its name once', () => {
  expect(runName('cheetah', 3)).toBe('cheetah-seed3');
  expect(runName('cheetah-seed3', 3)).toBe('cheetah-seed3');
  expect(runName('cheetah-seed3', 30)).toBe('cheetah-seed3-seed30');
});

test('the only run of a model is found, whatever its seed', () => {
  make('cheetah-seed4', 'cheetah-fast-seed1', 'cheetah-seedy');
  expect(findRun(runs, 'cheetah')).toBe(join(runs, 'cheetah-seed4'));
  expect(findRun(runs, 'cheetah-seed4')).toBe(join(runs, 'cheetah-seed4'));
  expect(findRun(runs, 'ant')).toBe(join(runs, 'ant-seed0'));
});

test('of several runs one must be named', () => {
  make('cheetah-seed1', 'cheetah-seed2');
  expect(() => findRun(runs, 'cheetah')).toThrow(
    `resume: cheetah: expected one run of this model, got 2: cheetah-seed1, cheetah-seed2. Name one: --run ${join(runs, 'cheetah-seed1')}`,
  );
});
