/**
 * Steps the training environments: chooses actions and puts transitions into the replay buffer. Between `begin` and `finish` the
 * environments may be stepped by other threads. What comes out depends on the seed and the policy, never on the threads.
 */

import type { EnvState } from '../../src/envs/env.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import type { ReplayBuffer, Transition } from '../replay/replay-buffer.ts';
import { finished } from '../rollout/collect.ts';
import type { RestoredRow } from '../rollout/rows.ts';
import { rowsOf } from '../rollout/shared-batch.ts';
import type { VectorEnv } from '../rollout/vector-env.ts';
import { checkObservation } from '../run/observation.ts';
import { checkReward } from '../run/reward.ts';
import type { SavedState, StateArray } from '../run/saved-state.ts';
import { runInTurns } from '../run/turns.ts';
import { type ActionPositions, NextActions } from './next-actions.ts';

type FinishedEpisode = {
  /** Undiscounted sum of rewards. */
  readonly episodeReturn: number;
  readonly episodeLength: number;
  /** The simulator left its stable range; its last step is not in the buffer. */
  readonly diverged: boolean;
};

/** A step is `choose`, `begin`, `finish`, of all environments together. */
export type Collector = {
  /** Environments, and so transitions of a step. */
  readonly environmentCount: number;
  /**
   * Chooses the actions of the next step, unless they are chosen: by the learner as it is now.
   * @param warmUp draws them uniformly within their bounds (standard normal if they have none) instead
   */
  choose(warmUp: boolean): void;
  /** Starts the step with the actions chosen. */
  begin(): void;
  /**
   * Ends the step, and keeps its transitions.
   * @returns the episodes that it ended, in the order of their rows; the next ones have then begun
   * @throws what an environment throws, and HyperpolicyError invalid_argument: a reward or an observation that no loss can hold. The episodes are over
   *   then: a saved state begins others
   */
  finish(): FinishedEpisode[];
  /** Waits at most `timeoutMs` for user code, which may never return. @returns whether `finish` may be called */
  isReady(timeoutMs: number): boolean;
  /** Not between `begin` and `finish`. Whatever the environments do: see `saveFailure`. */
  save(): Promise<SavedState>;
  /** What an environment threw when it was to be saved. That state, and all after it, begins other episodes; no step may follow. */
  readonly saveFailure: { readonly cause: unknown } | undefined;
  restore(saved: SavedState): Promise<void>;
};

type CollectorState = {
  readonly positions: ActionPositions;
  /** Whether `actions` are chosen. */
  readonly isChosen: boolean;
  readonly rows: readonly (Omit<RestoredRow, 'env'> & { readonly env: Omit<EnvState, 'arrays'> | null })[];
};

type CollectorOptions = {
  readonly envs: VectorEnv;
  readonly learner: Pick<OffPolicyLearner, 'explore'>;
  readonly replay: Pick<ReplayBuffer, 'add'>;
  readonly seed: number;
};

/** Starts the first episodes. @throws HyperpolicyError as `finish` */
export async function createCollector(options: CollectorOptions): Promise<Collector> {
  options.envs.beginReset();
  await runInTurns(finished(options.envs));
  const collector = new StepCollector(options);
  collector.checkObservations();
  return collector;
}

class StepCollector implements Collector {
  readonly environmentCount: number;
  saveFailure: Collector['saveFailure'];
  readonly #envs: VectorEnv;
  readonly #replay: CollectorOptions['replay'];
  readonly #actions: NextActions;
  /** Rows of the batch, which change with each step. */
  readonly #nextObservations: readonly Float32Array[];
  readonly #finalObservations: readonly Float32Array[];
  #hasFailed = false;

  constructor({ envs, learner, replay, seed }: CollectorOptions) {
    this.environmentCount = envs.environmentCount;
    this.#envs = envs;
    this.#replay = replay;
    this.#actions = new NextActions(envs, learner, seed);
    this.#nextObservations = rowsOf(envs.batch.observations, envs.environmentCount);
    this.#finalObservations = rowsOf(envs.batch.finals, envs.environmentCount);
  }

  choose(warmUp: boolean): void {
    this.#actions.choose(warmUp);
  }

  begin(): void {
    this.#envs.begin(this.#actions.values);
  }

