/** The control loop on a clock of the test's own: a cycle's times are exact, and nothing waits. */

import { expect, test } from 'vitest';
import { type Clock, type ControllerOptions, type Cycle, createController } from '../../../clients/robot/index.ts';
import type { ActResult } from '../../../clients/typescript/index.ts';
import { unavailable } from '../../../src/contract/errors.ts';

/** Time moves only where somebody sleeps, from one timer to the next. */
function virtualClock(): Clock & { busy(ms: number): void } {
  let nowMs = 0;
  const timers = new Set<{ readonly atMs: number; readonly action: () => void }>();
  const callAt = (atMs: number, action: () => void) => {
    const timer = { atMs, action };
    timers.add(timer);
    return () => void timers.delete(timer);
  };
  let turning = false;
  /** A macrotask, so that what is due has been told before time moves on. */
  const turn = () =>
    setImmediate(() => {
      const next = [...timers].sort((a, b) => a.atMs - b.atMs)[0];
      turning = next !== undefined;
      if (next === undefined) return;
      timers.delete(next);
      nowMs = Math.max(nowMs, next.atMs);
      next.action();
      turn();
    });
  return {
    nowMs: () => nowMs,
    callAt,
    sleepUntil: (atMs) =>
      new Promise((resolve) => {
        callAt(atMs, resolve);
        if (!turning) turn();
        turning = true;
      }),
    busy(ms) {
      nowMs += ms;
    },
  };
}

const answer = (value: number): ActResult => ({
  action: { shape: [1, 1], values: Float32Array.of(value) },
  logProb: undefined,
  seed: undefined,
  fallback: undefined,
  version: 7,
  weightAgeMs: 0,
  sequence: 1n,
  timing: { $typeName: 'hyperpolicy.v1.Timing', totalUs: 0, primaryUs: 0, networkUs: 0, eventLoopDelayUs: 0 },
});

/** @param latencies of each request, milliseconds; undefined is a server that is gone */
async function run(
  latencies: readonly (number | undefined)[],
  more: Partial<ControllerOptions> = {},
  onApply: (cycle: Cycle, busy: (ms: number) => void) => void = () => {},
): Promise<{ cycles: readonly Cycle[]; applied: number[]; summary: object }> {
  const clock = virtualClock();
  let asked = 0;
  const applied: number[] = [];
  const controller = createController({
    safeAction: [0],
    periodMs: 10,
    ageMsMax: 30,
    rampMs: 20,
    clock,
    observe: () => [1],
    stream: {
      act() {
        const number = ++asked;
        const latencyMs = latencies[number - 1];
        if (latencyMs === undefined) {
          return Promise.reject(unavailable({ where: 'Act', expected: 'a server', actual: 'none' }));
        }
        return new Promise((resolve) => clock.callAt(clock.nowMs() + latencyMs, () => resolve(answer(number))));
      },
    },
    apply(command, cycle) {
      applied.push(command[0]!);
      onApply(cycle, clock.busy);
    },
    ...more,
  });
  const summary = await controller.run({ cycleCount: latencies.length });
  return { cycles: controller.cycles(), applied, summary };
}

test('begins every cycle on a grid and applies the answer to its own observation', async () => {
  const { cycles, applied, summary } = await run([1, 2, 3, 4]);
  expect(applied).toEqual([1, 2, 3, 4]);
  expect(cycles.map(({ dueMs }) => dueMs)).toEqual([0, 10, 20, 30]);
  expect(cycles.map(({ latencyMs }) => latencyMs)).toEqual([1, 2, 3, 4]);
  expect(cycles.map(({ mode }) => mode)).toEqual(['fresh', 'fresh', 'fresh', 'fresh']);
  expect(summary).toMatchObject({ cycleCount: 4, cyclesPerSecond: 100, missedCount: 0, skippedCount: 0 });
});

test('an answer that is late by a cycle serves the next one', async () => {
  // A cycle waits 5 ms; the second answer comes at 10 + 8.
  const { cycles, applied } = await run([1, 8, 8, 1]);
  expect(applied).toEqual([1, 1, 2, 4]);
  expect(cycles.map(({ mode }) => mode)).toEqual(['fresh', 'hold', 'hold', 'fresh']);
  expect(cycles.map(({ ageMs }) => ageMs)).toEqual([1, 15, 15, 1]);
});

