/**
 * Collects transitions in training tasks: with z of the prior, for the updates and the encoder, then with z of the posterior of these,
 * for the updates alone. Actions are samples. A collection changes no buffer until it is kept, so updates may run beside it.
 *
 * Source: Rakelly et al. 2019, algorithm 1 and released code.
 */

import { createRandom, type Random } from '../../../src/contract/random.ts';
import { mapValues } from '../../../src/contract/records.ts';
import type { Sliced } from '../../../src/contract/sliced.ts';
import type { Batch } from '../../replay/batch.ts';
import type { EpisodeBuffer } from '../../replay/episode-buffer.ts';
import type { TaskReplay } from '../../replay/task-replay.ts';
import { episodesOf, type Rollout, transitionsOf } from '../../rollout/collect.ts';
import { infers, type PearlConfig } from './config.ts';
import type { SamplePosteriors } from './posteriors.ts';
import type { Sampler } from './sampler.ts';

export type CollectorOptions = {
  readonly config: Pick<PearlConfig, 'agent' | 'taskCount' | 'initialStepCount' | 'contextData' | 'encoder'>;
  readonly replay: TaskReplay;
  /** Contexts of each training task. */
  readonly contexts: readonly ArrayLike<number>[];
  /** Rows of `taskCount` tasks, those of a task together. */
  readonly prior: Sampler;
  /** Sampler with z of the posterior; undefined if no such steps are asked for. */
  readonly posterior: Sampler | undefined;
  /** Posteriors of the rows of `posterior`; undefined if z is given, or there are no such rows. */
  readonly posteriors: SamplePosteriors | undefined;
  /** For the steps with z of the prior of each of `taskCount` tasks, of which the posterior is; none if z is given. */
  readonly newest: readonly EpisodeBuffer[];
  /** z of a task if it is given, as the networks read it. */
  readonly latentOf: (task: ArrayLike<number>) => Float32Array;
  readonly random: CollectorRandom;
};

export type CollectorRandom = Readonly<Record<keyof typeof collectorStreams, Random>>;
/** Random streams of a run's seed. */
const collectorStreams = { tasks: 9, latents: 10, actions: 11, contexts: 12 };
const streamNames = Object.keys(collectorStreams) as (keyof typeof collectorStreams)[];
export const collectorRandom = (seed: number): CollectorRandom =>
  mapValues(collectorStreams, (stream) => createRandom(seed, stream)) as CollectorRandom;

/** What was collected in some tasks. */
export type Collection = {
  readonly tasks: readonly number[];
  /** Whether it is of the steps before the first iteration. */
  readonly isInitial: boolean;
  readonly prior: Rollout;
  readonly posterior: Rollout | undefined;
};

type Kept = {
  readonly stepCount: number;
  /** Mean return of the newest whole episodes; undefined if there were none. */
  readonly meanReturn: number | undefined;
  /** Episodes that the simulator cut, as it became unstable. */
  readonly divergedCount: number;
};

export type CollectorState = {
  /** Samplings so far. */
  readonly playCount: number;
  /** Of the random streams, before the next collection. */
  readonly positions: Readonly<Record<keyof CollectorRandom, number>>;
};

export type Collector = {
  /** Slices of an iteration's collection: its steps. */
  readonly sliceCount: number;
  /**
   * The next collection: first of every training task with z of the prior, then those of iterations, whose tasks are drawn with
   * replacement. Until it is kept, the next call does it again.
   * @throws what the environment throws, and HyperpolicyError invalid_argument: a reward or an observation that no loss can hold
   */
  collect(): Sliced<Collection>;
  /** Gives the newest collection to the replay. */
  keep(collection: Collection): Kept;
  /** State that a resumed run restores. */
  state: CollectorState;
};

