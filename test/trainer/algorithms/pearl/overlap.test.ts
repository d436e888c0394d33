/**
 * Collections: their episodes and their z, which networks collect beside updates, and that nothing depends on threads or on where a run
 * is stopped.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { runToEnd } from '../../../../src/contract/sliced.ts';
import { createEnvironment } from '../../../../src/envs/registry.ts';
import { type PearlConfig, pearlDefaults } from '../../../../trainer/algorithms/pearl/config.ts';
import {
  createPearlLearner,
  learnerRandom,
  type PearlLearnerOptions,
} from '../../../../trainer/algorithms/pearl/learner.ts';
import { createPearlRun, type PearlRun } from '../../../../trainer/algorithms/pearl/parts.ts';
import { runTasks } from '../../../../trainer/algorithms/pearl/tasks.ts';
import type { Engine } from '../../../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../../../trainer/engine/traced.ts';
import { type IterationReport, iterationsDefaults, trainIterations } from '../../../../trainer/loops/iterations.ts';
import { loadNewestCheckpoint } from '../../../../trainer/run/checkpoint.ts';
import { splitParts } from '../../../../trainer/run/parts.ts';
import type { SavedState } from '../../../../trainer/run/saved-state.ts';

const loop = { ...iterationsDefaults, seed: 5, evaluationTaskCount: 2, evaluationEpisodeCount: 1 };
const small: PearlConfig = {
  ...pearlDefaults('hyper'),
  hyper: { trunkSizes: [8], dynamicHiddenSizes: [8] },
  encoder: { architecture: 'pearl-encoder', hiddenSizes: [8] },
  latentSize: 2,
  ...{ metaBatchSize: 2, batchSize: 8, contextBatchSize: 6, replayCapacity: 200, contextCapacity: 50 },
  ...{ trainTaskCount: 4, taskCount: 3, initialStepCount: 20, priorStepCount: 20, posteriorStepCount: 20 },
  // Two samplings of 20 steps, so that they begin beside update 10 of 50.
  updateCount: 50,
};

async function withRun<T>(
  threadCount: number,
  body: (run: PearlRun) => T | Promise<T>,
  given: Partial<PearlConfig> = {},
  engine: Engine = createTracedEngine({ threadCount: 1 }),
): Promise<T> {
  const config = { ...small, ...given };
  const environment = await createEnvironment('Point-Robot');
  const run = await createPearlRun({
    config,
    loop,
    specs: environment.specs,
    tasks: await runTasks(environment.tasks!, config, { seed: 5, testTaskCount: 2 }),
    engine,
    env: 'Point-Robot',
    episodeStepCountMax: environment.episodeStepCountMax,
    threadCount,
  });
  environment.dispose();
  try {
    return await body(run);
  } finally {
    run.dispose();
  }
}

/** Pieces until so many iterations are over. @returns the report of the last */
function iterate({ learner }: PearlRun, count: number): IterationReport {
  for (let done = 0; ; ) {
    const report = runToEnd(learner.iterate(done));
    if (report !== undefined && ++done === count) return report;
  }
}

/** Without the seconds. */
function plain({ arrays, state }: SavedState): unknown {
  const isTime = (key: string) => key === 'seconds';
  return {
    arrays: Object.entries(arrays).map(([name, array]) => [name, Array.from(array)]),
    state: JSON.parse(JSON.stringify(state, (key, value: unknown) => (isTime(key) ? undefined : value))),
  };
}

test.each([
  ['hyper-pearl', 3],
  ['oracle-context', 1],
] as const)('%s: an evaluation of two exploration episodes and a scored one plays %i', async (agent, playedCount) => {
  const slicesOf = (given: Partial<PearlConfig>) =>
    withRun(
      1,
      (run) =>
        [
          ...run.evaluate(
            [
              [1, 0],
              [0, 1],
            ],
            7,
          ),
        ].length,
      { ...small, agent, ...given },
    );
  expect(await slicesOf({})).toBe(playedCount * (await slicesOf({ explorationEpisodeCount: 0 })));
});

const wholeRun = (threadCount: number) =>
  withRun(threadCount, (run) => {
    iterate(run, 2);
    return plain(run.learner.save());
  });

test('a collection is of whole episodes, at least as many steps as asked for', async () => {
  const given = { initialStepCount: 10, priorStepCount: 30, posteriorStepCount: 10 };
  const report = await withRun(1, (run) => iterate(run, 1), given);
  // Episodes have 20 steps. Before the first iteration 2 x 3 tasks, two episodes each; then 3 tasks, two episodes and one.
  expect(report.metrics.environmentSteps).toBe(2 * 3 * 40 + 3 * (40 + 20));
  // A task's return is known once an episode is whole.
  expect(report.metrics.trainReturn).toBeLessThan(0);
});

