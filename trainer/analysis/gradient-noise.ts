/**
 * Noise of MAML's updates: many independent one-step updates from the same parameters, and how far the returns after them lie apart.
 * Each update is an iteration of the learner with tasks, starts and noise of its own.
 *
 * Source: Sarafian, Keynan, Kraus, "Recomposing the Reinforcement Learning Building Blocks with Hypernetworks", ICML 2021, appendix C,
 * table 1. README.md says what is chosen where the paper is silent.
 */

import {
  disposeParts,
  openParts,
  type Parts,
  restoreLearner,
  seedOffsets,
  testReturns,
} from '../algorithms/maml/parts.ts';
import { mean } from '../report/statistics.ts';
import type { Progress } from '../run/progress.ts';
import { runInTurns } from '../run/turns.ts';
import { createVectorSpread, type ReturnSpread, returnSpread, type VectorSpread } from './spread.ts';
import { readStudiedRun, withSetup } from './studied-run.ts';

export type GradientNoiseOptions = {
  readonly runDirectory: string;
  /** That of the newest checkpoint unless given. */
  readonly step?: number | undefined;
  readonly updateCount: number;
  /** Of everything random in the study; the run's plus 300 unless given, which neither training nor evaluations had. */
  readonly seed?: number | undefined;
  /** Those of the run unless given. */
  readonly threadCount?: number | undefined;
  readonly progress: NoiseProgress;
};

/** Of the updates: it counts them, and shows a line for each. */
export type NoiseProgress = Pick<Progress, 'report' | 'print'>;

/** Mean returns of the test tasks' episodes. */
type Returns = {
  /** Before adaptation. */
  readonly preReturn: number;
  /** After it. */
  readonly postReturn: number;
};

/** One update, and what came of it. */
type Update = Returns & {
  /** Length of the step in the parameters; 0 if it was refused. */
  readonly norm: number;
  /** Whether the line search accepted a step. */
  readonly accepted: boolean;
  /** Divergence of the step. */
  readonly kl: number;
};

export type UpdateNoise = {
  /** Without an update. */
  readonly start: Returns;
  readonly updates: readonly Update[];
  readonly preReturn: ReturnSpread;
  readonly postReturn: ReturnSpread;
  /** Of the steps in the parameters, refused ones included as 0. */
  readonly update: VectorSpread;
};

export type GradientNoise = UpdateNoise & {
  readonly step: number;
  readonly seed: number;
  readonly environment: string;
  readonly policy: string;
};

/**
 * Studies a run's learner after one of its steps. The run's directory is not changed.
 * @throws HyperpolicyError as `readStudiedRun`; failed_precondition: a gradient that is not finite
 */
export async function studyGradientNoise(options: GradientNoiseOptions): Promise<GradientNoise> {
  const { updateCount, progress } = options;
  const { config, step, learner } = await readStudiedRun({ ...options, study: 'noise', algorithms: ['maml'] });
  const seed = options.seed ?? config.loop.seed + seedOffsets.study;
  return withSetup(config, progress.print, async (setup) => {
    const parts = await openParts(setup, { episodeSeed: seed });
    try {
      restoreLearner(parts.learner, learner);
      const numbers = Array.from({ length: updateCount }, (_, update) => update);
      const noise = await measureUpdates(parts, numbers, progress);
      const { policy } = config.algorithm as { readonly name: string; readonly policy: string };
      return { step, seed, environment: setup.environment.name, policy, ...noise };
    } finally {
      disposeParts(parts);
    }
  });
}

/**
 * One update of each number, all from the present parameters, which are there again after each, bit for bit.
 * @param numbers decide tasks, starts and noise: equal ones give equal updates
 */
export async function measureUpdates(
  parts: Parts,
  numbers: readonly number[],
  { report, print }: NoiseProgress,
): Promise<UpdateNoise> {
  const start = await evaluate(parts);
  print(`without an update: ${inWords(start)}`);
  report(0, { of: 'evaluation', value: [start.preReturn, start.postReturn] });
  const spread = createVectorSpread(parts.learner.flat.length);
  const updates: Update[] = [];
  for (const number of numbers) {
    const update = await measureUpdate(parts, number, spread.add);
    updates.push(update);
    const refused = update.accepted ? '' : '; the step was refused';
    print(`update ${updates.length} of ${numbers.length}: ${inWords(update)}${refused}`);
    report(updates.length, { of: 'evaluation', value: [update.preReturn, update.postReturn] });
  }
  return {
    start,
    updates,
    preReturn: returnSpread(updates.map(({ preReturn }) => preReturn)),
    postReturn: returnSpread(updates.map(({ postReturn }) => postReturn)),
    update: spread.result(),
  };
}

/** @param add takes the step in the parameters and returns its length */
async function measureUpdate(parts: Parts, number: number, add: (step: Float64Array) => number): Promise<Update> {
  const { learner, sampler, taskSource, trainingTaskCount } = parts;
  const { flat } = learner;
  const before = flat.slice();
  try {
    // Iterations that far apart begin a new order of all tasks each, so that their tasks are independent too.
    const contexts = taskSource(number * trainingTaskCount);
    const { trpo } = await runInTurns(learner.iterate(sampler, contexts, number));
    const norm = add(Float64Array.from(flat, (value, i) => value - before[i]!));
    const taken = trpo.accepted === null ? undefined : trpo.tries[trpo.accepted]!;
    return { ...(await evaluate(parts)), norm, accepted: taken !== undefined, kl: taken?.kl ?? 0 };
  } finally {
    flat.set(before);
  }
}

/** Always the same episodes: what differs between two evaluations is the policy alone. */
async function evaluate({ tester }: Parts): Promise<Returns> {
  const { pre, post } = await runInTurns(testReturns(tester, 0));
  return { preReturn: mean(pre), postReturn: mean(post) };
}

const inWords = ({ preReturn, postReturn }: Returns): string =>
  `test tasks ${preReturn.toFixed(2)} before, ${postReturn.toFixed(2)} after adaptation`;
