/** Our environments against recordings of their references: compiled models, free runs, transitions, resets. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Env } from '../../src/envs/env.ts';
import { createEnvironment, environmentNames } from '../../src/envs/registry.ts';
import { openSimulator } from '../../src/envs/simulator.ts';
import { readRecording } from '../golden/envs/read.ts';
import { compareFreeRun, compareModel, compareTransitions, type Gaps, infoColumns, resetMoments } from './parity.ts';
import { referenceCases } from './reference-cases.ts';

/** Entries over a limit; none is right. */
const over = (gaps: Gaps, limit: number) => Object.entries(gaps).filter(([, gap]) => !(gap <= limit));

it('every environment has a reference', () => {
  expect(referenceCases.map(({ name }) => name).sort()).toEqual(environmentNames);
});

it('refuses a recorded info column that is neither compared nor left out on purpose', () => {
  const recording = readRecording('Ant-v4');
  const columns = [...infoColumns(recording).keys()];
  expect(columns).toContain('info.x_velocity');
  expect(columns).not.toContain('info.x_position');
  expect(() => infoColumns({ ...recording, columnNames: [...recording.columnNames, 'info.height'] })).toThrow(
    'Ant-v4: expected each info column in infoNames or omitted (test/envs/parity.ts), got "info.height" in neither',
  );
});

describe('our model', () => {
  const models = referenceCases.flatMap(({ name, model }) => (model === undefined ? [] : [{ name, model }]));

  it.each(models)('of $name compiles to the reference, field by field, within 1e-12', async ({ name, model }) => {
    const simulator = await openSimulator(model());
    const gaps = compareModel(simulator.model, readRecording(name));
    expect(Object.keys(gaps).length).toBeGreaterThan(70);
    expect(over(gaps, 1e-12)).toEqual([]);
    simulator.dispose();
  });
});

describe.each(referenceCases)('$name', ({ name, pose }) => {
  const recording = readRecording(name);
  let env: Env;

  beforeAll(async () => {
    env = await createEnvironment(name);
  });
  afterAll(() => env.dispose());

  it('runs freely for 10 steps as the reference does, within 1e-9', () => {
    expect(over(compareFreeRun(env, recording, 10), 1e-9)).toEqual([]);
  });

  it('makes each of 200 recorded transitions, within 1e-9', () => {
    expect(recording.rowCount).toBe(200);
    expect(over(compareTransitions(env, recording), 1e-9)).toEqual([]);
  });

  it('has the reference time limit', () => {
    expect(env.episodeStepCountMax).toBe(recording.episodeStepCountMax);
  });

  if (/-v5$|^Pendulum/.test(name)) {
    it('explains a step by the values of the reference, no more and no fewer', () => {
      const names = [...infoColumns(recording).values()].sort();
      expect(Object.keys(env.reset(1).info).sort()).toEqual(names);
      expect(Object.keys(env.step(recording.at(0, 'action')).info).sort()).toEqual(names);
    });
  }

  const { resets } = recording;
  if (resets === null) {
    it('starts where the reference does, without noise', () => {
      for (const [i, row] of recording.episodeStarts.entries()) {
        env.reset(i);
        expect(env.save().arrays.position).toEqual(recording.at(row, 'position'));
      }
    });
    return;
  }

  it('resets with the reference noise, by its moments', () => {
    const { model } = pose === undefined ? recording : readRecording(pose);
    const ours = resetMoments(env, { ...recording, model }, 500);
    for (const kind of ['position', 'velocity'] as const) {
      const [actual, expected] = [ours[kind], resets[kind]];
      // At least 500 values a side: five standard errors of a mean, a deviation and a kurtosis.
      expect(Math.abs(actual.mean - expected.mean)).toBeLessThan(0.3 * expected.deviation);
      expect(Math.abs(actual.deviation / expected.deviation - 1)).toBeLessThan(0.15);
      expect(Math.abs(actual.kurtosis - expected.kurtosis)).toBeLessThan(0.5);
    }
  });
});

it('gives the distances from the origin after a reset too', async () => {
  const hopper = await createEnvironment('Hopper-v5');
  const { zDistanceFromOrigin } = hopper.reset(3).info;
  expect(zDistanceFromOrigin).toBe(hopper.save().arrays.qpos![1]! - 1.25);
  hopper.dispose();
  const ant = await createEnvironment('Ant-v5');
  const { distanceFromOrigin } = ant.reset(3).info;
  const [x, y] = ant.save().arrays.qpos!;
  expect(distanceFromOrigin).toBeCloseTo(Math.sqrt(x! ** 2 + y! ** 2), 12);
  ant.dispose();
});
