/** Threads that are given up: the one that takes the place has what the others have. */

import { expect, test, vi } from 'vitest';
import type { OpenRequest } from '../../src/onnx/worker-messages.ts';
import { createThreads } from '../../src/onnx/worker-threads.ts';
import { shareInSlices } from '../../src/pacing/in-slices.ts';
import { withSlowRuns } from '../endless-graph.ts';
import { exponential } from './graphs.ts';

const ready = vi.fn();
const lost = vi.fn();

/** @param steps of a first run, some milliseconds each */
const opening = async (session: number, steps: number): Promise<OpenRequest> => ({
  session,
  model: await shareInSlices(withSlowRuns(exponential(1), 'x', steps)),
  options: { threadCount: 1 },
  warmUpRowCounts: [1],
  restRatio: 0.01,
  name: `graph ${session}`,
});

test('a session that is being opened meanwhile is opened on the new thread too', { timeout: 120_000 }, async () => {
  const threads = createThreads({
    workerCount: 2,
    runMsMax: 300,
    loadMsMax: 100_000,
    onLost: lost,
    onReady: ready,
  });
  const [first, second] = threads.all;
  const done = threads.open(await opening(1, 300));
  await vi.waitFor(() => expect(first!.sessions.has(1)).toBe(true), 60_000);
  expect(second!.sessions.has(1)).toBe(false);
  // Nobody counts this opening, so that it is one that takes too long.
  const hung = first!.ask('open', await opening(2, 800));
  await expect(hung).rejects.toThrow('expected a run that ends within 300 ms');
  await done;
  await vi.waitFor(() => expect(ready).toHaveBeenCalledTimes(1), 60_000);
  expect(threads.all).not.toContain(first);
  expect(threads.all.map(({ sessions }) => [...sessions])).toEqual([[1], [1]]);
  expect(lost.mock.calls.map(([session]) => session)).toEqual([2]);
  await threads.end();
});
