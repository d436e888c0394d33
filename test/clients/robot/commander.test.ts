/** The cases that the commanders of all languages keep, here in TypeScript and C++: test/clients/python/test_robot.py runs them too. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { type CommanderOptions, createCommander } from '../../../clients/robot/index.ts';
import { testWith } from '../../requirements.ts';

type Step =
  | { readonly take: number[]; readonly observedAtMs: number; readonly isNewest?: boolean }
  | { readonly safe: number[] }
  | { readonly decide: [number, number]; readonly mode: string }
  | { readonly command: number; readonly is: number[] };
type Case = { readonly name: string; readonly options: CommanderOptions; readonly steps: readonly Step[] };

const cases = JSON.parse(readFileSync(new URL('./commander.json', import.meta.url), 'utf8')) as Case[];

test.each(cases)('$name', ({ options, steps }) => {
  const commander = createCommander(options);
  for (const step of steps) {
    if ('take' in step) {
      const isNewest = commander.take({ action: Float32Array.from(step.take), observedAtMs: step.observedAtMs });
      expect(isNewest, JSON.stringify(step)).toBe(step.isNewest ?? true);
    } else if ('safe' in step) commander.setSafeAction(step.safe);
    else if ('decide' in step) expect(commander.decide(...step.decide), JSON.stringify(step)).toBe(step.mode);
    else expect([...commander.command(step.command)], JSON.stringify(step)).toEqual(step.is);
  }
});

const options = { safeAction: [0, 0], ageMsMax: 100, rampMs: 50, interpolationMs: 0, watchdogMs: 30 };

test.each([
  [{ ageMsMax: 0 }, 'Commander ageMsMax: expected a number of milliseconds above 0, got 0'],
  [{ watchdogMs: Number.NaN }, 'Commander watchdogMs: expected a number of milliseconds above 0, got NaN'],
  [{ rampMs: -1 }, 'Commander rampMs: expected a number of milliseconds from 0, got -1'],
])('refuses %o', (wrong, text) => {
  expect(() => createCommander({ ...options, ...wrong })).toThrow(text);
});

test.each([
  [[], '[]'],
  [[0, Number.POSITIVE_INFINITY], '[0, Infinity]'],
])('refuses %j as the first safe action', (safeAction, shown) => {
  expect(() => createCommander({ ...options, safeAction })).toThrow(
    `Commander safe action: expected one or more finite values, got ${shown}`,
  );
});

test('refuses an action of another size', () => {
  expect(() => createCommander(options).take({ action: new Float32Array(3), observedAtMs: 0 })).toThrow(
    'Commander action: expected 2 values, as the safe action has, got 3',
  );
});

test.each([
  [[0], '[0]'],
  [[0, Number.NaN], '[0, NaN]'],
])('refuses the safe action %j', (action, shown) => {
  expect(() => createCommander(options).setSafeAction(action)).toThrow(
    `Commander safe action: expected 2 finite values, got ${shown}`,
  );
});

const cppTest = testWith(spawnSync('g++', ['--version']).status === 0, 'a C++ compiler', 'apt-get install g++');

cppTest('the C++ commander keeps them too', { timeout: 240_000 }, () => {
  const build = mkdtempSync(join(tmpdir(), 'hyperpolicy-commander-'));
  onTestFinished(() => rmSync(build, { recursive: true }));
  const path = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const program = join(build, 'cases');
  const include = ['-I', path('../../../clients/robot/cpp')];
  const compiled = spawnSync('g++', [
    '-std=c++17',
    '-Wall',
    '-Wextra',
    ...include,
    '-o',
    program,
    path('./commander-cases.cpp'),
  ]);
  expect(String(compiled.stderr)).toBe('');
  for (const { name, options: given, steps } of cases) {
    const { safeAction, ageMsMax, rampMs, interpolationMs, watchdogMs } = given;
    const lines = [['new', ageMsMax, rampMs, interpolationMs, watchdogMs, ...Array.from(safeAction)]];
    for (const step of steps) {
      if ('take' in step) lines.push(['take', step.observedAtMs, ...step.take]);
      else if ('safe' in step) lines.push(['safe', ...step.safe]);
      else if ('decide' in step) lines.push(['decide', ...step.decide]);
      else lines.push(['command', step.command]);
    }
    const { stdout } = spawnSync(program, { input: lines.map((words) => words.join(' ')).join('\n') });
    const answers = String(stdout)
      .trim()
      .split('\n')
      .map((line) => line.trim());
    const wanted = steps.flatMap((step) =>
      'mode' in step
        ? [step.mode]
        : 'is' in step
          ? [step.is.map((value) => Number(value.toPrecision(9))).join(' ')]
          : [],
    );
    expect(answers, name).toEqual(wanted);
  }
});
