/**
 * PEARL's learner: an iteration collects in some training tasks, then updates all networks on batches of tasks. It comes in pieces: one
 * sampling, or updates for about 0.2 s. Everything that it does is a function of its state, so a run that goes on from any piece equals
 * one that was not stopped.
 */

import type { Sliced } from '../../../src/advantages/policy-gradient.ts';
import { createRandom, type Random } from '../../../src/contract/random.ts';
import type { IterationReport, IterativeLearner } from '../../loops/iterations.ts';
import { learnerState } from '../../off-policy/learner-state.ts';
import type { TaskReplay, TaskReplayState } from '../../replay/task-replay.ts';
import { joinParts, splitParts } from '../../run/parts.ts';
import type { JsonValue, SavedState } from '../../run/saved-state.ts';
import { type Collector, type CollectorRandom, type CollectorState, sampleContext } from './collector.ts';
import type { PearlConfig } from './config.ts';
import type { PearlParameters } from './parameters.ts';
import type { UpdateMetrics, Updates } from './updates.ts';

export type PearlLearnerOptions = {
  readonly config: PearlConfig;
  readonly parameters: PearlParameters;
  readonly updates: Updates;
  readonly replay: TaskReplay;
  readonly collector: Collector;
  readonly random: LearnerRandom;
  /** Contexts of each training task. */
  readonly contexts: readonly ArrayLike<number>[];
  /** z of a task if it is given, as the networks read it. */
  readonly latentOf: (task: ArrayLike<number>) => Float32Array;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
};

export type LearnerRandom = CollectorRandom & { readonly batches: Random; readonly noise: Random };

const streams = { batches: 4, noise: 5 };
/** Between two pieces there may be a checkpoint. */
const pieceMs = 200;

export const learnerRandom = (seed: number, collector: CollectorRandom): LearnerRandom => ({
  ...collector,
  batches: createRandom(seed, streams.batches),
  noise: createRandom(seed, streams.noise),
});

/** State of the iteration in progress. */
type Progress = {
  readonly isCollected: boolean;
  readonly updateCount: number;
  /** Over the updates. */
  readonly sums: UpdateMetrics;
  /** Mean return of the newest whole episodes; null before there were any. */
  readonly meanReturn: number | null;
  readonly seconds: { readonly collecting: number; readonly updating: number };
};

const atStart: Progress = {
  isCollected: false,
  updateCount: 0,
  sums: {},
  meanReturn: null,
  seconds: { collecting: 0, updating: 0 },
};

type State = {
  readonly collector: CollectorState;
  readonly progress: Progress & JsonValue;
  readonly environmentSteps: number;
  readonly positions: Readonly<Record<string, number>>;
};

const partNames = ['networks', 'replay'] as const;

export function createPearlLearner(options: PearlLearnerOptions): Omit<IterativeLearner, 'evaluate'> {
  const { config, updates, replay, collector, random, now } = options;
  const networks = networkState(options.parameters);
  let progress = atStart;
  let environmentSteps = 0;

  function* collect(): Sliced<void> {
    const startedAt = now();
    const { stepCount, meanReturn, isLast } = yield* collector.collect();
    environmentSteps += stepCount;
    const collecting = progress.seconds.collecting + (now() - startedAt) / 1000;
    progress = {
      ...progress,
      isCollected: isLast,
      meanReturn: meanReturn ?? progress.meanReturn,
      seconds: { ...progress.seconds, collecting },
    };
  }

  function* update(): Sliced<void> {
    const until = now() + pieceMs;
    do {
      const startedAt = now();
      sampleBatch(options);
      const metrics = updates.update(random.noise);
      const sums = Object.entries(metrics).map(([name, value]) => [name, (progress.sums[name] ?? 0) + value]);
      const { updateCount, seconds } = progress;
      const updating = seconds.updating + (now() - startedAt) / 1000;
      progress = {
        ...progress,
        updateCount: updateCount + 1,
        sums: Object.fromEntries(sums),
        seconds: { ...seconds, updating },
      };
      yield;
    } while (progress.updateCount < config.updateCount && now() < until);
  }

  return {
    *iterate() {
      if (!progress.isCollected) {
        yield* collect();
        return undefined;
      }
      yield* update();
      if (progress.updateCount < config.updateCount) return undefined;
      const report = reportOf(progress, environmentSteps);
      progress = atStart;
      return report;
    },
    save() {
      const { arrays, state } = replay.save();
      const own: State = {
        collector: collector.state,
        progress: progress as State['progress'],
        environmentSteps,
        positions: Object.fromEntries(Object.entries(random).map(([name, { position }]) => [name, position])),
      };
      return joinParts({ networks: networks.save({}), replay: { arrays, state: state as unknown as JsonValue } }, own);
    },
    restore(saved) {
      const { parts, state } = splitParts(saved, partNames);
      const own = state as unknown as State;
      networks.restore(parts.networks);
      replay.restore(parts.replay as unknown as TaskReplayState);
      collector.state = own.collector;
      ({ progress, environmentSteps } = own);
      for (const [name, one] of Object.entries(random)) one.position = own.positions[name]!;
    },
    saveNetworks: () => networks.save({}),
  };
}

/** The parameters with their optimisers. */
export function networkState({ trainables, encoder }: PearlParameters): {
  save(counters: Readonly<Record<string, JsonValue>>): SavedState;
  restore(saved: SavedState): unknown;
} {
  return learnerState('PEARL networks', { ...trainables, ...(encoder && { encoder: encoder.trainable }) });
}

/** Tasks with replacement, rows of each, and what says which task it is. */
function sampleBatch({ config, updates, replay, random, contexts, latentOf }: PearlLearnerOptions): void {
  const { batches, contexts: samples, latents } = updates;
  batches.forEach((batch, n) => {
    const task = random.batches.integer(contexts.length);
    const buffers = replay.tasks[task]!;
    buffers.sample(random.batches, batch);
    const sample = samples[n];
    if (sample !== undefined) sampleContext(config, buffers, random.batches, sample);
    else latents.set(latentOf(contexts[task]!), (n * latents.length) / batches.length);
  });
}

/** README.md has the glossary. */
function reportOf({ sums, updateCount, meanReturn, seconds }: Progress, environmentSteps: number): IterationReport {
  const means = Object.entries(sums).map(([name, sum]) => [name, sum / updateCount]);
  const metrics = {
    ...(Object.fromEntries(means) as UpdateMetrics),
    ...(meanReturn !== null && { trainReturn: meanReturn }),
    environmentSteps,
    collectingSeconds: seconds.collecting,
    updatingSeconds: seconds.updating,
  };
  const text = meanReturn === null ? 'no training episode was whole' : `training tasks ${meanReturn.toFixed(1)}`;
  return { metrics, latestReturn: meanReturn ?? undefined, text };
}
