/** A user's whole environment behind the `Env` contract: everything that it gives is checked before anything relies on it. */

import { isRecord } from '../contract/records.ts';
import { checkedTasks, clipToBounds } from './checked-task.ts';
import type { Env, EnvState, ResetResult } from './env.ts';
import { shown, type UserCode } from './user-code.ts';

/** Members are called as methods, so that it may be an object of a class. */
export function checkedEnv(env: Env, code: UserCode): Env {
  const { name, specs, episodeStepCountMax, stepDurationS } = env;
  const { names } = specs.observation;

  /** The result as numbers of our own. */
  function checkResult(member: string, given: unknown): ResetResult {
    if (typeof given !== 'object' || given === null) {
      throw code.refusal(member, 'an object with observation and info', shown(given));
    }
    const { observation, info } = given as Partial<ResetResult>;
    code.checkNumbers(member, 'an observation', observation, names);
    if (!isRecord(info)) throw code.refusal(member, 'info to be an object of numbers', shown(info));
    for (const [key, value] of Object.entries(info)) {
      if (typeof value !== 'number') throw code.refusal(member, `info.${key} to be a number`, shown(value));
    }
    return { observation: observation instanceof Float64Array ? observation : Float64Array.from(observation!), info };
  }

  function checkContext(member: string): void {
    if (specs.context !== null) code.checkNumbers(member, 'a context', env.context, specs.context.names);
  }

  return {
    name,
    specs,
    episodeStepCountMax,
    stepDurationS,
    get context() {
      return specs.context === null ? null : env.context;
    },
    tasks: checkedTasks(env, code),

    reset(seed, options) {
      code.beginEpisode();
      const given = code.call('reset', () => env.reset(seed, options));
      return code.call('reset', () => {
        checkContext('reset');
        return checkResult('reset', given);
      });
    },

    step(action) {
      code.beginStep();
      const clipped = Float64Array.from(action);
      clipToBounds(specs.action, clipped);
      const result = code.call('step', () => env.step(clipped));
      return code.call('step', () => {
        const { observation, info } = checkResult('step', result);
        const { reward, terminated, truncated, diverged } = result;
        code.checkNumber('step', 'reward', reward);
        code.checkBoolean('step', 'terminated', terminated);
        code.checkBoolean('step', 'truncated', truncated);
        code.checkBoolean('step', 'diverged', diverged);
        return { observation, info, reward, terminated, truncated, diverged };
      });
    },

    save() {
      const saved = code.call('save', () => env.save()) as Partial<EnvState> | null | undefined;
      return code.call('save', () => {
        const { stepCount, ended, arrays, ...more } = saved ?? {};
        // What else it has would be lost in a checkpoint.
        const isWhole = more.env === name && Object.keys(more).length === 1;
        const isCount = Number.isSafeInteger(stepCount) && stepCount! >= 0;
        const hasArrays = isRecord(arrays) && Object.values(arrays).every((array) => array instanceof Float64Array);
        if (!isWhole || !isCount || typeof ended !== 'boolean' || !hasArrays) {
          throw code.refusal('save', `env "${name}", stepCount, ended, and arrays of Float64Array`, describe(saved));
        }
        return { env: name, stepCount: stepCount!, ended, arrays: { ...arrays } };
      });
    },

    restore(state) {
      code.restoreEpisode(state.stepCount);
      const observation = code.call('restore', () => env.restore(state));
      return code.call('restore', () => {
        code.checkNumbers('restore', 'an observation', observation, names);
        checkContext('restore');
        return observation instanceof Float64Array ? observation : Float64Array.from(observation);
      });
    },

    ...(env.scene !== undefined && { scene: () => code.call('scene', () => env.scene!()) }),
    dispose: () => code.call('dispose', () => env.dispose()),
  };
}

const describe = (saved: unknown): string =>
  typeof saved === 'object' && saved !== null
    ? Object.entries(saved)
        .map(([key, value]) => `${key} ${shown(value)}`)
        .join(', ')
    : shown(saved);
