/** How long a thread has been in a call, and waited for a processor. */

import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { expect, onTestFinished, test, vi } from 'vitest';
import { waitedMsOf, watchCalls } from '../../src/onnx/call-watch.ts';

/** Looks, each with the count of calls and the waiting so far, at an interval of 100 ms. */
const looksAt = (looks: readonly (readonly [count: number, waitedMs: number])[]) => {
  let i = 0;
  const look = watchCalls({ count: () => looks[i]![0], waitedMs: () => looks[i]![1] });
  return looks.map(() => {
    const { takenMs, waitedMs } = look(100);
    i++;
    return [takenMs, waitedMs];
  });
};

test('the intervals that one call lasts are counted, and what it waited in them', () => {
  const looks = [
    [0, 5000],
    [1, 5000],
    [1, 5040],
    [1, 5140],
    [2, 5140],
    [3, 5150],
    [5, 5190],
    [5, 5190],
    // This process was late itself.
    [5, 5990],
  ] as const;
  const [none, hundred] = [
    [0, 0],
    [100, 0],
  ];
  expect(looksAt(looks)).toEqual([none, none, [100, 40], [200, 140], none, none, none, hundred, [200, 200]]);
});

const linux = process.platform === 'linux' && spawnSync('taskset', ['--version']).status === 0;

test.runIf(linux)('a thread that shares its processor is seen to wait', { timeout: 60_000 }, async () => {
  const busy = `const { readlinkSync } = require('node:fs'); const { parentPort } = require('node:worker_threads');
    parentPort.postMessage(Number(readlinkSync('/proc/thread-self').split('/').at(-1))); for (;;);`;
  const ids = await Promise.all(
    [1, 2].map(async () => {
      const worker = new Worker(busy, { eval: true });
      onTestFinished(async () => {
        await worker.terminate();
      });
      return new Promise<number>((resolve) => worker.once('message', resolve));
    }),
  );
  for (const id of ids) spawnSync('taskset', ['-pc', `${availableParallelism() - 1}`, `${id}`]);
  const waitedMs = () => ids.reduce((sum, id) => sum + waitedMsOf(id), 0);
  const before = waitedMs();
  await vi.waitFor(() => expect(waitedMs() - before).toBeGreaterThan(100), { timeout: 50_000, interval: 50 });
  expect(waitedMsOf(2 ** 30)).toBe(0);
});