  isReady(timeoutMs: number): boolean {
    return this.#envs.isReady(timeoutMs);
  }

  finish(): FinishedEpisode[] {
    try {
      return this.#finishStep();
    } catch (error) {
      this.#hasFailed = true;
      throw error;
    }
  }

  async save(): Promise<SavedState> {
    const { values: actions, positions, isChosen } = this.#actions;
    const arrays: Record<string, StateArray> = { actions };
    const states = await this.#rowStates();
    const rows = states.map(({ env, ...rest }, row) => {
      if (env === null) return { ...rest, env };
      const { arrays: own, ...state } = env;
      for (const [name, array] of Object.entries(own)) arrays[`row${row}/${name}`] = array;
      return { ...rest, env: state };
    });
    return { arrays, state: { positions, isChosen: isChosen && !this.#hasFailed, rows } satisfies CollectorState };
  }

  async restore({ arrays, state }: SavedState): Promise<void> {
    const { positions, isChosen, rows } = state as CollectorState;
    await this.#envs.restore(
      rows.map((row, i) => ({ ...row, env: row.env && { ...row.env, arrays: arraysOf(arrays, i) } })),
    );
    this.checkObservations();
    this.#actions.restore({ values: arrays.actions as Float32Array, positions, isChosen });
  }

  #finishStep(): FinishedEpisode[] {
    const { batch, running, name } = this.#envs;
    this.#envs.finish();
    this.#actions.discard();
    for (let row = 0; row < this.environmentCount; row++) {
      const { lengths } = this.#isOver(row) ? batch : running;
      checkReward(name, batch.rewards[row]!, () => `step ${lengths[row]} of an episode`);
    }
    this.checkObservations();
    const finished: FinishedEpisode[] = [];
    for (let row = 0; row < this.environmentCount; row++) {
      const diverged = batch.diverged[row] === 1;
      if (!diverged) this.#replay.add(this.#transitionOf(row));
      if (this.#isOver(row)) {
        finished.push({ episodeReturn: batch.returns[row]!, episodeLength: batch.lengths[row]!, diverged });
      }
    }
    return finished;
  }

  /** Those that were shown last, of an episode's end and of the next one's start both. @throws HyperpolicyError as `finish` */
  checkObservations(): void {
    const { batch, running, name, specs } = this.#envs;
    const check = (values: Float32Array, length: number) =>
      checkObservation(values, {
        ...{ environment: name, spec: specs.observation },
        place: () => `step ${length} of an episode`,
      });
    for (let row = 0; row < this.environmentCount; row++) {
      // Of a step that diverged nothing is kept.
      if (this.#isOver(row) && batch.diverged[row] === 0) check(this.#finalObservations[row]!, batch.lengths[row]!);
      check(this.#nextObservations[row]!, running.lengths[row]!);
    }
  }

  #isOver(row: number): boolean {
    const { terminated, truncated } = this.#envs.batch;
    return terminated[row] === 1 || truncated[row] === 1;
  }

  #transitionOf(row: number): Transition {
    const { rewards, terminated } = this.#envs.batch;
    return {
      ...this.#actions.rowAt(row),
      reward: rewards[row]!,
      nextObservation: (this.#isOver(row) ? this.#finalObservations : this.#nextObservations)[row]!,
      terminated: terminated[row] === 1,
    };
  }

  async #rowStates(): Promise<RestoredRow[]> {
    if (this.#hasFailed) return this.#lostRows();
    try {
      return await this.#envs.save();
    } catch (cause) {
      this.saveFailure = { cause };
      this.#hasFailed = true;
      return this.#lostRows();
    }
  }

  /** After a failure the states of the environments are unknown. */
  #lostRows(): RestoredRow[] {
    return Array.from(this.#envs.running.episodes, (episodeCount) => ({
      env: null,
      episodeCount,
      episodeReturn: 0,
      episodeLength: 0,
    }));
  }
}

/** The arrays of one row's environment. */
function arraysOf(arrays: SavedState['arrays'], row: number): EnvState['arrays'] {
  const prefix = `row${row}/`;
  const own = Object.entries(arrays).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, array]) => [name.slice(prefix.length), array as Float64Array]));
}
