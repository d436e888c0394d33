/**
 * Evaluation on tasks that are new: episodes with z of the prior explore, then z is drawn from the posterior for each episode that is
 * scored. Actions are deterministic. The networks do not learn.
 *
 * Source: Rakelly et al. 2019, released code.
 */

import { createRandom } from '../../../src/contract/random.ts';
import type { Sliced } from '../../../src/contract/sliced.ts';
import { drawContext } from '../../../src/posterior/latent-knowledge.ts';
import { episodesOf, type Rollout, transitionsOf } from '../../rollout/collect.ts';
import type { RunningPosteriors } from './posteriors.ts';
import type { Sampler } from './sampler.ts';

const latentStream = 8;
/** More than the episodes of any task. */
const episodeStride = 1000;

/** The seed of z in an episode of a task, both from 0. A client that draws with it has the same z. */
export function latentSeed(seed: number, task: number, episode: number): number {
  const random = createRandom(seed, latentStream);
  random.position = task * episodeStride + episode;
  return random.integer(2 ** 32);
}

export type EvaluatorOptions = {
  /** One row per task, with steps for an episode. */
  readonly sampler: Sampler;
  readonly tasks: readonly ArrayLike<number>[];
  /** Undefined if z is given. */
  readonly posteriors: RunningPosteriors | undefined;
  /** z of a task if it is given, as the networks read it. */
  readonly latentOf: (task: ArrayLike<number>) => Float32Array;
  /** 0 if z is given. */
  readonly explorationEpisodeCount: number;
  readonly scoredEpisodeCount: number;
  /** Seed of z. */
  readonly seed: number;
  /** Number of the first episode: the starts of equal numbers are equal. */
  readonly firstEpisode: number;
};

export type EvaluatedTasks = {
  /** Mean return of the scored episodes of each task. */
  readonly returns: readonly number[];
  /** Mean return of the exploration episodes of each task; empty if there are none. */
  readonly explorationReturns: readonly number[];
  /** Mean steps of the scored episodes. */
  readonly meanLength: number;
  /** Episodes, exploration included, that the simulator cut, as it became unstable. */
  readonly divergedCount: number;
};

export function* evaluateTasks(options: EvaluatorOptions): Sliced<EvaluatedTasks> {
  const { sampler, tasks, posteriors, explorationEpisodeCount, scoredEpisodeCount, firstEpisode } = options;
  posteriors?.clear();
  const returns = tasks.map(() => 0);
  const explorationReturns = tasks.map(() => 0);
  let stepCount = 0;
  let divergedCount = 0;
  for (let episode = 0; episode < explorationEpisodeCount + scoredEpisodeCount; episode++) {
    const isScored = episode >= explorationEpisodeCount;
    writeLatents(options, episode, isScored);
    // Rows that end early begin further episodes, at most one a step.
    const number = (firstEpisode + episode) * (sampler.stepCount + 1);
    const rollout = yield* sampler.play({ contexts: tasks, number });
    firstEpisodes(rollout).forEach(({ steps, total }, task) => {
      posteriors?.add(task, transitionsOf(rollout, task, steps));
      (isScored ? returns : explorationReturns)[task]! += total;
      if (isScored) stepCount += steps.end;
      divergedCount += Number(steps.diverged);
    });
  }
  return {
    returns: returns.map((sum) => sum / scoredEpisodeCount),
    explorationReturns:
      explorationEpisodeCount === 0 ? [] : explorationReturns.map((sum) => sum / explorationEpisodeCount),
    meanLength: stepCount / tasks.length / scoredEpisodeCount,
    divergedCount,
  };
}

function writeLatents(
  { sampler, tasks, posteriors, latentOf, seed }: EvaluatorOptions,
  episode: number,
  isScored: boolean,
) {
  const { latents, rowCount } = sampler;
  const size = latents.length / rowCount;
  const prior = { mean: new Float32Array(size), variance: new Float32Array(size).fill(1) };
  tasks.forEach((context, task) => {
    const latent =
      posteriors === undefined
        ? latentOf(context)
        : drawContext(isScored ? posteriors.of(task) : prior, latentSeed(seed, task, episode));
    latents.set(latent, task * size);
  });
}

/** The first episode of each row, with its return. */
function firstEpisodes(rollout: Rollout) {
  return episodesOf(rollout).map(([steps], row) => {
    let total = 0;
    for (let step = 0; step < steps!.end; step++) total += rollout.rewards[step * rollout.environmentCount + row]!;
    return { steps: steps!, total };
  });
}
