/**
 * Collects transitions in training tasks: with z of the prior, for the updates and the encoder, then with z of the posterior of what
 * the encoder has, for the updates alone. Actions are samples.
 *
 * Source: Rakelly et al. 2019, algorithm 1 and released code.
 */

import type { Sliced } from '../../../src/advantages/policy-gradient.ts';
import { createRandom, type Random } from '../../../src/contract/random.ts';
import type { Batch } from '../../replay/batch.ts';
import type { TaskBuffers, TaskReplay } from '../../replay/task-replay.ts';
import { episodesOf, type Rollout, transitionsOf } from '../../rollout/collect.ts';
import type { PearlConfig } from './config.ts';
import type { SamplePosteriors } from './posteriors.ts';
import type { Sampler } from './sampler.ts';

export type CollectorOptions = {
  readonly config: Pick<PearlConfig, 'taskCount' | 'initialStepCount' | 'contextData' | 'encoder'>;
  readonly replay: TaskReplay;
  /** Contexts of each training task. */
  readonly contexts: readonly ArrayLike<number>[];
  /** Rows of `taskCount` tasks, those of a task together. */
  readonly prior: Sampler;
  /** Sampler with z of the posterior; undefined if no such steps are asked for. */
  readonly posterior: Sampler | undefined;
  /** Posteriors of the rows of `posterior`; undefined if z is given. */
  readonly posteriors: SamplePosteriors | undefined;
  /** z of a task if it is given, as the networks read it. */
  readonly latentOf: (task: ArrayLike<number>) => Float32Array;
  readonly random: CollectorRandom;
};

export type CollectorRandom = Readonly<Record<keyof typeof collectorStreams, Random>>;
/** Random streams of a run's seed. */
const collectorStreams = { tasks: 9, latents: 10, actions: 11, contexts: 12 };
export const collectorRandom = (seed: number): CollectorRandom =>
  Object.fromEntries(
    Object.entries(collectorStreams).map(([name, stream]) => [name, createRandom(seed, stream)]),
  ) as CollectorRandom;

/** One sampling of several tasks at once. */
export type Collected = {
  readonly stepCount: number;
  /** Mean return of whole episodes; undefined if there were none. */
  readonly meanReturn: number | undefined;
  /** Whether an iteration has all that it collects. */
  readonly isLast: boolean;
};

export type CollectorState = {
  /** Samplings so far. */
  readonly playCount: number;
  /** The tasks that z of the posterior comes to next; null before those with z of the prior. */
  readonly tasks: readonly number[] | null;
};

export type Collector = {
  /**
   * The next sampling: first every training task with z of the prior, then those of iterations, whose tasks are drawn with replacement.
   * If it fails or is ended between two slices, nothing of it is kept, and the next call does it again.
   * @throws what the environment throws, and HyperpolicyError invalid_argument: a reward that no loss can hold
   */
  collect(): Sliced<Collected>;
  /** State that a resumed run restores, beside `random`. */
  state: CollectorState;
};

export function createCollector(options: CollectorOptions): Collector {
  const { config, replay, contexts, prior, posterior, random } = options;
  const roundCount = Math.ceil((config.initialStepCount * config.taskCount) / (prior.rowCount * prior.stepCount));
  const initialCount = roundCount * Math.ceil(contexts.length / config.taskCount);
  let state: CollectorState = { playCount: 0, tasks: null };

  function* play(sampler: Sampler, tasks: readonly number[]): Sliced<Rollout> {
    const rowTasks = tasksOfRows(sampler, tasks);
    writeLatents(options, sampler, rowTasks);
    const rollout = yield* sampler.play({
      contexts: rowTasks.map((task) => contexts[task]!),
      number: state.playCount * (sampler.stepCount + 1),
      noise: random.actions,
    });
    // Only now that nothing can fail.
    const isNew = sampler === prior && state.playCount >= initialCount;
    if (isNew && config.contextData === 'recent') for (const task of tasks) replay.tasks[task]!.clearContext();
    rowTasks.forEach((task, row) => {
      keep(rollout, row, replay.tasks[task]!, sampler === prior);
    });
    return rollout;
  }

  function* next(): Sliced<Collected> {
    const { playCount, tasks } = state;
    if (playCount < initialCount) {
      const first = Math.floor(playCount / roundCount) * config.taskCount;
      const chunk = Array.from({ length: config.taskCount }, (_, i) => (first + i) % contexts.length);
      const rollout = yield* play(prior, chunk);
      state = { playCount: playCount + 1, tasks: null };
      return summary(rollout, false);
    }
    const drawn = tasks ?? Array.from({ length: config.taskCount }, () => random.tasks.integer(contexts.length));
    const isLast = tasks !== null || posterior === undefined;
    const rollout = yield* play(tasks === null ? prior : posterior!, drawn);
    state = { playCount: playCount + 1, tasks: isLast ? null : drawn };
    return summary(rollout, isLast);
  }

  return {
    get state() {
      return state;
    },
    set state(saved) {
      state = saved;
    },
    *collect() {
      const positions = Object.values(random).map((one) => [one, one.position] as const);
      let isWhole = false;
      try {
        const collected = yield* next();
        isWhole = true;
        return collected;
      } finally {
        if (!isWhole) for (const [one, position] of positions) one.position = position;
      }
    },
  };
}

/** z of each row: the task's own if it is given, else of the prior or of the posterior. */
function writeLatents(
  { config, posteriors, latentOf, contexts, replay, random, prior }: CollectorOptions,
  sampler: Sampler,
  rowTasks: readonly number[],
): void {
  const { latents, rowCount } = sampler;
  if (posteriors === undefined) {
    const size = latents.length / rowCount;
    rowTasks.forEach((task, row) => {
      latents.set(latentOf(contexts[task]!), row * size);
    });
    return;
  }
  random.latents.fillNormal(latents);
  if (sampler === prior) return;
  rowTasks.forEach((task, row) => {
    sampleContext(config, replay.tasks[task]!, random.contexts, posteriors.samples[row]!);
  });
  const { mean, variance } = posteriors.infer();
  for (let i = 0; i < latents.length; i++) latents[i] = mean[i]! + Math.sqrt(variance[i]!) * latents[i]!;
}

/** Transitions for the encoder: in order if it reads them so, else drawn one by one. */
export function sampleContext(
  { encoder: { architecture } }: Pick<PearlConfig, 'encoder'>,
  buffers: TaskBuffers,
  random: Random,
  into: Batch,
): void {
  if (architecture === 'pearl-gru-encoder') buffers.sampleSequence(random, into);
  else buffers.sampleContext(random, into);
}

const tasksOfRows = ({ rowCount }: Sampler, tasks: readonly number[]): number[] =>
  Array.from({ length: rowCount }, (_, row) => tasks[Math.floor((row * tasks.length) / rowCount)]!);

function keep(rollout: Rollout, row: number, buffers: TaskBuffers, isPrior: boolean): void {
  for (const steps of episodesOf(rollout)[row]!) {
    const transitions = transitionsOf(rollout, row, steps);
    if (isPrior) buffers.addEpisode(transitions);
    else for (const transition of transitions) buffers.add(transition);
  }
}

const summary = ({ episodes, stepCount, environmentCount }: Rollout, isLast: boolean): Collected => ({
  stepCount: stepCount * environmentCount,
  meanReturn:
    episodes.length === 0 ? undefined : episodes.reduce((sum, episode) => sum + episode.return, 0) / episodes.length,
  isLast,
});
