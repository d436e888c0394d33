/**
 * The Env contract: what every environment offers and every trainer, rollout and test relies on. Actions and
 * observations are in environment units; nothing here is normalised. Rules common to all environments (checks, time
 * limit, end of episode) are in episode.ts.
 */

import type { PolicySpecs } from '../contract/tensor-spec.ts';
import type { Scene } from './scene.ts';
import type { TaskDistribution } from './task-distribution.ts';

/** Numbers that explain a step, e.g. each term of the reward. Every step of an environment has the same keys. */
export type StepInfo = Readonly<Record<string, number>>;

/** What `reset` takes beside the seed. Unknown keys are refused. */
export type ResetOptions = {
  /** The task to pose, C values; only if the environment's specs have a context. A training task drawn from the seed if absent. */
  readonly context?: ArrayLike<number>;
};

export type ResetResult = {
  /** [O], environment units. A view: valid until the environment's next call, so copy what you keep. */
  readonly observation: Float64Array;
  readonly info: StepInfo;
};

export type StepResult = ResetResult & {
  readonly reward: number;
  /** The task ended here: there is no value beyond. */
  readonly terminated: boolean;
  /** The episode was cut (time limit, or `diverged`): the state has a value beyond, so bootstrap. */
  readonly truncated: boolean;
  /**
   * The simulator left its stable range in this step, which implies `truncated`. The observation is the last valid one,
   * reward 0: better dropped than stored.
   */
  readonly diverged: boolean;
};

/** All that decides an environment's future, as plain data that survives structured clone. */
export type EnvState = {
  /** Name of the environment that saved it. */
  readonly env: string;
  /** Steps of the episode in progress, as its environment counts them. */
  readonly stepCount: number;
  readonly ended: boolean;
  /** The same names and lengths in every state, where several episodes run on one instance. */
  readonly arrays: Readonly<Record<string, Float64Array>>;
};

/** A state as a row of numbers. Rows fit every instance of the environment. */
export type StateRow = {
  readonly size: number;
  /** Copies the state into `out`, [size]. Only after a reset or a restore. */
  write(out: Float64Array): void;
  /** Continues exactly from a row that `write` filled. It is not checked. */
  read(row: Float64Array): void;
};

/** One environment with one episode in progress. Not safe to share between threads. */
export type Env = {
  /** As in the registry, e.g. `HalfCheetah-v5`. */
  readonly name: string;
  readonly specs: PolicySpecs;
  /** An episode is truncated at this many steps. */
  readonly episodeStepCountMax: number;
  /** Simulated time of one step, seconds. */
  readonly stepDurationS: number;
  /** The current episode's task, [C]; null if the specs have no context. A view, changed by the next `reset`. */
  readonly context: Float64Array | null;
  /** The family of tasks that contexts tell apart; null if the specs have no context. */
  readonly tasks: TaskDistribution | null;
  /**
   * Starts an episode: a pure function of the seed and the options.
   * @param seed integer in [0, 2^53)
   * @throws HyperpolicyError invalid_argument: a seed out of range, an unknown option, a context that does not fit
   */
  reset(seed: number, options?: ResetOptions): ResetResult;
  /**
   * One control step. The result is one object that the next call changes; allocates nothing.
   * @param action [A]; outside its bounds it acts as the bound (MuJoCo tasks count its cost as given, as Gymnasium does)
   * @throws HyperpolicyError invalid_argument: wrong size or a value that is not finite (the episode goes on);
   *   failed_precondition: before the first reset or after the end
   */
  step(action: ArrayLike<number>): StepResult;
  /** A copy of the full state: `restore` continues from it exactly. */
  save(): EnvState;
  /**
   * Returns to a saved state, also one of another instance of the same environment.
   * @returns the observation at that state, as `reset` does
   * @throws HyperpolicyError invalid_argument: another environment's state, or arrays that do not fit
   */
  restore(state: EnvState): Float64Array;
  /**
   * `save` and `restore` without allocations, as numbers in a row: for running many episodes on one instance. Where absent,
   * state-row.ts makes it of `save` and `restore`.
   */
  readonly stateRow?: StateRow;
  /** What the current state looks like, where the environment can be drawn. */
  scene?(): Scene;
  /** Frees native memory; the environment must not be used after. */
  dispose(): void;
};
