import { describe, expect, test } from 'vitest';
import type { HeavyGraph } from '../../server/compute-pool.ts';
import { createContextCache } from '../../server/context-cache.ts';
import { weightLayout } from '../../server/generated-weights.ts';
import { distinctRows } from '../../server/tensors.ts';
import { createWeightSource } from '../../server/weight-source.ts';
import { floatTensor, type TensorMap } from '../../src/onnx/session.ts';

const layout = weightLayout({
  file: 'p.onnx',
  inputs: [],
  outputs: [
    { name: 'w0', dtype: 'float32', shape: ['K', 2, 1] },
    { name: 'b0', dtype: 'float32', shape: ['K', 1] },
  ],
});

/** A primary whose weights are known: w0 = (10 c, 20 c), b0 = 30 c. Runs are dispatched by hand where asked. */
function createPrimary({ byHand = false } = {}) {
  const runs: number[][] = [];
  const waiting: { settle(error?: Error): void }[] = [];
  const primary: HeavyGraph = {
    inputNames: ['context'],
    outputNames: ['w0', 'b0'],
    run({ context }) {
      const values = [...(context!.data as Float32Array)];
      runs.push(values);
      const result: TensorMap = {
        w0: floatTensor(Float32Array.from(values.flatMap((c) => [10 * c, 20 * c])), [values.length, 2, 1]),
        b0: floatTensor(Float32Array.from(values.map((c) => 30 * c)), [values.length, 1]),
      };
      if (!byHand) return result;
      return new Promise<TensorMap>((resolve, reject) => {
        waiting.push({ settle: (error) => (error === undefined ? resolve(result) : reject(error)) });
      });
    },
    dispose: () => {},
  };
  const cache = createContextCache({ bytesMax: 1_000_000 });
  const source = createWeightSource({
    primary,
    layout,
    inputName: 'context',
    inputSize: 1,
    cache,
    keyPrefix: '0/',
  });
  const feedsFor = (...contexts: number[]) =>
    source.feedsFor(distinctRows({ values: Float32Array.from(contexts), rowCount: contexts.length }, 1));
  return { feedsFor, runs, waiting, cache };
}

const values = (feeds: TensorMap) => ({
  w0: [...(feeds.w0!.data as Float32Array)],
  b0: [...(feeds.b0!.data as Float32Array)],
});

describe('the weight source', () => {
  test('generates only what is not known, and joins in the order of the request', async () => {
    const { feedsFor, runs } = createPrimary();
    await feedsFor(1, 2);
    expect(values(await feedsFor(2, 3, 1))).toEqual({ w0: [20, 40, 30, 60, 10, 20], b0: [60, 90, 30] });
    expect(runs).toEqual([[1, 2], [3]]);
  });

  test('answers at once where everything is known', async () => {
    const { feedsFor, runs } = createPrimary();
    await feedsFor(1, 2);
    const feeds = feedsFor(2);
    expect(feeds).not.toBeInstanceOf(Promise);
    expect((feeds as TensorMap).w0!.dims).toEqual([1, 2, 1]);
    expect(values(feeds as TensorMap)).toEqual({ w0: [20, 40], b0: [60] });
    expect(runs).toHaveLength(1);
  });

  test('a context that is being generated is waited for, not generated again', async () => {
    const { feedsFor, runs, waiting } = createPrimary({ byHand: true });
    const first = feedsFor(1, 2) as Promise<TensorMap>;
    const second = feedsFor(2, 3) as Promise<TensorMap>;
    const third = feedsFor(2) as Promise<TensorMap>;
    expect(runs).toEqual([[1, 2], [3]]);
    // The other way round: who waits for both must not depend on their order.
    waiting[1]!.settle();
    waiting[0]!.settle();
    expect(values(await first)).toEqual({ w0: [10, 20, 20, 40], b0: [30, 60] });
    expect(values(await second)).toEqual({ w0: [20, 40, 30, 60], b0: [60, 90] });
    expect(values(await third)).toEqual({ w0: [20, 40], b0: [60] });
  });

  test('a failed generation fails those who need it, is not kept, and the next request tries again', async () => {
    const { feedsFor, runs, waiting, cache } = createPrimary({ byHand: true });
    const first = feedsFor(1) as Promise<TensorMap>;
    const second = feedsFor(1) as Promise<TensorMap>;
    waiting[0]!.settle(new Error('worker lost'));
    await expect(first).rejects.toThrow('worker lost');
    await expect(second).rejects.toThrow('worker lost');
    expect(cache.inFlightCount).toBe(0);
    const again = feedsFor(1) as Promise<TensorMap>;
    waiting[1]!.settle();
    expect(values(await again)).toEqual({ w0: [10, 20], b0: [30] });
    expect(runs).toEqual([[1], [1]]);
  });
});
