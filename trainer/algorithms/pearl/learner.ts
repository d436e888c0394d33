/**
 * PEARL's learner: an iteration gives what was collected to the replay, then updates all networks on batches of tasks. The next
 * collection runs beside its last updates, a step of the environments beside each. An iteration comes in pieces: a collection, or updates
 * for about 0.2 s. Everything that it does is a function of its state, so a run that goes on from any piece equals one that was not stopped.
 */

import { createRandom, type Random } from '../../../src/contract/random.ts';
import { mapValues } from '../../../src/contract/records.ts';
import type { Sliced } from '../../../src/contract/sliced.ts';
import type { IterationReport, IterativeLearner } from '../../loops/iterations.ts';
import { takeUpdate } from '../../off-policy/finite-loss.ts';
import { learnerState } from '../../off-policy/learner-state.ts';
import type { TaskReplay, TaskReplayState } from '../../replay/task-replay.ts';
import { joinParts, splitParts } from '../../run/parts.ts';
import { returnTexts } from '../../run/return-text.ts';
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
  /** Of the collections; not in checkpoints of former versions. */
  readonly divergedEpisodes?: number;
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
  const learner = new PearlLearner(options);
  return {
    iterate: () => learner.iterate(),
    save: () => learner.save(),
    restore: (saved) => learner.restore(saved),
    saveNetworks: () => learner.saveNetworks(),
    rateFlags: ['--q-lr', '--value-lr', '--policy-lr'],
  };
}

class PearlLearner {
  readonly #options: PearlLearnerOptions;
  readonly #networks: ReturnType<typeof networkState>;
  #progress = atStart;
  /** Since the last report. */
  #environmentSteps = 0;
  /** Undefined before it begins, and after a failure or in a resumed run, which begin it again with the same networks. */
  #work: Sliced<Collection> | undefined;
  #collection: Collection | undefined;

  constructor(options: PearlLearnerOptions) {
    this.#options = options;
    this.#networks = networkState(options.parameters);
  }

  *iterate(): ReturnType<IterativeLearner['iterate']> {
    const { collector, now } = this.#options;
    if (!this.#progress.isCollected) {
      yield* this.#collect();
      return undefined;
    }
    for (const until = now() + pieceMs; this.#updatesLeft > 0; ) {
      if (this.#updatesLeft <= collector.sliceCount) this.#advance();
      this.#update();
      yield;
      if (this.#updatesLeft > 0 && now() >= until) return undefined;
    }
    // No step of an environment is left in progress, as an evaluation may follow in the same threads.
    while (!this.#advance()) yield;
    const report = reportOf(this.#progress, this.#environmentSteps, this.#options);
    this.#environmentSteps = 0;
    this.#progress = { ...atStart, isCollecting: true };
    return report;
  }

  save(): SavedState {
    const { replay, collector, collecting, random } = this.#options;
    const { arrays, state } = replay.save();
    const own: State = {
      collector: collector.state,
      progress: this.#progress as State['progress'],
      environmentSteps: this.#environmentSteps,
      positions: { batches: random.batches.position, noise: random.noise.position },
    };
    const parts = { networks: this.saveNetworks(), collecting: collecting.saved.save({}) };
    return joinParts({ ...parts, replay: { arrays, state: state as unknown as JsonValue } }, own);
  }

  restore(saved: SavedState): void {
    const { replay, collector, collecting, random } = this.#options;
    const { parts, state } = splitParts(saved, partNames);
    const own = state as unknown as State;
    this.#networks.restore(parts.networks);
    collecting.saved.restore(parts.collecting);
    replay.restore(parts.replay as unknown as TaskReplayState);
    collector.state = own.collector;
    this.#progress = own.progress;
    this.#environmentSteps = own.environmentSteps;
    random.batches.position = own.positions.batches;
    random.noise.position = own.positions.noise;
    [this.#work, this.#collection] = [undefined, undefined];
  }

  saveNetworks(): SavedState {
    return this.#networks.save({});
  }

  get #updatesLeft(): number {
    return this.#options.config.updateCount - this.#progress.updateCount;
  }

  *#collect(): Sliced<void> {
    while (!this.#advance()) yield;
    const { isInitial } = this.#collection!;
    const { stepCount, meanReturn, divergedCount } = this.#options.collector.keep(this.#collection!);
    this.#collection = undefined;
    this.#environmentSteps += stepCount;
    this.#progress = {
      ...this.#progress,
      isCollecting: false,
      isCollected: !isInitial,
      meanReturn: meanReturn ?? this.#progress.meanReturn,
      divergedEpisodes: (this.#progress.divergedEpisodes ?? 0) + divergedCount,
    };
  }

  /** A slice of the next collection. @returns whether there is no more of it */
  #advance(): boolean {
    if (this.#collection !== undefined) return true;
    const { collector, collecting, now } = this.#options;
    const startedAt = now();
    if (!this.#progress.isCollecting) collecting.take();
    this.#progress = { ...this.#progress, isCollecting: true };
    const slices = this.#work ?? collector.collect();
    this.#work = undefined;
    const { done, value } = slices.next();
    if (done === true) this.#collection = value;
    else this.#work = slices;
    this.#addTime('collecting', startedAt);
    return done === true;
  }

  #update(): void {
    const { updates, random, now } = this.#options;
    const startedAt = now();
    const metrics = takeUpdate(() => {
      sampleBatch(this.#options);
      return updates.update(random.noise);
    });
    const { sums, updateCount } = this.#progress;
    const added = mapValues(metrics, (value, name) => (sums[name] ?? 0) + value);
    this.#progress = { ...this.#progress, updateCount: updateCount + 1, sums: added };
    this.#addTime('updating', startedAt);
  }

  #addTime(part: keyof Progress['seconds'], startedAt: number): void {
    const { seconds } = this.#progress;
    const added = (this.#options.now() - startedAt) / 1000;
    this.#progress = { ...this.#progress, seconds: { ...seconds, [part]: seconds[part] + added } };
  }
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
    if (sample !== undefined) sampleContext(config, buffers.context!, random.batches, sample);
    else latents.set(latentOf(contexts[task]!), (n * latents.length) / batches.length);
  });
}

/** README.md has the glossary. */
function reportOf(
  { sums, updateCount, meanReturn, divergedEpisodes = 0, seconds }: Progress,
  environmentSteps: number,
  { config, replay: { largestReward } }: PearlLearnerOptions,
): IterationReport {
  const means: UpdateMetrics = mapValues(sums, (sum) => sum / updateCount);
  const { targetMean, entropy } = means;
  // The entropy of each step is a part of the value, too.
  const allowed = (config.rewardScale * largestReward + Math.abs(entropy!)) / (1 - config.gamma);
  const metrics = {
    ...means,
    ...(meanReturn !== null && { trainReturn: meanReturn }),
    environmentSteps,
    collectingSeconds: seconds.collecting,
    updatingSeconds: seconds.updating,
  };
  const text = meanReturn === null ? 'no training episode was whole' : `training tasks ${returnTexts(meanReturn)[0]}`;
  const latestReturn = meanReturn === null ? undefined : ({ of: 'training', value: meanReturn } as const);
  // A checkpoint of earlier code has no sum of it.
  const isKnown = largestReward !== 0 && targetMean !== undefined;
  const values = isKnown ? { targetMean, allowed } : undefined;
  return { metrics, latestReturn, text, divergedCount: divergedEpisodes, values };
}
