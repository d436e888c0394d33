import { describe, expect, test } from 'vitest';
import type { HeavyGraph } from '../../../server/compute/compute-pool.ts';
import { ContextCache } from '../../../server/weights/context-cache.ts';
import {
  collectWeights,
  joinWeights,
  type WeightBatch,
  weightLayout,
} from '../../../server/weights/generated-weights.ts';
import { WeightSource } from '../../../server/weights/weight-source.ts';
import { BlockArena } from '../../../src/memory/block-arena.ts';
import { floatTensor, type TensorMap } from '../../../src/onnx/session.ts';

const layout = weightLayout({
  file: 'p.onnx',
  inputs: [],
  outputs: [
    { name: 'w0', dtype: 'float32', shape: ['K', 2, 1] },
    { name: 'b0', dtype: 'float32', shape: ['K', 1] },
  ],
});

/** A primary whose weights are known: w0 = (10 c, 20 c), b0 = 30 c. Runs are dispatched by hand. */
function createPrimary({ bytesMax = 1_000_000 } = {}) {
  const jobs: { readonly contexts: number[]; readonly deadline: { atMs: number }; settle(error?: Error): void }[] = [];
  const primary: HeavyGraph = {
    inputs: [],
    outputs: [],
    run: () => Promise.reject(new Error('weights are taken from where they are')),
    runInto({ feeds, deadline, rowCount }, { begin, take }) {
      const contexts = [...(feeds.context!.data as Float32Array)];
      const count = contexts.length;
      const result: TensorMap = {
        w0: floatTensor(Float32Array.from(contexts.flatMap((c) => [10 * c, 20 * c])), [count, 2, 1]),
        b0: floatTensor(Float32Array.from(contexts.map((c) => 30 * c)), [count, 1]),
      };
      return new Promise<void>((resolve, reject) => {
        const settle = (error?: Error) => {
          if (error !== undefined) return reject(error);
          begin?.({ from: 0, count: rowCount });
          take(result, { from: 0, count: rowCount });
          // The memory of a worker thread is used again.
          for (const { data } of Object.values(result)) (data as Float32Array).fill(Number.NaN);
          resolve();
        };
        jobs.push({ contexts, deadline, settle });
      });
    },
    dispose: () => {},
  };
  const cache = new ContextCache({ bytesMax });
  const source = new WeightSource({ primary, layout, inputName: 'context', inputSize: 1, cache, keyPrefix: '0/' });
  const ask = (contexts: number[], deadlineMs = Number.POSITIVE_INFINITY) =>
    source.weightsFor(
      { values: Float32Array.from(contexts), rowCount: contexts.length },
      { deadlineMs, isGone: false },
    );
  /** Asks, runs what is missing at once, and reads the feeds. */
  const settled = async (...contexts: number[]) => {
    const asked = ask(contexts);
    for (const job of jobs) job.settle();
    return values(await asked);
  };
  return { ask, settled, jobs, cache, runs: () => jobs.map(({ contexts }) => contexts) };
}

const values = (batch: WeightBatch) => {
  const feeds = joinWeights(layout, batch);
  return { w0: [...(feeds.w0!.data as Float32Array)], b0: [...(feeds.b0!.data as Float32Array)] };
};

