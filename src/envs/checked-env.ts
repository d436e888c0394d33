/** A user's whole environment behind the `Env` contract: everything that it gives is checked before anything relies on it. */

import { isRecord } from '../contract/records.ts';
import { checkedTasks, clipToBounds } from './checked-task.ts';
import type { Env, EnvState, ResetResult, StepInfo, StepResult } from './env.ts';
import { shown, type UserCode } from './user-code.ts';

/** Members are called as methods, so that it may be an object of a class. */
export function checkedEnv(env: Env, code: UserCode): Env {
  const { name, specs, episodeStepCountMax, stepDurationS } = env;
  const given = new GivenValues(env, code);
  /** Of the episode in progress. The file's own count may be another, such as that of the physics steps below each of its steps. */
  let stepCount = 0;
  /** Whether an episode was begun: before the first, sizes are all that is asked of a state. */
  let isBegun = false;
  return {
    name,
    specs,
    episodeStepCountMax,
    stepDurationS,
    get context() {
      return specs.context === null ? null : code.call('context', () => env.context);
    },
    tasks: checkedTasks(env, code),

    reset(seed, options) {
      code.beginEpisode();
      const result = code.call('reset', () => env.reset(seed, options));
      stepCount = 0;
      isBegun = true;
      return code.call('reset', () => {
        given.checkContext('reset');
        return given.result('reset', result);
      });
    },

    step(action) {
      code.beginStep();
      const clipped = Float64Array.from(action);
      clipToBounds(specs.action, clipped);
      const result = code.call('step', () => env.step(clipped));
      stepCount++;
      return code.call('step', () => given.stepResult(result, stepCount));
    },

    save() {
      const saved = code.call('save', () => env.save());
      return withCount(
        code.call('save', () => given.state(saved, { isBegun })),
        stepCount,
      );
    },

    restore(state) {
      const { taken, own: ownState } = withoutCount(state);
      code.restoreEpisode(taken ?? state.stepCount);
      const observation = code.call('restore', () => env.restore(ownState));
      stepCount = taken ?? 0;
      isBegun = true;
      return code.call('restore', () => {
        const own = given.observation('restore', observation);
        given.checkContext('restore');
        return own;
      });
    },

    ...(env.scene !== undefined && { scene: () => code.call('scene', () => env.scene!()) }),
    dispose: () => code.call('dispose', () => env.dispose()),
  };
}

/** What an environment gave, checked, as numbers of our own. */
class GivenValues {
  readonly #env: Env;
  readonly #code: UserCode;

  constructor(env: Env, code: UserCode) {
    this.#env = env;
    this.#code = code;
  }

  checkContext(member: string): void {
    const { specs } = this.#env;
    if (specs.context === null) return;
    const { context } = this.#code.fields(member, this.#env, ['context']);
    this.#code.checkNumbers(member, 'a context', context, specs.context.names);
  }

  observation(member: string, values: unknown): Float64Array {
    this.#code.checkNumbers(member, 'an observation', values, this.#env.specs.observation.names);
    return values instanceof Float64Array ? values : Float64Array.from(values as ArrayLike<number>);
  }

  result(member: string, given: unknown): ResetResult {
    const code = this.#code;
    if (typeof given !== 'object' || given === null) {
      throw code.refusal(member, 'an object with observation and info', shown(given));
    }
    const { observation, info } = code.fields(member, given as Partial<ResetResult>, ['observation', 'info']);
    const values = this.observation(member, observation);
    if (!isRecord(info)) throw code.refusal(member, 'info to be an object of numbers', shown(info));
    const numbers = code.fields(member, info, Object.keys(info), 'info.');
    for (const [key, value] of Object.entries(numbers)) {
      if (!Number.isFinite(value)) throw code.refusal(member, `info.${key} to be a finite number`, shown(value));
    }
    return { observation: values, info: numbers as StepInfo };
  }

  stepResult(given: StepResult, stepCount: number): StepResult {
    const { observation, info } = this.result('step', given);
    const own = this.#code.fields('step', given, ['reward', 'terminated', 'truncated', 'diverged']);
    this.#code.checkNumber('step', 'reward', own.reward);
    for (const name of ['terminated', 'truncated', 'diverged'] as const) {
      this.#code.checkBoolean('step', name, own[name]);
    }
    const result = { observation, info, ...own } as StepResult;
    this.#checkEnd(stepCount, result.terminated || result.truncated);
    return result;
  }

  /** Who plays an episode to its end would otherwise never return. */
  #checkEnd(stepCount: number, isOver: boolean): void {
    const { episodeStepCountMax } = this.#env;
    if (isOver || stepCount < episodeStepCountMax) return;
    const expected = `terminated or truncated by step ${episodeStepCountMax} (episodeStepCountMax)`;
    const remedy = 'Set truncated at that step, or give a larger episodeStepCountMax';
    throw this.#code.refusal('step', expected, 'neither', remedy);
  }

  state(given: Partial<EnvState> | null | undefined, { isBegun }: { readonly isBegun: boolean }): EnvState {
    const { name } = this.#env;
    const { stepCount, ended, arrays, ...more } = given ?? {};
    // What else it has would be lost in a checkpoint.
    const isWhole = more.env === name && Object.keys(more).length === 1;
    const isCount = Number.isSafeInteger(stepCount) && stepCount! >= 0;
    const hasArrays = isRecord(arrays) && Object.values(arrays).every((array) => array instanceof Float64Array);
    if (!isWhole || !isCount || typeof ended !== 'boolean' || !hasArrays) {
      const expected = `env "${name}", stepCount, ended, and arrays of Float64Array`;
      throw this.#code.refusal('save', expected, describe(given));
    }
    if (isBegun) for (const [array, values] of Object.entries(arrays)) this.#code.checkState('save', array, values);
    return { env: name, stepCount: stepCount!, ended, arrays: { ...arrays } };
  }
}

/**
 * Name of an array beside those of the file: the steps since `reset`, by which a restored episode must end. A file that wraps another file
 * has the other's behind its own.
 */
const countName = 'steps since reset';

const withCount = ({ arrays, ...rest }: EnvState, taken: number): EnvState => ({
  ...rest,
  arrays: { ...arrays, [countName]: Float64Array.of(taken, ...(arrays[countName] ?? [])) },
});

/** The state that the file gave, and the steps; undefined in a checkpoint of before they were kept, whose episode is counted anew. */
function withoutCount(state: EnvState): { readonly taken: number | undefined; readonly own: EnvState } {
  const { [countName]: counts, ...arrays } = state.arrays;
  if (counts === undefined) return { taken: undefined, own: state };
  const inner = counts.length > 1 && { [countName]: counts.slice(1) };
  return { taken: counts[0]!, own: { ...state, arrays: { ...arrays, ...inner } } };
}

const describe = (saved: unknown): string =>
  typeof saved === 'object' && saved !== null
    ? Object.entries(saved)
        .map(([key, value]) => `${key} ${shown(value)}`)
        .join(', ')
    : shown(saved);
