/**
 * The rules that all environments share: action checks, time limit, no step after the end, divergence, save and restore.
 * A `Task` supplies only its physics and its reward; `createEnv` makes the Env. Knows nothing of simulators.
 */

import { failedPrecondition, invalidArgument } from '../contract/errors.ts';
import { createRandom, type Random } from '../contract/random.ts';
import { type PolicySpecs, specSize } from '../contract/tensor-spec.ts';
import type { Env, EnvState, ResetOptions, ResetResult, StateRow, StepInfo, StepResult } from './env.ts';
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
  /** The family that contexts are drawn from; null where the specs have no context. */
  readonly tasks: TaskDistribution | null;
  /** Sets the start state. */
  begin(random: Random, context: Float64Array | null): void;
  /**
   * One control step.
   * @returns false where the simulation became unstable; the outcome and observation are then ignored
   */
  advance(action: Float64Array, outcome: Outcome): boolean;
  /** Writes the observation of the current state. */
  observe(observation: Float64Array): void;
  /** Copies of all arrays that decide the future. */
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
const contextStream = 1;

const resetOptionNames: readonly string[] = ['context'];

/** Wraps a task into the Env contract. */
export function createEnv(task: Task): Env {
  const { name, specs } = task;
  const actionSize = specSize(specs.action);
  const observationSize = specSize(specs.observation);
  const action = new Float64Array(actionSize);
  const context = specs.context === null ? null : new Float64Array(specSize(specs.context));
  const outcome: Outcome = { reward: 0, terminated: false };
  // Two buffers: an observation that turns out not to be finite must not overwrite the last valid one.
  let current = new Float64Array(observationSize);
  let next = new Float64Array(observationSize);
  let stepCount = 0;
  let state: 'new' | 'running' | 'ended' = 'new';
  const result = {
    observation: current,
    info: task.info,
    reward: 0,
    terminated: false,
    truncated: false,
    diverged: false,
  };

  const takeAction = (values: ArrayLike<number>): void => {
    if (values.length !== actionSize) {
      throw invalidArgument({
        where: `${name}.step`,
        expected: `${actionSize} action values`,
        actual: String(values.length),
      });
    }
    for (let i = 0; i < actionSize; i++) {
      const value = values[i]!;
      // A value minus itself is 0 only where it is finite: cheaper than a call per value.
      if (value - value !== 0) {
        throw invalidArgument({
          where: `${name}.step`,
          expected: `a finite action value ${i} (${specs.action.names[i]})`,
          actual: String(value),
        });
      }
      action[i] = value;
    }
  };

  const observe = (): boolean => {
    task.observe(next);
    let sum = 0;
    for (let i = 0; i < observationSize; i++) sum += next[i]! * 0;
    if (sum !== 0) return false;
    [current, next] = [next, current];
    return true;
  };

  /** Step count and end, context and observation, then the task's own. */
  const withEpisode = (own: TaskStateRow): StateRow => {
    const contextAt = 2;
    const observationAt = contextAt + (context?.length ?? 0);
    const ownAt = observationAt + observationSize;
    return {
      size: ownAt + own.size,
      write(out) {
        out[0] = stepCount;
        out[1] = Number(state === 'ended');
        for (let i = contextAt; i < observationAt; i++) out[i] = context![i - contextAt]!;
        for (let i = observationAt; i < ownAt; i++) out[i] = current[i - observationAt]!;
        own.write(out, ownAt);
      },
      read(row) {
        stepCount = row[0]!;
        state = row[1] === 1 ? 'ended' : 'running';
        for (let i = contextAt; i < observationAt; i++) context![i - contextAt] = row[i]!;
        for (let i = observationAt; i < ownAt; i++) current[i - observationAt] = row[i]!;
        own.read(row, ownAt, context);
      },
    };
  };

  return {
    name,
    specs,
    episodeStepCountMax: task.episodeStepCountMax,
    stepDurationS: task.stepDurationS,
    context,
    tasks: task.tasks,

    reset(seed: number, options: ResetOptions = {}): ResetResult {
      checkSeed(`${name}.reset`, seed);
      checkOptions(name, options);
      takeContext(task, seed, context, options);
      state = 'new';
      task.begin(createRandom(seed, startStream), context);
      if (!observe()) {
        throw failedPrecondition({
          where: `${name}.reset`,
          expected: 'a finite start state',
          actual: 'NaN or infinity',
        });
      }
      stepCount = 0;
      state = 'running';
      return { observation: current, info: task.info };
    },

    step(values: ArrayLike<number>): StepResult {
      if (state !== 'running') {
        throw failedPrecondition({
          where: `${name}.step`,
          expected: 'an episode in progress',
          actual: state === 'new' ? 'none yet' : `one that ended after ${stepCount} steps`,
          remedy: 'Call reset first',
        });
      }
      takeAction(values);
      stepCount++;
      const stable = task.advance(action, outcome) && outcome.reward - outcome.reward === 0 && observe();
      result.observation = current;
      result.reward = stable ? outcome.reward : 0;
      result.terminated = stable && outcome.terminated;
      result.truncated = !stable || (!result.terminated && stepCount >= task.episodeStepCountMax);
      result.diverged = !stable;
      if (result.terminated || result.truncated) state = 'ended';
      return result;
    },

    save(): EnvState {
      if (state === 'new') {
        throw failedPrecondition({
          where: `${name}.save`,
          expected: 'an episode in progress',
          actual: 'none yet',
          remedy: 'Call reset first',
        });
      }
      const arrays = task.capture();
      arrays.observation = current.slice();
      if (context !== null) arrays.context = context.slice();
      return { env: name, stepCount, ended: state === 'ended', arrays };
    },

    restore(saved: EnvState): Float64Array {
      checkState(name, saved, { ...task.capture(), observation: current, ...(context === null ? {} : { context }) });
      context?.set(saved.arrays.context!);
      current.set(saved.arrays.observation!);
      task.reinstate(saved.arrays, saved.stepCount);
      stepCount = saved.stepCount;
      state = saved.ended ? 'ended' : 'running';
      return current;
    },

    ...(task.stateRow !== undefined && { stateRow: withEpisode(task.stateRow) }),
    ...(task.scene !== undefined && { scene: () => task.scene!() }),

    dispose: () => task.dispose(),
  };
}