describe('the weight source', () => {
  test('generates only what is not known, and joins in the order of the request', async () => {
    const { settled, runs } = createPrimary();
    await settled(1, 2);
    expect(await settled(2, 3, 1)).toEqual({ w0: [20, 40, 30, 60, 10, 20], b0: [60, 90, 30] });
    expect(runs()).toEqual([[1, 2], [3]]);
  });

  test('answers at once where everything is known', async () => {
    const { ask, settled, jobs } = createPrimary();
    await settled(1, 2);
    const batch = ask([2]);
    expect(batch).not.toBeInstanceOf(Promise);
    expect(joinWeights(layout, batch as WeightBatch).w0!.dims).toEqual([1, 2, 1]);
    expect(values(batch as WeightBatch)).toEqual({ w0: [20, 40], b0: [60] });
    expect(jobs).toHaveLength(1);
  });

  test('serves what does not fit the cache', async () => {
    const { settled, runs } = createPrimary({ bytesMax: 0 });
    expect(await settled(1)).toEqual({ w0: [10, 20], b0: [30] });
    expect(await settled(1, 2)).toEqual({ w0: [10, 20, 20, 40], b0: [30, 60] });
    expect(runs()).toEqual([[1], [1, 2]]);
  });

  test('a context that is being generated is waited for, not generated again', async () => {
    const { ask, jobs, runs } = createPrimary();
    const first = ask([1, 2]) as Promise<WeightBatch>;
    const second = ask([2, 3]) as Promise<WeightBatch>;
    const third = ask([2]) as Promise<WeightBatch>;
    expect(runs()).toEqual([[1, 2], [3]]);
    // The other way round: who waits for both must not depend on their order.
    jobs[1]!.settle();
    jobs[0]!.settle();
    expect(values(await first)).toEqual({ w0: [10, 20, 20, 40], b0: [30, 60] });
    expect(values(await second)).toEqual({ w0: [20, 40, 30, 60], b0: [60, 90] });
    expect(values(await third)).toEqual({ w0: [20, 40], b0: [60] });
  });

  test('who waits for a generation puts off its deadline to the own', () => {
    const { ask, jobs } = createPrimary();
    void ask([1], 100);
    void ask([1], 300);
    void ask([1], 200);
    expect(jobs.map(({ deadline }) => deadline.atMs)).toEqual([300]);
  });

  test('a failed generation fails those who need it, is not kept, and the next request tries again', async () => {
    const { ask, jobs, cache, runs } = createPrimary();
    const first = ask([1]) as Promise<WeightBatch>;
    const second = ask([1]) as Promise<WeightBatch>;
    jobs[0]!.settle(new Error('worker lost'));
    await expect(first).rejects.toThrow('worker lost');
    await expect(second).rejects.toThrow('worker lost');
    expect(cache.inFlightCount).toBe(0);
    const again = ask([1]) as Promise<WeightBatch>;
    jobs[1]!.settle();
    expect(values(await again)).toEqual({ w0: [10, 20], b0: [30] });
    expect(runs()).toEqual([[1], [1]]);
  });
});

describe('collected weights', () => {
  const one = { parts: [{ name: 'b0', shape: [1, 2], size: 2, offset: 0 }], size: 2 };
  const outputs = (...values: number[]) => ({
    b0: floatTensor(Float32Array.from(values), [values.length / 2, 1, 2]),
  });

  test('come in parts, in any order, with room made for them or not', () => {
    const { begin, take, entries } = collectWeights(one, 3);
    begin({ from: 1, count: 2 });
    take(outputs(5, 6, 7, 8), { from: 1, count: 2 });
    take(outputs(3, 4), { from: 0, count: 1 });
    expect(entries.map(({ block }) => [...block])).toEqual([
      [3, 4],
      [5, 6],
      [7, 8],
    ]);
    // Each can be freed alone.
    expect(new Set(entries.map(({ block }) => block.buffer)).size).toBe(3);
  });

  test('in lent blocks are joined by a copy that is not kept: the cache does not count it', () => {
    const { take, entries } = collectWeights(one, 1, new BlockArena(1000));
    take(outputs(5, 6), { from: 0, count: 1 });
    const [entry] = entries;
    expect(entry!.lent).toBeDefined();
    const [tensor] = Object.values(joinWeights(one, { entries }));
    expect(tensor!.data).toEqual(Float32Array.from(entry!.block));
    expect((tensor!.data as Float32Array).buffer).toBeInstanceOf(ArrayBuffer);
    expect(Object.keys(entry!)).not.toContain('feeds');
  });

  test('that are fewer than the contexts are a fault, not zeros', () => {
    expect(() => collectWeights(one, 2).take(outputs(1, 2), { from: 0, count: 2 })).toThrow(
      'generated weights "b0": expected 4 values for 2 contexts, got 2',
    );
  });
});
