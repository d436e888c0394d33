/**
 * PEARL's learner: an iteration gives what was collected to the replay, then updates all networks on batches of tasks. The next
 * collection runs beside its last updates, a step of the environments beside each. An iteration comes in pieces: a collection, or updates
 * for about 0.2 s. Everything that it does is a function of its state, so a run that goes on from any piece equals one that was not stopped.
 */

import type { Sliced } from '../../../src/advantages/policy-gradient.ts';
import { createRandom, type Random } from '../../../src/contract/random.ts';
import type { IterationReport, IterativeLearner } from '../../loops/iterations.ts';
import { learnerState } from '../../off-policy/learner-state.ts';
import type { TaskReplay, TaskReplayState } from '../../replay/task-replay.ts';
import { joinParts, splitParts } from '../../run/parts.ts';
import type { JsonValue, SavedState } from '../../run/saved-state.ts';
import type { CollectingNetworks } from './collecting-networks.ts';
import { type Collection, type Collector, type CollectorState, sampleContext } from './collector.ts';
import type { PearlConfig } from './config.ts';
import type { PearlParameters } from './parameters.ts';
import type { UpdateMetrics, Updates } from './updates.ts';

export type PearlLearnerOptions = {
  readonly config: PearlConfig;
  readonly parameters: PearlParameters;
  readonly updates: Updates;
  readonly replay: TaskReplay;
  readonly collector: Collector;
  readonly collecting: Pick<CollectingNetworks, 'take' | 'saved'>;
  readonly random: LearnerRandom;
  /** Contexts of each training task. */
  readonly contexts: readonly ArrayLike<number>[];
  /** z of a task if it is given, as the networks read it. */
  readonly latentOf: (task: ArrayLike<number>) => Float32Array;
  /** Milliseconds; only differences matter. */
  readonly now: () => number;
};

export type LearnerRandom = { readonly batches: Random; readonly noise: Random };

const streams = { batches: 4, noise: 5 };
/** Between two pieces there may be a checkpoint. */
const pieceMs = 200;

export const learnerRandom = (seed: number): LearnerRandom => ({
  batches: createRandom(seed, streams.batches),
  noise: createRandom(seed, streams.noise),
});

/** State of the iteration in progress. */
type Progress = {
  /** Whether the next collection has its networks. */
  readonly isCollecting: boolean;
  readonly isCollected: boolean;
  readonly updateCount: number;
  /** Over the updates. */
  readonly sums: UpdateMetrics;
  /** Mean return of the newest whole episodes; null before there were any. */
  readonly meanReturn: number | null;
  readonly seconds: { readonly collecting: number; readonly updating: number };
};

const atStart: Progress = {
  isCollecting: false,
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
  readonly positions: Readonly<Record<keyof LearnerRandom, number>>;
};

const partNames = ['networks', 'collecting', 'replay'] as const;

export function createPearlLearner(options: PearlLearnerOptions): Omit<IterativeLearner, 'evaluate'> {
  const { config, updates, replay, collector, collecting, random, now } = options;
  const networks = networkState(options.parameters);
  let progress = atStart;
  let environmentSteps = 0;
  /** Undefined before it begins, and after a failure or in a resumed run, which begin it again with the same networks. */
  let work: Sliced<Collection> | undefined;
  let collection: Collection | undefined;

  function addTime(part: keyof Progress['seconds'], startedAt: number): void {
    const { seconds } = progress;
    progress = { ...progress, seconds: { ...seconds, [part]: seconds[part] + (now() - startedAt) / 1000 } };
  }

  /** A slice of the next collection. @returns whether there is no more of it */
  function advance(): boolean {
    if (collection !== undefined) return true;
    const startedAt = now();
    if (!progress.isCollecting) collecting.take();
    progress = { ...progress, isCollecting: true };
    const slices = work ?? collector.collect();
    work = undefined;
    const { done, value } = slices.next();
    if (done === true) collection = value;
    else work = slices;
    addTime('collecting', startedAt);
    return done === true;
  }

  function* collect(): Sliced<void> {
    while (!advance()) yield;
    const { isInitial } = collection!;
    const { stepCount, meanReturn } = collector.keep(collection!);
    collection = undefined;
    environmentSteps += stepCount;
    progress = {
      ...progress,
      isCollecting: false,
      isCollected: !isInitial,
      meanReturn: meanReturn ?? progress.meanReturn,
    };
  }

  function update(): void {
    const startedAt = now();
    sampleBatch(options);
    const metrics = updates.update(random.noise);
    const sums = Object.entries(metrics).map(([name, value]) => [name, (progress.sums[name] ?? 0) + value]);
    progress = { ...progress, updateCount: progress.updateCount + 1, sums: Object.fromEntries(sums) };
    addTime('updating', startedAt);
  }

  const updatesLeft = () => config.updateCount - progress.updateCount;

  return {
    *iterate() {
      if (!progress.isCollected) {
        yield* collect();
        return undefined;
      }
      for (const until = now() + pieceMs; updatesLeft() > 0; ) {
        if (updatesLeft() <= collector.sliceCount) advance();
        update();
        yield;
        if (updatesLeft() > 0 && now() >= until) return undefined;
      }
      // No step of an environment is left in progress, as an evaluation may follow in the same threads.
      while (!advance()) yield;
      const report = reportOf(progress, environmentSteps);
      progress = { ...atStart, isCollecting: true };
      return report;
    },
    save() {
      const { arrays, state } = replay.save();
      const own: State = {
        collector: collector.state,
        progress: progress as State['progress'],
        environmentSteps,
        positions: { batches: random.batches.position, noise: random.noise.position },
      };
      const parts = { networks: networks.save({}), collecting: collecting.saved.save({}) };
      return joinParts({ ...parts, replay: { arrays, state: state as unknown as JsonValue } }, own);
    },
    restore(saved) {
      const { parts, state } = splitParts(saved, partNames);
      const own = state as unknown as State;
      networks.restore(parts.networks);
      collecting.saved.restore(parts.collecting);
      replay.restore(parts.replay as unknown as TaskReplayState);
      collector.state = own.collector;
      ({ progress, environmentSteps } = own);
      random.batches.position = own.positions.batches;
      random.noise.position = own.positions.noise;
      [work, collection] = [undefined, undefined];
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
    if (sample !== undefined) sampleContext(config, buffers.context, random.batches, sample);
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