function checkSeed(where: string, seed: number): void {
  if (Number.isSafeInteger(seed) && seed >= 0) return;
  throw invalidArgument({ where, expected: 'a seed that is an integer in [0, 2^53)', actual: String(seed) });
}

function checkOptions(name: string, options: ResetOptions): void {
  for (const key of Object.keys(options)) {
    if (resetOptionNames.includes(key)) continue;
    throw invalidArgument({
      where: `${name}.reset`,
      expected: `options among ${resetOptionNames.join(', ')}`,
      actual: `"${key}"`,
    });
  }
}

/** Fills `context` from the options or, where they have none, from the seed. */
function takeContext(task: Task, seed: number, context: Float64Array | null, options: ResetOptions): void {
  const given = options.context;
  if (context === null) {
    if (given === undefined) return;
    throw invalidArgument({
      where: `${task.name}.reset`,
      expected: 'no context, as the environment poses one task only',
      actual: `${given.length} values`,
    });
  }
  if (given === undefined) {
    task.tasks!.draw(createRandom(seed, contextStream), context, 'train');
    return;
  }
  const bad = Array.from(given).findIndex((value) => !Number.isFinite(value));
  if (given.length !== context.length || bad >= 0) {
    throw invalidArgument({
      where: `${task.name}.reset`,
      expected: `a context of ${context.length} finite values (${task.specs.context!.names.join(', ')})`,
      actual: bad >= 0 ? `${given[bad]} at ${bad}` : `${given.length} values`,
    });
  }
  context.set(given);
}

function checkState(name: string, saved: EnvState, like: Readonly<Record<string, Float64Array>>): void {
  const refuse = (expected: string, actual: string) => invalidArgument({ where: `${name}.restore`, expected, actual });
  if (saved.env !== name) throw refuse(`a state of ${name}`, `one of ${saved.env}`);
  for (const [key, { length }] of Object.entries(like)) {
    const array = saved.arrays[key];
    if (array?.length !== length) throw refuse(`${length} values of "${key}"`, String(array?.length ?? 'none'));
  }
}
