/** Waiting between threads, and where a worker's file is. */

import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished, test, vi } from 'vitest';
import { controlSize, controlSlot, waitForItems } from '../../../trainer/machine/claims.ts';
import { shareArrays, type TakeArray } from '../../../trainer/machine/shared-arrays.ts';
import { createWaiter } from '../../../trainer/machine/wait.ts';
import { workerFile } from '../../../trainer/machine/worker-file.ts';

/** A thread that stores 7 at place 1 once place 0 is 1, and wakes whoever sleeps on it. */
async function answerer(values: Int32Array): Promise<Worker> {
  const thread = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     parentPort.postMessage('ready');
     Atomics.wait(workerData, 0, 0);
     Atomics.store(workerData, 1, 7);
     Atomics.notify(workerData, 1);`,
    { eval: true, workerData: values },
  );
  await new Promise((resolve) => thread.once('message', resolve));
  return thread;
}

describe('a waiter', () => {
  it.each([0, 1000])('returns what another thread stores, asleep or awake (spin %i ms)', async (spinMs) => {
    const values = new Int32Array(new SharedArrayBuffer(8));
    const thread = await answerer(values);
    Atomics.store(values, 0, 1);
    Atomics.notify(values, 0);
    expect(createWaiter(spinMs).while(values, 1, 0)).toBe(7);
    await thread.terminate();
  });

  it('returns at once where the value has changed already', () => {
    const values = new Int32Array(new SharedArrayBuffer(4));
    values[0] = 3;
    for (const spinMs of [0, 5]) expect(createWaiter(spinMs).while(values, 0, 2)).toBe(3);
  });

  it('gives the old value back after its timeout, also when it slept before', () => {
    const values = new Int32Array(new SharedArrayBuffer(4));
    const waiter = createWaiter(0.01);
    expect(waiter.while(values, 0, 0, 2)).toBe(0);
    expect(waiter.while(values, 0, 0, 2)).toBe(0);
    values[0] = 1;
    expect(waiter.while(values, 0, 0, 2)).toBe(1);
  });
});

describe('two minutes for an item', () => {
  /** Waits for the one item of an order, by a clock of its own. @param sleep gets the longest sleep, and gives how long it was */
  function waitWith(sleep: (timeoutMs: number, control: Int32Array) => number): () => void {
    const control = new Int32Array(new SharedArrayBuffer(4 * controlSize));
    let now = 0;
    const clock = vi.spyOn(performance, 'now').mockImplementation(() => now);
    const wait = vi.spyOn(Atomics, 'wait').mockImplementation((_values, _index, _value, timeoutMs) => {
      now += sleep(timeoutMs!, control);
      return 'timed-out';
    });
    onTestFinished(() => {
      clock.mockRestore();
      wait.mockRestore();
    });
    return () => waitForItems({ control, claims: new Int32Array(1) }, createWaiter(0), 'rollout: rows');
  }

  it('do not pass in a pause of the process: its threads could not work either', () => {
    let sleepCount = 0;
    const wait = waitWith((_, control) => {
      if (++sleepCount === 60) Atomics.store(control, controlSlot.done, 1);
      return 122_000;
    });
    expect(wait).not.toThrow();
    expect(sleepCount).toBe(60);
  });

  it('pass while it works on', () => {
    let sleptMs = 0;
    const wait = waitWith((timeoutMs) => {
      sleptMs += timeoutMs;
      return timeoutMs;
    });
    expect(wait).toThrow('rollout: rows: expected 1 within 120000 ms, got 0');
    expect(sleptMs).toBe(120_000);
  });
});

test.each(['while', 'whileInTurns'] as const)('a wake without a change ends no wait (%s)', async (wait) => {
  const values = new Int32Array(new SharedArrayBuffer(8));
  const thread = new Worker(
    `const { parentPort, workerData } = require('node:worker_threads');
     parentPort.postMessage('ready');
     while (Atomics.notify(workerData, 1) === 0);
     setTimeout(() => { Atomics.store(workerData, 1, 7); Atomics.notify(workerData, 1); }, 20);`,
    { eval: true, workerData: values },
  );
  await new Promise((resolve) => thread.once('message', resolve));
  expect(await createWaiter(0)[wait](values, 1, 0)).toBe(7);
  await thread.terminate();
});

describe("a worker's file", () => {
  it('lies beside a compiled module', () => {
    expect(workerFile('file:///app/dist/trainer/rollout/team.js', 'worker').href).toBe(
      'file:///app/dist/trainer/rollout/worker.js',
    );
  });

  it('is the built one for a source', () => {
    const asker = new URL('../../../trainer/rollout/team.ts', import.meta.url).href;
    expect(workerFile(asker, 'worker').pathname).toMatch(/\/dist\/trainer\/rollout\/worker\.js$/);
    expect(() => workerFile(asker, 'nobody')).toThrow(
      /expected a built file at .*nobody\.js, got none. Run npm run build/,
    );
  });
});

test('arrays are the same memory wherever they are laid out, each at a cache line of its own', () => {
  const layOut = (take: TakeArray) => ({
    few: take(Uint8Array, 3),
    none: take(Float32Array, 0),
    many: take(Float64Array, 9),
    last: take(Int32Array, 1),
  });
  const first = shareArrays(layOut);
  const second = shareArrays(layOut, first.memory);
  first.many[8] = 0.5;
  second.last[0] = 7;
  expect([second.many[8], first.last[0]]).toEqual([0.5, 7]);
  // 3 bytes are a line, none are none, 72 bytes are two, 4 bytes are one.
  expect([first.few, first.none, first.many, first.last].map(({ byteOffset }) => byteOffset)).toEqual([0, 64, 64, 192]);
  expect(first.memory.byteLength).toBe(256);
});
