/** One timer for many requests: it wakes for the first, and keeps the process alive only while one waits. */

import { afterEach, expect, onTestFinished, test, vi } from 'vitest';
import { createDueTimer } from '../../clients/typescript/due-timer.ts';

afterEach(() => void vi.useRealTimers());

function counted() {
  vi.useFakeTimers();
  const wokenAtMs: number[] = [];
  const beginMs = performance.now();
  const timer = createDueTimer(() => wokenAtMs.push(performance.now() - beginMs));
  return { wokenAtMs, set: (ms: number) => timer.set(beginMs + ms), stop: timer.stop };
}

test('wakes for the first of what is due, and no more until it is set again', () => {
  const { wokenAtMs, set } = counted();
  set(30);
  set(10);
  set(20);
  vi.advanceTimersByTime(100);
  expect(wokenAtMs).toEqual([10]);
  set(130);
  vi.advanceTimersByTime(100);
  expect(wokenAtMs).toEqual([10, 130]);
});

test('wakes nobody once it is stopped', () => {
  const { wokenAtMs, set, stop } = counted();
  set(10);
  stop();
  vi.advanceTimersByTime(100);
  expect(wokenAtMs).toEqual([]);
});

test('keeps the process alive only while something waits', () => {
  const timer = createDueTimer(() => {});
  onTestFinished(timer.stop);
  const timerCount = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const others = timerCount();
  timer.set(performance.now() + 60_000);
  expect(timerCount()).toBe(others + 1);
  timer.rest();
  expect(timerCount()).toBe(others);
  timer.set(performance.now() + 90_000);
  expect(timerCount()).toBe(others + 1);
});
