/**
 * One training of the bench in a process of its own, which never ends by itself. Prints `steps {...}` lines: steps, seconds, and the
 * microseconds of each part so far. Argument: a `TrainRun` as JSON.
 */

import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Trainable } from '../../src/optim/trainable.ts';
import type { Engine } from '../../trainer/engine/engine.ts';
import { createTracedEngine } from '../../trainer/engine/traced.ts';
import { trainOffPolicy } from '../../trainer/loops/off-policy.ts';
import { offPolicyDefaults } from '../../trainer/loops/off-policy-config.ts';
import { createVectorEnv } from '../../trainer/rollout/vector-env.ts';
import { benchEnvironment, createBenchLearner, type TrainRun } from './train-learner.ts';

const lineMs = 200;

/** Microseconds so far of each part of a step that is the learner's own thread's. */
const parts = { simulation: 0, acting: 0, update: 0, optimiser: 0, learning: 0 };
type Part = keyof typeof parts;

/** The function, with its time added to a part. */
const timed =
  <Arguments extends unknown[], Result>(part: Part, body: (...given: Arguments) => Result) =>
  (...given: Arguments): Result => {
    const begin = performance.now();
    const result = body(...given);
    parts[part] += 1000 * (performance.now() - begin);
    return result;
  };

/** An engine whose runs count as the update, but for those that act. */
function timedEngine(threadCount: number): Engine {
  const engine = createTracedEngine({ threadCount });
  return {
    ...engine,
    compile(definition) {
      const computation = engine.compile(definition);
      if (definition.name.endsWith('-act')) return computation;
      return { ...computation, run: timed('update', () => computation.run()) };
    },
  };
}

function timeOptimiser(trainable: Trainable): Trainable {
  const { adam } = trainable;
  const own = adam.step;
  adam.step = timed('optimiser', own.bind(adam));
  return Object.assign(trainable, { followTarget: timed('optimiser', trainable.followTarget) });
}

async function main(run: TrainRun): Promise<void> {
  const { batchSize, learner } = await createBenchLearner(run, timedEngine(run.threadCount));
  for (const trainable of [learner.actor, learner.critic]) timeOptimiser(trainable);
  const { collectorThreadCount } = run;
  const workers = { environmentCount: 1, workerCount: collectorThreadCount };
  const envs = await createVectorEnv({ env: benchEnvironment, seed: 0, ...workers });
  const [begin, finish] = [envs.begin.bind(envs), envs.finish.bind(envs)];
  // In place: a copy of an instance has no methods.
  Object.assign(envs, { begin: timed('simulation', begin), finish: timed('simulation', finish) });
  const config = { ...offPolicyDefaults, stepCount: 2 ** 31 - 1, checkpointInterval: 2 ** 31 - 1, batchSize };
  let due = 0;
  await trainOffPolicy({
    stepUnit: 'steps',
    envs,
    // None of the references evaluates.
    evaluator: { isConcurrent: true, evaluate: () => new Promise(() => {}), async dispose() {} },
    learner: { ...learner, explore: timed('acting', learner.explore), learn: timed('learning', learner.learn) },
    config: { ...config, evaluationInterval: 2 ** 31 - 1 },
    runDirectory: mkdtempSync(join(tmpdir(), 'hyperpolicy-bench-')),
    reporter: {
      print() {},
      report(steps) {
        const now = performance.now();
        if (steps <= config.warmUpStepCount || now < due) return;
        due = now + lineMs;
        process.stdout.write(`steps ${JSON.stringify({ steps, seconds: now / 1000, parts })}\n`);
      },
    },
  });
}

await main(JSON.parse(process.argv[2]!) as TrainRun);
