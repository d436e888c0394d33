/**
 * The rules that all environments share: action checks, time limit, no step after the end, divergence, save and restore.
 * A `Task` supplies only its physics and its reward; `createEnv` makes the Env. Knows nothing of simulators.
 */

import { failedPrecondition } from '../contract/errors.ts';
import { createRandom, type Random } from '../contract/random.ts';
import { type PolicySpecs, specSize } from '../contract/tensor-spec.ts';
import type { Env, EnvState, ResetOptions, ResetResult, StateRow, StepInfo, StepResult } from './env.ts';
import { checkOptions, checkSeed, checkState, givenContext, takeAction } from './episode-checks.ts';
import type { Scene } from './scene.ts';
import type { TaskDistribution } from './task-distribution.ts';

/** What a task reports of one step. */
export type Outcome = { reward: number; terminated: boolean };

/** A task's part of a state row: `size` numbers from place `at` on. */
export type TaskStateRow = {
  readonly size: number;
  write(out: Float64Array, at: number): void;
  read(row: Float64Array, at: number, context: Float64Array | null): void;
};

/** One task: physics, observation and reward. Called only in a valid order with checked values. */
export type Task = {
  readonly name: string;
  readonly specs: PolicySpecs;
  readonly episodeStepCountMax: number;
  readonly stepDurationS: number;
  /** Written by `begin` and `advance`; its keys never change. */
  readonly info: StepInfo;
  /** The family that contexts are drawn from; null if the specs have no context. */
  readonly tasks: TaskDistribution | null;
  /** Sets the start state. */
  begin(random: Random, context: Float64Array | null): void;
  /**
   * One control step.
   * @returns false if the simulation became unstable; the outcome and observation are then ignored
   */
  advance(action: Float64Array, outcome: Outcome): boolean;
  /** Writes the observation of the current state. */
  observe(observation: Float64Array): void;
  /** Copies of all arrays that decide the future: the same names and lengths in every state since `begin`. */
  capture(): Record<string, Float64Array>;
  /** Takes back what `capture` gave after so many steps of an episode; sizes were checked. */
  reinstate(arrays: Readonly<Record<string, Float64Array>>, stepCount: number): void;
  /** What `capture` and `reinstate` copy, without allocations. */
  readonly stateRow?: TaskStateRow;
  /** What the current state looks like. */
  scene?(): Scene;
  dispose(): void;
};

/** Streams of a seed: apart, so that a seed's start state is the same with a given and with a drawn context. */
const startStream = 0;
export const contextStream = 1;

/** Wraps a task into the Env contract. */
export function createEnv(task: Task): Env {
  const episode = new Episode(task);
  return {
    name: task.name,
    specs: task.specs,
    episodeStepCountMax: task.episodeStepCountMax,
    stepDurationS: task.stepDurationS,
    context: episode.context,
    tasks: task.tasks,
    reset: (seed, options = {}) => episode.reset(seed, options),
    step: (values) => episode.step(values),
    save: () => episode.save(),
    restore: (saved) => episode.restore(saved),
    ...(task.stateRow !== undefined && { stateRow: episode.stateRow(task.stateRow) }),
    ...(task.scene !== undefined && { scene: () => task.scene!() }),
    dispose: () => task.dispose(),
  };
}

class Episode {
  readonly context: Float64Array | null;
  readonly #task: Task;
  readonly #action: Float64Array;
  readonly #outcome: Outcome = { reward: 0, terminated: false };
  readonly #result: { -readonly [Key in keyof StepResult]: StepResult[Key] };
  // Two buffers: an observation that turns out not to be finite must not overwrite the last valid one.
  #current: Float64Array;
  #next: Float64Array;
  #stepCount = 0;
  #state: 'new' | 'running' | 'ended' = 'new';