export function createCollector(options: CollectorOptions): Collector {
  const { config, replay, contexts, prior, posterior, random } = options;
  const roundCount = Math.ceil((config.initialStepCount * config.taskCount) / (prior.rowCount * prior.stepCount));
  const initialCount = roundCount * Math.ceil(contexts.length / config.taskCount);
  let state: CollectorState = { playCount: 0, positions: positionsOf(random) };

  function play(sampler: Sampler, tasks: readonly number[], number: number): Sliced<Rollout> {
    writeLatents(options, sampler, tasks);
    return sampler.play({
      contexts: tasksOfRows(sampler.rowCount, tasks).map((task) => contexts[task]!),
      number: number * (sampler.stepCount + 1),
      noise: random.actions,
    });
  }

  return {
    sliceCount: prior.stepCount + (posterior?.stepCount ?? 0),
    get state() {
      return state;
    },
    set state(saved) {
      state = saved;
    },
    *collect() {
      const { playCount, positions } = state;
      for (const name of streamNames) random[name].position = positions[name];
      if (playCount < initialCount) {
        const first = Math.floor(playCount / roundCount) * config.taskCount;
        const tasks = Array.from({ length: config.taskCount }, (_, i) => (first + i) % contexts.length);
        return { tasks, isInitial: true, prior: yield* play(prior, tasks, playCount), posterior: undefined };
      }
      const tasks = Array.from({ length: config.taskCount }, () => random.tasks.integer(contexts.length));
      const ofTasks = { tasks, isInitial: false, prior: yield* play(prior, tasks, playCount) };
      if (posterior === undefined) return { ...ofTasks, posterior };
      if (options.posteriors !== undefined) noteNewest(options.newest, ofTasks);
      return { ...ofTasks, posterior: yield* play(posterior, tasks, playCount + 1) };
    },
    keep(collection) {
      addTo(replay, collection, config);
      const rollouts = [collection.prior, collection.posterior].filter((rollout) => rollout !== undefined);
      state = { playCount: state.playCount + rollouts.length, positions: positionsOf(random) };
      return {
        stepCount: rollouts.reduce((sum, rollout) => sum + rollout.stepCount * rollout.environmentCount, 0),
        meanReturn: rollouts.map(meanReturnOf).findLast((mean) => mean !== undefined),
        divergedCount: rollouts.flatMap(({ episodes }) => episodes).filter(({ diverged }) => diverged).length,
      };
    },
  };
}

const positionsOf = (random: CollectorRandom) =>
  Object.fromEntries(streamNames.map((name) => [name, random[name].position])) as CollectorState['positions'];

/** z of each row: the task's own if it is given, else of the prior or of the posterior. */
function writeLatents(
  { config, posteriors, latentOf, contexts, newest, random, prior }: CollectorOptions,
  sampler: Sampler,
  tasks: readonly number[],
): void {
  const { latents, rowCount } = sampler;
  const rowTasks = tasksOfRows(rowCount, tasks);
  if (!infers(config.agent)) {
    const size = latents.length / rowCount;
    rowTasks.forEach((task, row) => {
      latents.set(latentOf(contexts[task]!), row * size);
    });
    return;
  }
  random.latents.fillNormal(latents);
  if (sampler === prior || posteriors === undefined) return;
  rowTasks.forEach((task, row) => {
    sampleContext(config, newest[tasks.indexOf(task)]!, random.contexts, posteriors.samples[row]!);
  });
  const { mean, variance } = posteriors.infer();
  for (let i = 0; i < latents.length; i++) latents[i] = mean[i]! + Math.sqrt(variance[i]!) * latents[i]!;
}

/** Transitions for the encoder: in order if it reads them so, else drawn one by one. */
export function sampleContext(
  { encoder: { architecture } }: Pick<PearlConfig, 'encoder'>,
  buffer: Pick<EpisodeBuffer, 'sample' | 'sampleSequence'>,
  random: Random,
  into: Batch,
): void {
  if (architecture === 'pearl-gru-encoder') buffer.sampleSequence(random, into);
  else buffer.sample(random, into);
}

const tasksOfRows = (rowCount: number, tasks: readonly number[]): number[] =>
  Array.from({ length: rowCount }, (_, row) => tasks[Math.floor((row * tasks.length) / rowCount)]!);

/** The steps with z of the prior, each task's in the buffer at its first place in the list. */
function noteNewest(newest: readonly EpisodeBuffer[], { tasks, prior }: Pick<Collection, 'tasks' | 'prior'>): void {
  for (const buffer of newest) buffer.clear();
  for (const { task, transitions } of episodesIn(prior, tasks)) newest[tasks.indexOf(task)]!.addEpisode(transitions);
}

function addTo(
  replay: TaskReplay,
  { tasks, isInitial, prior, posterior }: Collection,
  { contextData }: Pick<PearlConfig, 'contextData'>,
): void {
  if (!isInitial && contextData === 'recent') for (const task of tasks) replay.tasks[task]!.context?.clear();
  for (const { task, transitions } of episodesIn(prior, tasks)) replay.tasks[task]!.addEpisode(transitions);
  if (posterior === undefined) return;
  for (const { task, transitions } of episodesIn(posterior, tasks)) {
    for (const transition of transitions) replay.tasks[task]!.add(transition);
  }
}

/** The episodes of all rows, one row after the other. */
function episodesIn(rollout: Rollout, tasks: readonly number[]) {
  const episodes = episodesOf(rollout);
  return tasksOfRows(rollout.environmentCount, tasks).flatMap((task, row) =>
    episodes[row]!.map((steps) => ({ task, transitions: transitionsOf(rollout, row, steps) })),
  );
}

const meanReturnOf = ({ episodes }: Rollout): number | undefined =>
  episodes.length === 0 ? undefined : episodes.reduce((sum, episode) => sum + episode.return, 0) / episodes.length;
