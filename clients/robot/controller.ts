/**
 * A control loop at a fixed rate: observes, asks the server, applies a command, on a grid of periods that does not drift. Whatever
 * becomes of the server, every cycle has a command; which one is the commander's to say.
 */

import { HyperpolicyError, invalidArgument } from '../../src/contract/errors.ts';
import type { ActStream } from '../typescript/act-stream.ts';
import type { TensorLike } from '../typescript/tensor.ts';
import { type Clock, systemClock } from './clock.ts';
import { type CommanderOptions, createCommander } from './commander.ts';
import { type Cycle, type CycleSummary, createCycleLog } from './cycle-log.ts';

export type ControllerOptions = Pick<CommanderOptions, 'safeAction'> &
  Partial<CommanderOptions> & {
    /** Gives the actions. Open it with `resume`, and with `newestWins`, so that the server answers no request that is overtaken. */
    readonly stream: Pick<ActStream, 'act'>;
    /** [O]; called once a cycle. What it throws ends the run. */
    readonly observe: () => TensorLike;
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

export type Controller = {
  /**
   * Runs until the count of cycles or the abort of the signal, and resolves with what they come to. The last command stays applied: see to it
   * that the actuators are left as they should be.
   */
  run(until: { readonly cycleCount?: number; readonly signal?: AbortSignal }): Promise<CycleSummary>;
  /**
   * What actuators that are faster than the loop get, [A]: interpolated, and on the way to safe where the loop stands still.
   * @param atMs of the controller's clock; now unless given
   */
  command(atMs?: number): Float32Array;
  cycles(): readonly Cycle[];
};

/**
 * Of what is not given: `ageMsMax` is ten periods, `rampMs` twenty, `interpolationMs` 0, `watchdogMs` three periods.
 * @throws HyperpolicyError invalid_argument naming the option
 */
export function createController(options: ControllerOptions): Controller {
  const { stream, observe, apply, periodMs = 10, logCycleCountMax = 60_000, clock = systemClock } = options;
  if (!(periodMs > 0)) {
    throw invalidArgument({ where: 'createController periodMs', expected: 'above 0', actual: String(periodMs) });
  }
  const { safeAction, ageMsMax = 10 * periodMs, rampMs = 20 * periodMs } = options;
  const { interpolationMs = 0, watchdogMs = 3 * periodMs, answerMsMax = periodMs / 2 } = options;
  const commander = createCommander({ safeAction, ageMsMax, rampMs, interpolationMs, watchdogMs });
  const log = createCycleLog(logCycleCountMax);
  let version = 0;
  let problem: string | undefined;

  /** Resolves with whether an answer came; never rejects. */
  async function ask(observation: TensorLike, observedAtMs: number): Promise<boolean> {
    try {
      const result = await stream.act({ observation }, { timeoutMs: ageMsMax });
      // A stand-in of the stream is no answer: what to do without one is the commander's.
      if (result.fallback !== undefined) return false;
      commander.take({ action: result.action.values, observedAtMs });
      version = result.version;
      problem = undefined;
      return true;
    } catch (error) {
      const kind = error instanceof HyperpolicyError ? error.kind : 'internal';
      if (kind !== 'superseded') problem = kind;
      return false;
    }
  }

  async function cycle(index: number, dueMs: number, skippedCount: number): Promise<Cycle> {
    const startMs = clock.nowMs();
    const observation = observe();
    const observedAtMs = clock.nowMs();
    let latencyMs: number | undefined;
    const answered = ask(observation, observedAtMs).then((came) => {
      if (came) latencyMs = clock.nowMs() - observedAtMs;
    });
    await atMost(clock, startMs + answerMsMax, answered);
    const nowMs = clock.nowMs();
    const mode = commander.decide(nowMs, observedAtMs);
    const done: Cycle = {
      index,
      dueMs,
      jitterMs: startMs - dueMs,
      tookMs: nowMs - startMs,
      mode,
      ageMs: commander.ageMs(nowMs),
      latencyMs,
      version,
      missed: nowMs >= dueMs + periodMs,
      skippedCount,
      problem,
      command: commander.command(nowMs),
    };
    apply(done.command, done);
    log.add(done);
    return done;
  }

  return {
    command: (atMs = clock.nowMs()) => commander.command(atMs),
    cycles: log.cycles,
    async run({ cycleCount = Number.POSITIVE_INFINITY, signal }) {
      const beginMs = clock.nowMs();
      let next = 0;
      for (let done = 0; done < cycleCount && !signal?.aborted; done++) {
        await clock.sleepUntil(beginMs + next * periodMs);
        // Where the loop stood still, the periods that are wholly over are passed over: their observations cannot be made any more.
        const index = Math.max(next, Math.floor((clock.nowMs() - beginMs) / periodMs));
        await cycle(index, beginMs + index * periodMs, index - next);
        next = index + 1;
      }
      return log.summary();
    },
  };
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
