/**
 * What a robot's actuators get at each time, as a function of the answers so far: the newest action while it is young enough, then a ramp
 * to the safe action. Knows neither clock nor network, so that a case is a list of numbers: test/clients/robot/commander.json, which the
 * Python commander keeps too.
 */

import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { checkOptions, checkTime, shown } from '../typescript/checks.ts';

export type CommanderOptions = {
  /** What to end at where no action comes, [A], environment units; until `setSafeAction` gives another. */
  readonly safeAction: ArrayLike<number>;
  /** An action is applied until its observation is so old, milliseconds, and never after. */
  readonly ageMsMax: number;
  /** Time from the last command to the safe action, milliseconds; 0 is at once. */
  readonly rampMs: number;
  /** Time from one action to the next, milliseconds; 0 is at once. */
  readonly interpolationMs: number;
  /** Without a cycle for so long commands go to the safe action, milliseconds. */
  readonly watchdogMs: number;
};

/**
 * `fresh`: the answer to the cycle's own observation. `hold`: that to an earlier one, still young enough. `ramp`: on the way to the safe
 * action. `safe`: there, or nothing was ever answered.
 */
export type CommandMode = 'fresh' | 'hold' | 'ramp' | 'safe';

export type Answer = {
  /** [A]. Kept, and not changed. */
  readonly action: Float32Array;
  readonly observedAtMs: number;
};

export type Commander = {
  /**
   * Takes an answer; one to no newer observation than that of the newest is dropped.
   * @returns whether it is the newest now
   * @throws HyperpolicyError failed_precondition: not [A], an answer of another model
   */
  take(answer: Answer): boolean;
  /**
   * From now on commands go to this safe action, [A], also those that are there already: it follows the robot's state where no single action is
   * safe in all of them. @throws HyperpolicyError invalid_argument: not [A], or not finite
   */
  setSafeAction(action: ArrayLike<number>): void;
  /** A cycle, whose observation was made at `observedAtMs`: the newest answer is what to apply from now on. */
  decide(nowMs: number, observedAtMs: number): CommandMode;
  /** What actuators get, [A]. May be asked at any time between cycles. */
  command(nowMs: number): Float32Array;
  /** Age of the newest answer's observation, milliseconds; Infinity where there is none. */
  ageMs(nowMs: number): number;
};

const optionNames = [
  'safeAction',
  'ageMsMax',
  'rampMs',
  'interpolationMs',
  'watchdogMs',
] as const satisfies readonly (keyof CommanderOptions)[];

/** Times are milliseconds of one monotonic clock. @throws HyperpolicyError invalid_argument naming the option */
export function createCommander(options: CommanderOptions): Commander {
  checkOptions('Commander', options, optionNames);
  const { ageMsMax, rampMs, interpolationMs, watchdogMs } = options;
  for (const [name, value] of Object.entries({ ageMsMax, watchdogMs })) checkTime(`Commander ${name}`, value);
  for (const [name, value] of Object.entries({ rampMs, interpolationMs })) {
    checkTime(`Commander ${name}`, value, { orZero: true });
  }
  let safe = safeActionOf(options.safeAction);
  let newest: Answer | undefined;
  /** From `from` to `target` since `setAtMs`, and to the safe action since `expiresAtMs`. */
  let from: Float32Array = safe;
  let target: Float32Array = safe;
  let setAtMs = 0;
  let expiresAtMs = Number.NEGATIVE_INFINITY;

  const acting = (nowMs: number) => between(from, target, share(nowMs - setAtMs, interpolationMs));

  function command(nowMs: number): Float32Array {
    if (nowMs <= expiresAtMs) return acting(nowMs);
    return between(acting(expiresAtMs), safe, share(nowMs - expiresAtMs, rampMs));
  }

  return {
    command,
    ageMs: (nowMs) => (newest === undefined ? Number.POSITIVE_INFINITY : nowMs - newest.observedAtMs),
    take(answer) {
      if (answer.action.length !== safe.length) {
        const [expected, actual] = [`${safe.length} values, as the safe action has`, `${answer.action.length}`];
        throw failedPrecondition({ where: 'Commander action', expected, actual });
      }
      if (newest !== undefined && answer.observedAtMs <= newest.observedAtMs) return false;
      newest = answer;
      return true;
    },
    setSafeAction(action) {
      safe = safeActionOf(action, safe.length);
    },
    decide(nowMs, observedAtMs) {
      if (newest === undefined || nowMs - newest.observedAtMs > ageMsMax) {
        return nowMs - expiresAtMs < rampMs ? 'ramp' : 'safe';
      }
      if (newest.action !== target || nowMs > expiresAtMs) {
        from = command(nowMs);
        target = newest.action;
        setAtMs = nowMs;
      }
      expiresAtMs = Math.min(nowMs + watchdogMs, newest.observedAtMs + ageMsMax);
      return newest.observedAtMs >= observedAtMs ? 'fresh' : 'hold';
    },
  };
}

/** A copy. @param size how many values it has to have, where that is known */
function safeActionOf(action: ArrayLike<number>, size?: number): Float32Array {
  const isList = typeof action === 'object' && action !== null;
  const given = Float32Array.from(isList ? action : []);
  const fits = size === undefined ? given.length > 0 : given.length === size;
  if (fits && given.every(Number.isFinite)) return given;
  const expected = `${size ?? 'one or more'} finite values`;
  const actual = isList ? `[${given.join(', ')}]` : shown(action);
  throw invalidArgument({ where: 'Commander safe action', expected, actual });
}

/** How much of a duration is over, from 0 to 1. */
const share = (elapsedMs: number, durationMs: number): number =>
  elapsedMs >= durationMs ? 1 : Math.max(0, elapsedMs / durationMs);

const between = (from: Float32Array, to: Float32Array, part: number): Float32Array =>
  Float32Array.from(from, (value, i) => (part === 1 ? to[i]! : value + part * (to[i]! - value)));
