/**
 * A control loop at a fixed rate: observes, asks the server, applies a command, on a grid of periods that does not drift. Every
 * cycle has a command, also without the server; the commander decides which.
 */

import { HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import type { ActStream } from '../typescript/act-stream.ts';
import {
  checkFunction,
  checkFunctions,
  checkInteger,
  checkOptions,
  checkSignal,
  checkTime,
  shown,
} from '../typescript/checks.ts';
import type { TensorLike } from '../typescript/tensor.ts';
import { type Clock, systemClock } from './clock.ts';
import { type Commander, type CommanderOptions, createCommander } from './commander.ts';
import { type Cycle, type CycleLog, type CycleSummary, createCycleLog } from './cycle-log.ts';

/** An observation that was there before it was asked for, as one that a sensor brings at its own pace. */
export type Observed = {
  /** [O] */
  readonly observation: TensorLike;
  /** When it was made, of the controller's clock (`performance.now()` unless another is given): its age counts from then. */
  readonly observedAtMs: number;
};

export type ControllerOptions = Pick<CommanderOptions, 'safeAction'> &
  Partial<CommanderOptions> & {
    /** Gives the actions. Open it with `resume`, and with `newestWins`, so that the server answers no request that is overtaken. */
    readonly stream: Pick<ActStream, 'act'>;
    /**
     * [O]; called once a cycle. It counts as made when it is returned, unless its time comes with it. What it throws ends the run, as does a
     * time that is still to come.
     */
    readonly observe: () => TensorLike | Observed;
    /**
     * Where no single action is safe: gives the safe action for an observation, [A], in place of `safeAction`. Called once a cycle, so that it
     * is ready when an answer is missing; what it throws ends the run. While the loop stands still its last one stays.
     */
    readonly safePolicy?: (observation: TensorLike) => ArrayLike<number>;
    /** Gets the command, [A], once a cycle. What it throws ends the run. */
    readonly apply: (command: Float32Array, cycle: Cycle) => void;
    /** 10 unless given: 100 Hz. */
    readonly periodMs?: number;
    /** How long a cycle waits for the answer to its own observation; half a period unless given. A later one serves the next cycles. */
    readonly answerMsMax?: number;
    /** Cycles that the log keeps; 60000 unless given. */
    readonly logCycleCountMax?: number;
    readonly clock?: Clock;
  };

export type RunOptions = {
  /** Without end unless given. */
  readonly cycleCount?: number;
  readonly signal?: AbortSignal;
};

export type Controller = {
  /**
   * Runs until the count of cycles or the abort of the signal, and resolves with what they come to. The last command stays applied: see to it
   * that the actuators are left as they should be.
   * @throws HyperpolicyError invalid_argument naming the option
   */
  run(until: RunOptions): Promise<CycleSummary>;
  /**
   * What actuators that are faster than the loop get, [A]: interpolated, and on the way to safe where the loop stands still.
   * @param atMs of the controller's clock; now unless given
   */
  command(atMs?: number): Float32Array;
  cycles(): readonly Cycle[];
};

/**
 * Defaults: `ageMsMax` is ten periods, `rampMs` twenty, `interpolationMs` 0, `watchdogMs` three periods.
 * @throws HyperpolicyError invalid_argument naming the option
 */
export function createController(options: ControllerOptions): Controller {
  checkControllerOptions('createController', options);
  const { periodMs = 10, clock = systemClock } = options;
  const loop = new ControlLoop({ ...options, periodMs, clock });
  return {
    run: (until) => loop.run(until),
    command: (atMs = clock.nowMs()) => loop.command(atMs),
    cycles: () => loop.cycles(),
  };
}

const optionNames = [
  'stream',
  'safeAction',
  'safePolicy',
  'observe',
  'apply',
  'periodMs',
  'answerMsMax',
  'ageMsMax',
  'rampMs',
  'interpolationMs',
  'watchdogMs',
  'logCycleCountMax',
  'clock',
] as const satisfies readonly (keyof ControllerOptions)[];

/** Those of the commander are its own to check. @throws HyperpolicyError invalid_argument naming the option */
function checkControllerOptions(where: string, given: ControllerOptions): void {
  checkOptions(where, given, optionNames);
  const { stream, observe, apply, safePolicy, periodMs, answerMsMax, logCycleCountMax, clock } = given;
  checkFunctions(`${where} stream`, stream, ['act']);
  for (const [name, value] of Object.entries({ observe, apply })) checkFunction(`${where} ${name}`, value);
  if (safePolicy !== undefined) checkFunction(`${where} safePolicy`, safePolicy);
  for (const [name, value] of Object.entries({ periodMs, answerMsMax })) {
    if (value !== undefined) checkTime(`${where} ${name}`, value);
  }
  if (logCycleCountMax !== undefined) checkInteger(`${where} logCycleCountMax`, logCycleCountMax, 1, 2 ** 31 - 1);
  if (clock !== undefined) checkFunctions(`${where} clock`, clock, ['nowMs', 'sleepUntil', 'callAt']);
}

function checkRunOptions(where: string, given: RunOptions): void {
  checkOptions(where, given, ['cycleCount', 'signal']);
  const { cycleCount = 0, signal } = given;
  if (cycleCount !== Number.POSITIVE_INFINITY) {
    checkInteger(`${where} cycleCount`, cycleCount, 0, Number.MAX_SAFE_INTEGER);
  }
  if (signal !== undefined) checkSignal(`${where} signal`, signal);
}

type LoopOptions = ControllerOptions & Required<Pick<ControllerOptions, 'periodMs' | 'clock'>>;

class ControlLoop {
  readonly #options: LoopOptions;
  readonly #ageMsMax: number;
  readonly #commander: Commander;
  readonly #log: CycleLog;
  #version = 0;
  #problem: string | undefined;

  constructor(options: LoopOptions) {
    const { periodMs, safeAction, ageMsMax = 10 * periodMs, rampMs = 20 * periodMs } = options;
    const { interpolationMs = 0, watchdogMs = 3 * periodMs, logCycleCountMax = 60_000 } = options;
    this.#options = options;
    this.#ageMsMax = ageMsMax;
    this.#commander = createCommander({ safeAction, ageMsMax, rampMs, interpolationMs, watchdogMs });
    this.#log = createCycleLog(logCycleCountMax);
  }

  async run(until: RunOptions): Promise<CycleSummary> {
    checkRunOptions('Controller run', until);
    const { cycleCount = Number.POSITIVE_INFINITY, signal } = until;
    const { clock, periodMs } = this.#options;
    const beginMs = clock.nowMs();
    let next = 0;
    for (let done = 0; done < cycleCount && !signal?.aborted; done++) {
      await clock.sleepUntil(beginMs + next * periodMs);
      // After a standstill of the loop, the periods that are wholly over are skipped: their observations cannot be made any more.
      const index = Math.max(next, Math.floor((clock.nowMs() - beginMs) / periodMs));
      await this.#cycle(index, beginMs + index * periodMs, index - next);
      next = index + 1;
    }
    return this.#log.summary();
  }

  command(atMs: number): Float32Array {
    return this.#commander.command(atMs);
  }

  cycles(): readonly Cycle[] {
    return this.#log.cycles();
  }

  async #cycle(index: number, dueMs: number, skippedCount: number): Promise<void> {
    const { clock, observe, safePolicy, apply, periodMs, answerMsMax = periodMs / 2 } = this.#options;
    const startMs = clock.nowMs();
    const given = observe();
    const askedAtMs = clock.nowMs();
    const { observation, observedAtMs } = observedOf(given, askedAtMs);
    let latencyMs: number | undefined;
    const answered = this.#ask(observation, observedAtMs).then((came) => {
      if (came) latencyMs = clock.nowMs() - askedAtMs;
    });
    // Before the wait: it is ready where no answer comes.
    if (safePolicy !== undefined) this.#commander.setSafeAction(safePolicy(observation));
    await atMost(clock, startMs + answerMsMax, answered);
    const nowMs = clock.nowMs();
    const mode = this.#commander.decide(nowMs, observedAtMs);
    const done: Cycle = {
      index,
      dueMs,
      jitterMs: startMs - dueMs,
      tookMs: nowMs - startMs,
      mode,
      ageMs: this.#commander.ageMs(nowMs),
      latencyMs,
      version: this.#version,
      missed: nowMs >= dueMs + periodMs,
      skippedCount,
      problem: this.#problem,
      command: this.#commander.command(nowMs),
    };
    apply(done.command, done);
    this.#log.add(done);
  }

  /** Resolves with whether an answer came; never rejects. */
  async #ask(observation: TensorLike, observedAtMs: number): Promise<boolean> {
    try {
      const result = await this.#options.stream.act({ observation }, { timeoutMs: this.#ageMsMax });
      // A stand-in of the stream is no answer: the commander decides what to do without one.
      if (result.fallback !== undefined) return false;
      const isNewest = this.#commander.take({ action: result.action.values, observedAtMs });
      if (isNewest) this.#version = result.version;
      this.#problem = undefined;
      return true;
    } catch (error) {
      const kind = error instanceof HyperpolicyError ? error.kind : 'internal';
      if (kind !== 'superseded') this.#problem = kind;
      return false;
    }
  }
}

/** @throws HyperpolicyError invalid_argument: a time of another clock, by which no age could be told */
function observedOf(given: TensorLike | Observed, nowMs: number): Observed {
  if (typeof given !== 'object' || given === null || !('observedAtMs' in given)) {
    return { observation: given, observedAtMs: nowMs };
  }
  if (Number.isFinite(given.observedAtMs) && given.observedAtMs <= nowMs) return given;
  throw invalidArgument({
    where: 'Controller observe observedAtMs',
    expected: `a time of the controller's clock, at most ${nowMs}`,
    actual: shown(given.observedAtMs),
    remedy: 'Read the clock, performance.now() unless another is given, where the observation is made',
  });
}

/** Resolves when the promise does, at the latest at that time. */
const atMost = (clock: Clock, atMs: number, promise: Promise<void>): Promise<void> =>
  new Promise((resolve) => {
    const forget = clock.callAt(atMs, resolve);
    promise.then(() => {
      forget();
      resolve();
    });
  });
