/** The cases that the commanders of both languages keep: test/clients/python/test_robot.py runs them too. */

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type CommanderOptions, createCommander } from '../../../clients/robot/index.ts';

type Step =
  | { readonly take: number[]; readonly observedAtMs: number }
  | { readonly decide: [number, number]; readonly mode: string }
  | { readonly command: number; readonly is: number[] };
type Case = { readonly name: string; readonly options: CommanderOptions; readonly steps: readonly Step[] };

const cases = JSON.parse(readFileSync(new URL('./commander.json', import.meta.url), 'utf8')) as Case[];

test.each(cases)('$name', ({ options, steps }) => {
  const commander = createCommander(options);
  for (const step of steps) {
    if ('take' in step) {
      commander.take({ action: Float32Array.from(step.take), observedAtMs: step.observedAtMs });
    } else if ('decide' in step) expect(commander.decide(...step.decide), JSON.stringify(step)).toBe(step.mode);
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

test('refuses an action of another size', () => {
  expect(() => createCommander(options).take({ action: new Float32Array(3), observedAtMs: 0 })).toThrow(
    'Commander action: expected 2 values, as the safe action has, got 3',
  );
});