test('without a server it holds as long as allowed, goes to the safe action, and comes back', async () => {
  const gone = undefined;
  const { cycles, applied } = await run([1, gone, gone, gone, gone, gone, 1]);
  // Refused at once at 10, 20, 30: the action is of 0 and may be 30 old. At 40 and 50 half and all of the ramp is over.
  expect(applied).toEqual([1, 1, 1, 1, 0.5, 0, 7]);
  expect(cycles.map(({ mode }) => mode)).toEqual(['fresh', 'hold', 'hold', 'hold', 'ramp', 'safe', 'fresh']);
  expect(cycles.map(({ problem }) => problem)).toEqual([undefined, ...Array(5).fill('unavailable'), undefined]);
});

test('an answer of another size is dropped, and told', async () => {
  const { cycles, applied } = await run([1, 1], { safeAction: [0, 0] });
  expect(applied).toEqual([0, 0]);
  expect(cycles.map(({ mode, problem }) => [mode, problem])).toEqual(Array(2).fill(['safe', 'failed_precondition']));
});

test('a safe policy gives the safe action of each observation', async () => {
  const gone = undefined;
  let observed = 0;
  const { applied } = await run([1, gone, gone, gone, gone, gone, gone], {
    observe: () => [10 * observed++],
    safePolicy: (observation) => [(observation as number[])[0]! + 1],
  });
  // At 40 half of the ramp from 1 is over, and 41 is safe; from 50 on it is safe.
  expect(applied).toEqual([1, 1, 1, 1, 21, 51, 61]);
});

test('a safe policy whose action does not fit ends the run', async () => {
  await expect(run([1], { safePolicy: () => [0, 0] })).rejects.toThrow(
    'Commander safe action: expected 1 finite values, got [0, 0]',
  );
});

test('a loop that stood still passes the lost periods over and says so', async () => {
  const { cycles, summary } = await run([1, 1, 1, 1], {}, ({ index }, busy) => {
    // Until 26: the cycle of 10 is begun late, that of 20 with it passed over.
    if (index === 0) busy(25);
  });
  expect(cycles.map(({ index }) => index)).toEqual([0, 2, 3, 4]);
  expect(cycles.map(({ jitterMs }) => jitterMs)).toEqual([0, 6, 0, 0]);
  expect(cycles.map(({ skippedCount }) => skippedCount)).toEqual([0, 1, 0, 0]);
  expect(summary).toMatchObject({ skippedCount: 1 });
});

test('a command that is applied when the next cycle is due missed its deadline', async () => {
  const { cycles } = await run([1, 30, 1], { answerMsMax: 12 });
  expect(cycles.map(({ missed }) => missed)).toEqual([false, true, false]);
});

test('between cycles, actuators are taken to the safe action where the loop stands still', async () => {
  const clock = virtualClock();
  const controller = createController({
    safeAction: [0],
    periodMs: 10,
    ageMsMax: 1000,
    rampMs: 20,
    clock,
    observe: () => [1],
    apply: () => {},
    stream: { act: async () => answer(8) },
  });
  await controller.run({ cycleCount: 1 });
  expect(controller.command()).toEqual(Float32Array.of(8));
  // The watchdog waits three periods.
  clock.busy(40);
  expect(controller.command()).toEqual(Float32Array.of(4));
  clock.busy(10);
  expect(controller.command()).toEqual(Float32Array.of(0));
});

test('keeps as many cycles as it may', async () => {
  const { cycles, summary } = await run([1, 1, 1, 1, 1], { logCycleCountMax: 3 });
  expect(cycles.map(({ index }) => index)).toEqual([2, 3, 4]);
  expect(summary).toMatchObject({ cycleCount: 3 });
});

