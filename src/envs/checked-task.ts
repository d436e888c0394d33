/** A user's task behind the `Task` contract: everything that it gives is checked before the common rules rely on it. */

import { isRecord } from '../contract/records.ts';
import type { TensorSpec } from '../contract/tensor-spec.ts';
import type { StepInfo } from './env.ts';
import type { Task } from './episode.ts';
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
export function checkedTask(task: FileTask, code: UserCode): Task {
  const { names } = task.specs.observation;
  const info: StepInfo = task.info ?? {};
  const infoNames = Object.keys(info);
  const outcome: { reward: unknown; terminated: unknown } = { reward: undefined, terminated: false };
  let isRestoreChecked = false;
  let hasState = false;

  function checkInfo(member: string): void {
    if (infoNames.length === 0) return;
    for (const name of infoNames) {
      if (typeof info[name] !== 'number') throw code.refusal(member, `info.${name} to be a number`, shown(info[name]));
    }
    const added = Object.keys(info).find((name) => !infoNames.includes(name));
    if (added !== undefined) throw code.refusal(member, `the same info at every step (${infoNames.join(', ')})`, added);
  }

  function capture(): Arrays {
    const captured = code.call<unknown>('capture', () => task.capture());
    return code.call('capture', () => copies(captured));
  }

  /** A task may hand out the arrays that it goes on with. */
  function copies(given: unknown): Arrays {
    if (!isRecord(given)) throw code.refusal('capture', 'an object of Float64Arrays by name', shown(given));
    const arrays: Arrays = {};
    for (const [name, array] of Object.entries(given)) {
      if (!(array instanceof Float64Array))
        throw code.refusal('capture', `"${name}" to be a Float64Array`, shown(array));
      if (ownNames.includes(name))
        throw code.refusal('capture', `names other than ${ownNames.join(' and ')}`, `"${name}"`);
      // Before the first episode there is nothing to keep, and sizes are all that is asked for.
      const bad = hasState ? array.findIndex((value) => !Number.isFinite(value)) : -1;
      if (bad >= 0) throw code.refusal('capture', `finite values in "${name}"`, `${array[bad]} at ${bad}`);
      arrays[name] = array.slice();
    }
    return arrays;
  }

  return {
    name: task.name,
    specs: task.specs,
    episodeStepCountMax: task.episodeStepCountMax,
    stepDurationS: task.stepDurationS,
    info,
    tasks: checkedTasks(task, code),

    begin(random, context) {
      code.beginEpisode();
      code.call('begin', () => task.begin(random, context));
      hasState = true;
      checkInfo('begin');
    },

    advance(action, result) {
      code.beginStep();
      // What an earlier step wrote must not stand for this one.
      outcome.reward = undefined;
      outcome.terminated = false;
      clipToBounds(task.specs.action, action);
      const isStable = code.call('advance', () => task.advance(action, outcome as typeof result)) as unknown;
      if (typeof isStable !== 'boolean') {
        throw code.refusal('advance', 'true, or false where the simulation became unstable', shown(isStable));
      }
      if (!isStable) return false;
      code.checkNumber('advance', 'outcome.reward', outcome.reward);
      code.checkBoolean('advance', 'outcome.terminated', outcome.terminated);
      checkInfo('advance');
      result.reward = outcome.reward as number;
      result.terminated = outcome.terminated as boolean;
      return true;
    },

    observe(observation) {
      // A value that is not written must not be an earlier one.
      observation.fill(Number.NaN);
      code.call('observe', () => task.observe(observation));
      code.checkNumbers('observe', 'an observation', observation, names);
    },

    capture,

    reinstate(arrays, stepCount) {
      code.restoreEpisode(stepCount);
      code.call('reinstate', () => task.reinstate(copyOf(arrays), stepCount));
      hasState = true;
      if (isRestoreChecked) return;
      // Once: it costs a capture, and a task that loses its state does so from the start.
      isRestoreChecked = true;
      for (const [name, array] of Object.entries(capture())) {
        const at = array.findIndex((value, i) => value !== arrays[name]![i]);
        if (at < 0) continue;
        throw code.refusal(
          'reinstate',
          `capture to give "${name}" back as it was: ${arrays[name]![at]} at ${at}`,
          `${array[at]}`,
        );
      }
    },

    ...(task.scene !== undefined && { scene: () => code.call('scene', () => task.scene!()) }),
    dispose: () => code.call('dispose', () => task.dispose?.()),
  };
}

/** What is outside of the bounds acts as the bound: the file may be a machine, and policies that draw from a normal go beyond. */
export function clipToBounds({ low, high }: TensorSpec, action: Float64Array): void {
  for (let i = 0; i < action.length; i++) {
    const lowest = low[i] ?? Number.NEGATIVE_INFINITY;
    const highest = high[i] ?? Number.POSITIVE_INFINITY;
    action[i] = Math.min(Math.max(action[i]!, lowest), highest);
  }
}

const copyOf = (arrays: Readonly<Arrays>): Arrays =>
  Object.fromEntries(Object.entries(arrays).map(([name, array]) => [name, array.slice()]));

/** A file gives `draw`; what else it leaves out is made of that and of the bounds of the context. Null where there is no context. */
export function checkedTasks(
  { specs, tasks }: Pick<FileTask, 'specs' | 'tasks'>,
  code: UserCode,
): TaskDistribution | null {
  const spec = specs.context;
  if (spec === null) return null;
  if (typeof tasks?.draw !== 'function') {
    throw code.refusal('tasks', 'a draw function, as the specs have a context', shown(tasks?.draw));
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
  return {
    ...made,
    sample(options) {
      const { count = counts[options.split] } = options;
      const contexts = code.call<unknown>('tasks.sample', () => tasks.sample!(options));
      if (!Array.isArray(contexts)) throw code.refusal('tasks.sample', 'a list of contexts', shown(contexts));
      if (contexts.length !== count) throw code.refusal('tasks.sample', `${count} contexts`, `${contexts.length}`);
      for (const context of contexts) {
        code.checkNumbers('tasks.sample', 'a context', context, spec.names);
      }
      return contexts.map((context) => Float64Array.from(context as ArrayLike<number>));
    },
  };
}

/** Of each value of a context, [low, high]: the two may be equal, and infinite where the spec has no bound. */
function checkRanges(code: UserCode, what: string, ranges: unknown, names: readonly string[]): void {
  const fits = (range: unknown): boolean => Array.isArray(range) && range.length === 2 && range[0] <= range[1];
  if (Array.isArray(ranges) && ranges.length === names.length && ranges.every(fits)) return;
  const actual = Array.isArray(ranges) ? JSON.stringify(ranges).slice(0, 100) : shown(ranges);
  throw code.refusal('tasks', `${what} to have [low, high] for each of ${names.join(', ')}`, actual);
}
