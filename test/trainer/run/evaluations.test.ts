/** The evaluations of a run: which is the best, also after a resume, and what each costs. */

import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import type { Evaluation } from '../../../src/package/manifest.ts';
import { createEvaluations, removeBestAfter } from '../../../trainer/run/evaluations.ts';

let runDirectory: string;
beforeEach(async () => {
  runDirectory = await mkdtemp(join(tmpdir(), 'evaluations-test-'));
  return () => rm(runDirectory, { recursive: true });
});

const open = (before: readonly Evaluation[] = []) =>
  createEvaluations({ runDirectory, now: () => 0, stepUnit: 'steps' }, { title: 'run', warmUpStepCount: 10, before });
const evaluationOf = (step: number, meanReturn: number): Evaluation => ({
  ...{ step, meanReturn, standardDeviation: 0, episodeCount: 1 },
});
const save = () => ({ arrays: { values: Float32Array.of(1) }, state: null });
const stepsOfBest = async (evaluations: ReturnType<typeof open>, returns: readonly (readonly [number, number])[]) => {
  const best: (number | undefined)[] = [];
  for (const [step, value] of returns) {
    await evaluations.add(evaluationOf(step, value), [value], save);
    evaluations.noteCheckpoint();
    best.push(evaluations.best()?.step);
  }
  return best;
};

const course = [
  [0, 9],
  [10, 8],
  [20, 1],
  [30, 3],
  [40, 2],
  [50, 3],
  [60, Number.NaN],
  [70, 2],
] as const;

test('the best is the latest of the highest after the warm-up, and the same in a run that resumes', async () => {
  const whole = [undefined, undefined, 20, 30, 30, 50, 50, 50];
  expect(await stepsOfBest(open(), course)).toEqual(whole);
  for (const [i, [step]] of course.entries()) {
    rmSync(join(runDirectory, 'best'), { recursive: true, force: true });
    const begun = open();
    await stepsOfBest(begun, course.slice(0, i + 1));
    // Evaluations that the checkpoint does not have are made again.
    await begun.add(evaluationOf(step + 5, 2.5), [2.5], save);
    await removeBestAfter(runDirectory, step);
    const resumed = open(begun.list.slice(0, -1));
    expect(resumed.best()?.step).toBe(whole[i]);
    expect(await stepsOfBest(resumed, course.slice(i + 1))).toEqual(whole.slice(i + 1));
  }
});

test('one without a finite return is never the best, also if it is the first, and also if all are such', async () => {
  const { NaN: none, POSITIVE_INFINITY: infinite } = Number;
  const returns = [none, infinite, -5, none, -4] as const;
  const later = returns.map((value, i) => [20 + i, value] as const);
  expect(await stepsOfBest(open(), later)).toEqual([undefined, undefined, 22, 22, 24]);
  expect(await stepsOfBest(open(), later.slice(0, 2))).toEqual([undefined, undefined]);
});

test('one whose learner could not be written is not the best', async () => {
  const evaluations = open();
  await evaluations.add(evaluationOf(20, 1), [1], save);
  const full = () => {
    throw new Error('no space left');
  };
  await evaluations.add(evaluationOf(30, 2), [2], full);
  expect(evaluations.best()?.step).toBe(20);
});

test('an evaluation costs as much late in a run as early', async () => {
  let readCount = 0;
  const counted = (step: number): Evaluation =>
    Object.defineProperty(evaluationOf(0, 100 - step), 'step', {
      get: () => {
        readCount++;
        return step;
      },
    });
  const evaluations = open();
  const count = 300;
  for (let step = 20; step < 20 + count; step++) {
    await evaluations.add(counted(step), [0], save);
    evaluations.best();
    evaluations.noteCheckpoint();
  }
  expect(evaluations.best()?.step).toBe(20);
  expect(readCount).toBeLessThan(5 * count);
});