  constructor(task: Task) {
    const { specs, info } = task;
    const observationSize = specSize(specs.observation);
    this.context = specs.context === null ? null : new Float64Array(specSize(specs.context));
    this.#task = task;
    this.#action = new Float64Array(specSize(specs.action));
    this.#current = new Float64Array(observationSize);
    this.#next = new Float64Array(observationSize);
    this.#result = {
      observation: this.#current,
      info,
      reward: 0,
      terminated: false,
      truncated: false,
      diverged: false,
    };
  }

  reset(seed: number, options: ResetOptions): ResetResult {
    const task = this.#task;
    checkSeed(`${task.name}.reset`, seed);
    checkOptions(task.name, options);
    const given = givenContext(task, options);
    if (given !== undefined) this.context!.set(given);
    else if (this.context !== null) task.tasks!.draw(createRandom(seed, contextStream), this.context, 'train');
    this.#state = 'new';
    task.begin(createRandom(seed, startStream), this.context);
    if (!this.#observe()) {
      throw failedPrecondition({
        where: `${task.name}.reset`,
        expected: 'a finite start state',
        actual: 'NaN or infinity',
      });
    }
    this.#stepCount = 0;
    this.#state = 'running';
    return { observation: this.#current, info: task.info };
  }

  step(values: ArrayLike<number>): StepResult {
    const task = this.#task;
    const outcome = this.#outcome;
    const result = this.#result;
    if (this.#state !== 'running') {
      const actual = this.#state === 'new' ? 'none yet' : `one that ended after ${this.#stepCount} steps`;
      throw this.#noEpisode('step', actual);
    }
    takeAction(task, values, this.#action);
    this.#stepCount++;
    const stable = task.advance(this.#action, outcome) && outcome.reward - outcome.reward === 0 && this.#observe();
    result.observation = this.#current;
    result.reward = stable ? outcome.reward : 0;
    result.terminated = stable && outcome.terminated;
    result.truncated = !stable || (!result.terminated && this.#stepCount >= task.episodeStepCountMax);
    result.diverged = !stable;
    if (result.terminated || result.truncated) this.#state = 'ended';
    return result;
  }

  save(): EnvState {
    if (this.#state === 'new') throw this.#noEpisode('save', 'none yet');
    const arrays = this.#task.capture();
    arrays.observation = this.#current.slice();
    if (this.context !== null) arrays.context = this.context.slice();
    return { env: this.#task.name, stepCount: this.#stepCount, ended: this.#state === 'ended', arrays };
  }

  restore(saved: EnvState): Float64Array {
    const task = this.#task;
    const own = { observation: this.#current, ...(this.context !== null && { context: this.context }) };
    checkState(task.name, saved, { ...task.capture(), ...own });
    this.context?.set(saved.arrays.context!);
    this.#current.set(saved.arrays.observation!);
    task.reinstate(saved.arrays, saved.stepCount);
    this.#stepCount = saved.stepCount;
    this.#state = saved.ended ? 'ended' : 'running';
    return this.#current;
  }

  /** Step count and end, context and observation, then the task's own. */
  stateRow(own: TaskStateRow): StateRow {
    const { context } = this;
    const contextAt = 2;
    const observationAt = contextAt + (context?.length ?? 0);
    const ownAt = observationAt + this.#current.length;
    return {
      size: ownAt + own.size,
      write: (out) => {
        out[0] = this.#stepCount;
        out[1] = Number(this.#state === 'ended');
        for (let i = contextAt; i < observationAt; i++) out[i] = context![i - contextAt]!;
        for (let i = observationAt; i < ownAt; i++) out[i] = this.#current[i - observationAt]!;
        own.write(out, ownAt);
      },
      read: (row) => {
        this.#stepCount = row[0]!;
        this.#state = row[1] === 1 ? 'ended' : 'running';
        for (let i = contextAt; i < observationAt; i++) context![i - contextAt] = row[i]!;
        for (let i = observationAt; i < ownAt; i++) this.#current[i - observationAt] = row[i]!;
        own.read(row, ownAt, context);
      },
    };
  }

  /** @returns whether the observation is finite, and is the current one now */
  #observe(): boolean {
    const next = this.#next;
    this.#task.observe(next);
    let sum = 0;
    for (let i = 0; i < next.length; i++) sum += next[i]! * 0;
    if (sum !== 0) return false;
    this.#next = this.#current;
    this.#current = next;
    return true;
  }

  #noEpisode(member: string, actual: string): Error {
    return failedPrecondition({
      where: `${this.#task.name}.${member}`,
      expected: 'an episode in progress',
      actual,
      remedy: 'Call reset first',
    });
  }
}