test('the age of an action is that of its observation, also of one that was there before it was asked for', async () => {
  const clock = virtualClock();
  const asked: unknown[] = [];
  const { cycles } = await run(new Array(5).fill(1), {
    clock,
    rampMs: 0,
    // A sensor that is silent after its second value, made at 4 and seen by the cycles from 10 on.
    observe: () => ({ observation: [1], observedAtMs: clock.nowMs() < 10 ? 0 : 4 }),
    stream: {
      act: ({ observation }) => {
        asked.push(observation);
        // A newer version is there from the third request on, for an observation whose action is there already.
        const given = { ...answer(8), version: asked.length < 3 ? 7 : 8 };
        return new Promise((resolve) => clock.callAt(clock.nowMs() + 1, () => resolve(given)));
      },
    },
  });
  expect(asked).toEqual(new Array(5).fill([1]));
  // 4 is 30 old at 34.
  expect(cycles.map(({ ageMs }) => ageMs)).toEqual([1, 7, 17, 27, 37]);
  expect(cycles.map(({ mode }) => mode)).toEqual(['fresh', 'fresh', 'fresh', 'fresh', 'safe']);
  expect(cycles.map(({ latencyMs }) => latencyMs)).toEqual([1, 1, 1, 1, 1]);
  // That which gave the action.
  expect(cycles.map(({ version }) => version)).toEqual([7, 7, 7, 7, 7]);
});

test.each([
  [1, '1'],
  [Number.NaN, 'NaN'],
  [Number.NEGATIVE_INFINITY, '-Infinity'],
  [undefined, 'none'],
])('refuses an observation of %s, by which no age could be told', async (observedAtMs, actual) => {
  const observe = () => ({ observation: [1], observedAtMs: observedAtMs as number });
  await expect(run([1], { observe })).rejects.toThrow(
    `Controller observe observedAtMs: expected a time of the controller's clock, at most 0, got ${actual}. Read the clock`,
  );
});

const loop = { safeAction: [0], observe: () => [1], apply: () => {}, stream: { act: async () => answer(1) } };

test.each<[string, object | undefined, string]>([
  ['a slip', { watchdogms: 5 }, 'createController: expected options among stream, safeAction, '],
  [
    'a period that is none',
    { periodMs: 0 },
    'createController periodMs: expected a number of milliseconds above 0, got 0',
  ],
  ['a text', { answerMsMax: 'soon' }, 'answerMsMax: expected a number of milliseconds above 0, got "soon"'],
  [
    'a log of less than none',
    { logCycleCountMax: -3 },
    'logCycleCountMax: expected an integer from 1 to 2147483647, got -3',
  ],
  ['a time of the commander', { rampMs: '5' }, 'Commander rampMs: expected a number of milliseconds from 0, got "5"'],
  ['no observation', { observe: undefined }, 'createController observe: expected a function, got none'],
  ['a command for nobody', { apply: 'motors' }, 'createController apply: expected a function, got "motors"'],
  [
    'a safe policy that is a list',
    { safePolicy: [0] },
    'createController safePolicy: expected a function, got an array of 1',
  ],
  ['no stream', { stream: undefined }, 'createController stream: expected an object with act, got none'],
  ['a stream without act', { stream: {} }, 'createController stream act: expected a function, got none'],
  [
    'a clock that cannot wait',
    { clock: { nowMs: () => 0 } },
    'createController clock sleepUntil: expected a function, got none',
  ],
  ['no safe action', { safeAction: undefined }, 'Commander safe action: expected one or more finite values, got none'],
  [
    'a text as the safe action',
    { safeAction: '12' },
    'Commander safe action: expected one or more finite values, got "12"',
  ],
])('refuses %s', (_, wrong, text) => {
  expect(() => createController({ ...loop, ...wrong })).toThrow(text);
});

test.each<[string, unknown, string]>([
  ['nothing', undefined, 'Controller run: expected an object of options, got none'],
  ['a slip', { cycles: 9 }, 'Controller run: expected options among cycleCount, signal, got "cycles"'],
  ['a text', { cycleCount: '2' }, 'Controller run cycleCount: expected an integer from 0 to 9007199254740991, got "2"'],
  ['a time', { signal: 5 }, 'Controller run signal: expected an AbortSignal, got 5'],
])('refuses a run until %s', async (_, until, text) => {
  await expect(createController(loop).run(until as object)).rejects.toThrow(text);
});

test('takes what is given as undefined as not given, and runs until its signal', async () => {
  const none = { periodMs: undefined, answerMsMax: undefined, logCycleCountMax: undefined, clock: undefined };
  const controller = createController({ ...loop, ...(none as object) });
  const summary = await controller.run({ cycleCount: Number.POSITIVE_INFINITY, signal: AbortSignal.abort() });
  expect(summary.cycleCount).toBe(0);
});