test('collections that do not fit in memory are refused before any environment is made', async () => {
  // Two billion steps in each of three tasks, in episodes of 20.
  await expect(withRun(1, () => {}, { priorStepCount: 2e9 })).rejects.toThrow(
    /^train pearl: expected steps that fit in .* GiB of memory, got 300000000 rows of 20 steps, which need /,
  );
});

test('z is drawn from the prior also where no steps with z of the posterior are asked for', async () => {
  const initial = (given: Partial<PearlConfig>) =>
    withRun(
      1,
      ({ learner }) => {
        runToEnd(learner.iterate(0));
        return plain(learner.save());
      },
      given,
    );
  const without = await initial({ posteriorStepCount: 0 });
  expect(without).toEqual(await initial({ posteriorStepCount: 20 }));
});

test('a run is the same for every count of threads that step environments, and if it is stopped beside an update and restored', async () => {
  const whole = await wholeRun(3);
  expect(await wholeRun(1)).toEqual(whole);
  const stopped = await withRun(2, ({ learner }) => {
    let piece = learner.iterate(0);
    while (pieceState(learner.save()).updateCount < 30) if (piece.next().done === true) piece = learner.iterate(0);
    piece.return(undefined);
    return structuredClone(learner.save());
  });
  expect(pieceState(stopped)).toMatchObject({ isCollecting: true, updateCount: 30 });
  const resumed = await withRun(2, (run) => {
    run.learner.restore(stopped);
    iterate(run, 2);
    return plain(run.learner.save());
  });
  expect(resumed).toEqual(whole);
}, 240_000);

const pieceState = ({ state }: SavedState) =>
  (state as unknown as { state: { progress: { isCollecting: boolean; updateCount: number } } }).state.progress;

/** An engine whose computation of that name fails at its run of that number. */
function failingEngine(name: string, at: number): Engine {
  const engine = createTracedEngine({ threadCount: 1 });
  let runCount = 0;
  return {
    ...engine,
    compile(definition) {
      const computation = engine.compile(definition);
      if (definition.name !== name) return computation;
      return {
        ...computation,
        run() {
          runCount += 1;
          if (runCount === at) throw new Error('the device is lost');
          computation.run();
        },
      };
    },
  };
}

test('a fault between the steps of an update leaves the checkpoint before it', async () => {
  const runDirectory = join(await mkdtemp(join(tmpdir(), 'pearl-fault-')), 'run');
  onTestFinished(() => rm(join(runDirectory, '..'), { recursive: true }));
  const train = ({ learner }: PearlRun) =>
    trainIterations({
      stepUnit: 'iterations',
      learner: {
        ...learner,
        *evaluate() {
          yield;
          return { returns: [0], before: undefined, results: {}, metrics: {}, text: '', divergedCount: 0 };
        },
      },
      config: { ...loop, iterationCount: 2, checkpointInterval: 1 },
      runDirectory,
      title: 'a fault',
    });
  // In the second iteration, after 19 updates of it: Q and the encoder have taken the step of the next, policy and V have not.
  const failing = failingEngine('pearl-policy-step', small.updateCount + 20);
  await expect(withRun(1, train, {}, failing)).rejects.toThrow('update: expected no fault, got the device is lost');
  const kept = await loadNewestCheckpoint(join(runDirectory, 'checkpoints'));
  const { learner } = splitParts(kept!, ['learner']).parts;
  expect([kept!.step, pieceState(learner).updateCount]).toEqual([1, 0]);
});

test('the next collection has the networks from as many updates before the end as it has steps', () => {
  const log: string[] = [];
  const collector: PearlLearnerOptions['collector'] = {
    sliceCount: 2,
    *collect() {
      for (const step of ['first', 'second']) {
        log.push(step);
        yield;
      }
      return {} as never;
    },
    keep() {
      log.push('keep');
      return { stepCount: 2, meanReturn: undefined, divergedCount: 0 };
    },
    state: { playCount: 0, positions: { tasks: 0, latents: 0, actions: 0, contexts: 0 } },
  };
  const learner = createPearlLearner({
    config: { ...small, updateCount: 4 },
    parameters: { trainables: {}, encoder: undefined },
    updates: {
      batches: [],
      update() {
        log.push('update');
        return {};
      },
    },
    replay: {},
    collector,
    collecting: { take: () => log.push('take') },
    contexts: [],
    random: learnerRandom(0),
    now: () => 0,
  } as unknown as PearlLearnerOptions);
  iterate({ learner } as PearlRun, 2);
  const beside = ['take', 'first', 'update', 'second', 'update'];
  expect(log).toEqual([
    ...['take', 'first', 'second', 'keep', 'update', 'update', ...beside],
    ...['keep', 'update', 'update', ...beside],
  ]);
});
