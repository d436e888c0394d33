/** A user's task behind the `Task` contract: everything that it gives is checked before the common rules rely on it. */

import type { Random } from '../contract/random.ts';
import { isRecord } from '../contract/records.ts';
import type { PolicySpecs, TensorSpec } from '../contract/tensor-spec.ts';
import type { StepInfo } from './env.ts';
import type { Outcome, Task } from './episode.ts';
import { type Sizes, sizeDifference, sizesOf } from './episode-checks.ts';
import type { Scene } from './scene.ts';
import { distribution, type TaskDistribution } from './task-distribution.ts';
import { shown, type UserCode } from './user-code.ts';

/** What a task may leave out in a file. */
export type FileTask = Omit<Task, 'info' | 'tasks' | 'dispose' | 'stateRow'> &
  Partial<Pick<Task, 'info' | 'dispose'>> & {
    readonly tasks?: (Pick<TaskDistribution, 'draw'> & Partial<TaskDistribution>) | null;
  };

/** Names in a state that createEnv has for itself. */
const ownNames: readonly string[] = ['observation', 'context'];

type Arrays = Record<string, Float64Array>;

/** Members are called as methods, so that a task may be an object of a class. */
export const checkedTask = (task: FileTask, code: UserCode): Task => new CheckedTask(task, code);

class CheckedTask implements Task {
  readonly name: string;
  readonly specs: PolicySpecs;
  readonly episodeStepCountMax: number;
  readonly stepDurationS: number;
  readonly info: StepInfo;
  readonly tasks: TaskDistribution | null;
  readonly scene?: () => Scene;
  readonly #task: FileTask;
  readonly #code: UserCode;
  readonly #infoNames: readonly string[];
  #isRestoreChecked = false;
  #hasState = false;
  /** Of the arrays of the first state, by name. */
  #sizes: Sizes | undefined;
  /** Whether the states before and after the first step were compared. */
  #isSizeChecked = false;

  constructor(task: FileTask, code: UserCode) {
    this.name = task.name;
    this.specs = task.specs;
    this.episodeStepCountMax = task.episodeStepCountMax;
    this.stepDurationS = task.stepDurationS;
    this.info = task.info ?? {};
    this.tasks = checkedTasks(task, code);
    if (task.scene !== undefined) this.scene = () => code.call('scene', () => task.scene!());
    this.#task = task;
    this.#code = code;
    this.#infoNames = Object.keys(this.info);
  }

  begin(random: Random, context: Float64Array | null): void {
    this.#code.beginEpisode();
    this.#code.call('begin', () => this.#task.begin(random, context));
    this.#hasState = true;
    this.#code.call('begin', () => this.#checkInfo('begin'));
    if (this.#sizes === undefined) this.#compareSizes();
  }

  advance(action: Float64Array, result: Outcome): boolean {
    const code = this.#code;
    // One for each step: what an earlier one wrote, or made of it, must not stand for this one.
    const outcome: { reward: unknown; terminated: unknown } = { reward: undefined, terminated: false };
    code.beginStep();
    clipToBounds(this.specs.action, action);
    const isStable: unknown = code.call('advance', () => this.#task.advance(action, outcome as Outcome));
    if (typeof isStable !== 'boolean') {
      throw code.refusal('advance', 'true, or false where the simulation became unstable', shown(isStable));
    }
    if (!isStable) return false;
    code.call('advance', () => {
      const { reward, terminated } = code.fields('advance', outcome, ['reward', 'terminated'], 'outcome.');
      code.checkNumber('advance', 'outcome.reward', reward);
      code.checkBoolean('advance', 'outcome.terminated', terminated);
      this.#checkInfo('advance');
      result.reward = reward as number;
      result.terminated = terminated as boolean;
    });
    if (!this.#isSizeChecked) this.#compareSizes();
    this.#isSizeChecked = true;
    return true;
  }

  observe(observation: Float64Array): void {
    // A value that is not written must not be an earlier one.
    observation.fill(Number.NaN);
    this.#code.call('observe', () => this.#task.observe(observation));
    this.#code.checkNumbers('observe', 'an observation', observation, this.specs.observation.names);
  }

  capture(): Arrays {
    const arrays = this.#captured();
    if (this.#hasState) this.#checkSizes(arrays);
    return arrays;
  }

  reinstate(arrays: Readonly<Arrays>, stepCount: number): void {
    this.#code.restoreEpisode(stepCount);
    this.#code.call('reinstate', () => this.#task.reinstate(copyOf(arrays), stepCount));
    this.#hasState = true;
    if (this.#isRestoreChecked) return;
    // Once: it costs a capture, and a task that loses its state does so from the start.
    this.#isRestoreChecked = true;
    for (const [name, array] of Object.entries(this.capture())) {
      const at = array.findIndex((value, i) => value !== arrays[name]![i]);
      if (at < 0) continue;
      const expected = `capture to give "${name}" back as it was: ${arrays[name]![at]} at ${at}`;
      throw this.#code.refusal('reinstate', expected, `${array[at]}`);
    }
  }

  dispose(): void {
    this.#code.call('dispose', () => this.#task.dispose?.());
  }

  #captured(): Arrays {
    const captured = this.#code.call<unknown>('capture', () => this.#task.capture());
    return this.#code.call('capture', () => this.#copies(captured));
  }

  /**
   * Before and after the first step: at the first checkpoint a run would be lost. Another fault of `capture` is left to who needs a state.
   */
  #compareSizes(): void {
    let arrays: Arrays;
    try {
      arrays = this.#captured();
    } catch {
      return;
    }
    this.#checkSizes(arrays);
  }

  /** A checkpoint is restored into a state that has just begun, and states of several episodes lie in rows of one size. */
  #checkSizes(arrays: Arrays): void {
    this.#sizes ??= sizesOf(arrays);
    const difference = sizeDifference(this.#sizes, arrays);
    if (difference === undefined) return;
    const remedy = 'Give the same arrays in every state, as long as they can get';
    throw this.#code.refusal('capture', difference.expected, difference.actual, remedy);
  }

  #checkInfo(member: string): void {
    const names = this.#infoNames;
    if (names.length === 0) return;
    for (const [name, value] of Object.entries(this.#code.fields(member, this.info, names, 'info.'))) {
      if (!Number.isFinite(value)) throw this.#code.refusal(member, `info.${name} to be a finite number`, shown(value));
    }
    const added = Object.keys(this.info).find((name) => !names.includes(name));
    if (added === undefined) return;
    throw this.#code.refusal(member, `the same info at every step (${names.join(', ')})`, added);
  }

  /** A task may hand out the arrays that it goes on with. */
  #copies(given: unknown): Arrays {
    const refuse = (expected: string, actual: string) => this.#code.refusal('capture', expected, actual);
    if (!isRecord(given)) throw refuse('an object of Float64Arrays by name', shown(given));
    const arrays: Arrays = {};
    for (const [name, array] of Object.entries(given)) {
      if (!(array instanceof Float64Array)) throw refuse(`"${name}" to be a Float64Array`, shown(array));
      if (ownNames.includes(name)) throw refuse(`names other than ${ownNames.join(' and ')}`, `"${name}"`);
      // Before the first episode there is nothing to keep, and sizes are all that is asked for.
      if (this.#hasState) this.#code.checkState('capture', name, array);
      arrays[name] = array.slice();
    }
    return arrays;
  }
}

/**
 * Values outside the bounds are clipped: the file may drive a machine, and policies that sample from a normal distribution exceed bounds.
 */
export function clipToBounds({ low, high }: TensorSpec, action: Float64Array): void {
  for (let i = 0; i < action.length; i++) {
    const lowest = low[i] ?? Number.NEGATIVE_INFINITY;
    const highest = high[i] ?? Number.POSITIVE_INFINITY;
    action[i] = Math.min(Math.max(action[i]!, lowest), highest);
  }
}

const copyOf = (arrays: Readonly<Arrays>): Arrays =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, array.slice()]));

