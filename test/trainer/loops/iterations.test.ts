/** The loop of iterations: a run that is cut at an evaluation has it once, and a learner in the middle of an update is not saved. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { runToEnd } from '../../../src/contract/sliced.ts';
import { type IterativeLearner, trainIterations } from '../../../trainer/loops/iterations.ts';
import { PartialUpdate, takeUpdate } from '../../../trainer/off-policy/finite-loss.ts';
import { checkpointSteps, loadNewestCheckpoint } from '../../../trainer/run/checkpoint.ts';
import { RunFailure } from '../../../trainer/run/failure.ts';
import { loadLearner } from '../../../trainer/run/kept-learners.ts';
import { readMetrics } from '../../../trainer/run/metrics.ts';
import { openMetricsPort } from '../../../trainer/seeing/metrics-port.ts';

let runDirectory: string;
beforeEach(async () => {
  const scratch = await mkdtemp(join(tmpdir(), 'iterations-test-'));
  runDirectory = join(scratch, 'run');
  return () => rm(scratch, { recursive: true });
});

/** Counts; its returns are higher the longer it has counted, but for iteration 3, which is the best. */
function counter(sliceCountOf: (iteration: number) => number = () => 1): IterativeLearner {
  const count = Float32Array.of(0);
  const state = () => ({ arrays: { count: count.slice() }, state: null });
  return {
    *iterate() {
      yield;
      count[0]! += 1;
      return { metrics: { count: count[0]! }, latestReturn: undefined, text: 'counted', divergedCount: 0 };
    },
    *evaluate(iteration) {
      for (let slice = sliceCountOf(iteration); slice > 0; slice--) yield;
      const value = iteration === 3 ? 100 : iteration;
      return {
        returns: [value - 1, value + 1],
        before: undefined,
        results: { value },
        metrics: { value },
        text: '',
        divergedCount: 0,
      };
    },
    save: () => ({ ...state(), arrays: { ...state().arrays, replay: new Float32Array(3) } }),
    saveNetworks: state,
    restore: ({ arrays }) => count.set(arrays.count as Float32Array),
  };
}

const train = (
  iterationCount: number,
  { learner = counter(), resume = false, ...more }: Partial<Parameters<typeof trainIterations>[0]> = {},
) =>
  trainIterations({
    ...{ learner, runDirectory, resume, title: 'counter', stepUnit: 'steps' },
    config: {
      ...{ iterationCount, evaluationInterval: 3, evaluationEpisodeCount: 5, checkpointInterval: 2, seed: 0 },
      ...{ evaluationTaskCount: 2 },
    } as Parameters<typeof trainIterations>[0]['config'],
    ...more,
  });

const evaluated = () => readMetrics(runDirectory).filter((record) => 'value' in record);

test('an evaluation that a resumed run makes at its first iteration is in its checkpoint, and in the records once', async () => {
  const interrupt = new AbortController();
  const learner = counter((iteration) => {
    if (iteration !== 3) return 1;
    interrupt.abort();
    return Number.POSITIVE_INFINITY;
  });
  expect((await train(3, { learner, signal: interrupt.signal })).aborted).toBe(true);
  expect(evaluated().map(({ step }) => step)).toEqual([0]);
  expect((await train(3, { resume: true })).best).toMatchObject({ step: 3, meanReturn: 100, episodeCount: 10 });
  await train(3, { resume: true });
  expect(evaluated().map(({ step }) => step)).toEqual([0, 3]);
  expect((await train(6, { resume: true })).best).toMatchObject({ step: 3, meanReturn: 100 });
  expect(evaluated().map(({ step }) => step)).toEqual([0, 3, 6]);
});

test('the metrics port counts the steps of this process alone, the first one too', async () => {
  const counted = async (iterationCount: number, resume: boolean) => {
    const port = await openMetricsPort({ host: '127.0.0.1', port: 0 });
    try {
      const reporter = { report: (step: number) => port.step(step), print() {} };
      await train(iterationCount, { resume, observer: port, reporter });
      const shown = await (await fetch(`http://${port.address}/metrics`)).text();
      return Number(/^hyperpolicy_training_steps_total (\d+)$/m.exec(shown)?.[1]);
    } finally {
      await port.close();
    }
  };
  expect(await counted(4, false)).toBe(4);
  expect(await counted(6, true)).toBe(2);
});

test('episodes that the simulator cut are recorded and warned of from one figure', async () => {
  const cutting: IterativeLearner = {
    ...counter(),
    *iterate(iteration) {
      yield;
      return { metrics: {}, latestReturn: undefined, text: '', divergedCount: 2 * iteration };
    },
  };
  const warnings: object[] = [];
  await train(2, { learner: cutting, log: { info() {}, warn: (fields: object) => void warnings.push(fields) } });
  expect(readMetrics(runDirectory).flatMap(({ divergedEpisodes = [] }) => divergedEpisodes)).toEqual([0, 2]);
  expect(warnings).toEqual([{ step: 2, divergedEpisodes: 2 }]);
});

test('an evaluation is told as of an iteration, with the episodes of each task and the returns before and after adaptation', async () => {
  const told: unknown[][] = [];
  const reporter = { report: () => {}, print: (...line: unknown[]) => told.push(line) };
  const learner = counter();
  const adapting: IterativeLearner = {
    ...learner,
    *evaluate(iteration) {
      const evaluation = yield* learner.evaluate(iteration);
      return { ...evaluation, before: { meanReturn: -5, standardDeviation: 0 } };
    },
  };
  await train(1, { learner: adapting, reporter, stepUnit: 'iterations' });
  // Two tasks with returns 0 and 2.
  expect(told).toContainEqual([
    'iteration 1: evaluation return 1.00 +- 1.00 over 2 tasks, 5 episodes each',
    { of: 'evaluation', value: [-5, 1] },
  ]);
});

test('a learner that is kept has no replay buffer', async () => {
  await train(3, { keptSteps: [1] });
  expect(Object.keys((await loadLearner(runDirectory, 1)).learner.arrays)).toEqual(['count']);
});

test('a fault inside an update leaves the checkpoint before, also that of the same iteration', async () => {
  const learner = counter();
  const broken: IterativeLearner = {
    ...learner,
    iterate(iteration) {
      if (iteration < 2) return learner.iterate(iteration);
      return takeUpdate(() => {
        runToEnd(learner.iterate(iteration));
        throw new Error('power cut');
      });
    },
  };
  const failure = await train(6, { learner: broken }).catch((error: unknown) => error);
  expect(failure).toMatchObject({ message: 'update: expected no fault, got power cut' });
  expect(failure).toMatchObject({ isHeldBack: true, result: { checkpoint: undefined } });
  const kept = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
  expect(kept).toMatchObject({ step: 2, arrays: { 'learner/count': Float32Array.of(2) } });
});

test('an update that was refused when a part of it was taken leaves the checkpoint before', async () => {
  const learner = counter();
  const broken: IterativeLearner = {
    ...learner,
    iterate(iteration) {
      if (iteration < 3) return learner.iterate(iteration);
      throw new PartialUpdate({
        kind: 'failed_precondition',
        where: 'update',
        expected: 'a finite loss',
        actual: 'NaN',
      });
    },
  };
  const failure = await train(6, { learner: broken }).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(RunFailure);
  expect(failure).toMatchObject({ isHeldBack: true, result: { checkpoint: undefined } });
  expect(await checkpointSteps(join(runDirectory, 'checkpoints'))).toEqual([2]);
});