/**
 * A file must give `draw`. Other parts that it leaves out are made from `draw` and the bounds of the context. Null if there is no
 * context.
 */
export function checkedTasks(
  { specs, tasks }: Pick<FileTask, 'specs' | 'tasks'>,
  code: UserCode,
): TaskDistribution | null {
  const spec = specs.context;
  if (spec === null) return null;
  if (typeof tasks?.draw !== 'function') {
    throw code.refusal('tasks', 'a draw function, as the specs have a context', shown(tasks?.draw));
  }
  if (tasks.denseReward !== undefined) {
    const remedy = 'Leave it out: steps are learnt from by the reward that advance or step gives';
    throw code.refusal(
      'tasks',
      'no denseReward, which only built-in environments have',
      shown(tasks.denseReward),
      remedy,
    );
  }
  const range = spec.names.map(
    (_, i) => [spec.low[i] ?? Number.NEGATIVE_INFINITY, spec.high[i] ?? Number.POSITIVE_INFINITY] as const,
  );
  const { ranges = { train: range, test: range }, counts = { train: 100, test: 30 } } = tasks;
  for (const split of ['train', 'test'] as const) {
    checkRanges(code, `ranges.${split}`, ranges?.[split], spec.names);
    const count: unknown = counts?.[split];
    if (!Number.isSafeInteger(count) || (count as number) < 1)
      throw code.refusal('tasks', `counts.${split} to be a positive integer`, shown(count));
  }
  const made = distribution(spec, ranges, counts, (random, context, split) => {
    context.fill(Number.NaN);
    code.call('tasks.draw', () => tasks.draw(random, context, split));
    code.checkNumbers('tasks.draw', 'a context', context, spec.names);
  });
  if (typeof tasks.sample !== 'function') return made;
  const sample: TaskDistribution['sample'] = (options) => {
    const { count = counts[options.split] } = options;
    const contexts = code.call<unknown>('tasks.sample', () => tasks.sample!(options));
    if (!Array.isArray(contexts)) throw code.refusal('tasks.sample', 'a list of contexts', shown(contexts));
    if (contexts.length !== count) throw code.refusal('tasks.sample', `${count} contexts`, `${contexts.length}`);
    for (const context of contexts) {
      code.checkNumbers('tasks.sample', 'a context', context, spec.names);
    }
    return contexts.map((context) => Float64Array.from(context as ArrayLike<number>));
  };
  const { train } = counts;
  let last: { readonly seed: number; readonly contexts: readonly Float64Array[] } | undefined;
  // Of lists of the family's own length, as they may have each of few tasks equally often.
  const inTurn = (turn: number) => {
    const seed = Math.floor(turn / train);
    if (last?.seed !== seed) last = { seed, contexts: sample({ split: 'train', seed, count: train }) };
    return last.contexts[turn % train]!.slice();
  };
  return { ...made, sample, inTurn };
}

/** Of each value of a context, [low, high]: the two may be equal, and infinite where the spec has no bound. */
function checkRanges(code: UserCode, what: string, ranges: unknown, names: readonly string[]): void {
  const fits = (range: unknown): boolean => Array.isArray(range) && range.length === 2 && range[0] <= range[1];
  if (Array.isArray(ranges) && ranges.length === names.length && ranges.every(fits)) return;
  const actual = Array.isArray(ranges) ? JSON.stringify(ranges).slice(0, 100) : shown(ranges);
  throw code.refusal('tasks', `${what} to have [low, high] for each of ${names.join(', ')}`, actual);
}
