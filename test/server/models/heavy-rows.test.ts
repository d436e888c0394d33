import { describe, expect, test } from 'vitest';
import { measureHeavyRows } from '../../../server/models/heavy-rows.ts';
import { startTestServer } from '../fixtures.ts';

/** Runs that take as long as they are told to, on a clock of their own. */
function createMachine({ inlineMs, pooledMs }: Record<'inlineMs' | 'pooledMs', (rowCount: number) => number>) {
  let nowMs = 0;
  const runs = { inline: [] as number[], pooled: [] as number[] };
  /** Each size's first run is the slowest, as it is where the processor has something else to do. */
  const take = (list: number[], rowCount: number, ms: number) => {
    nowMs += list.includes(rowCount) ? ms : 10 * ms;
    list.push(rowCount);
  };
  const measure = (rowCountMin = 1, rowCountMax = 4096) =>
    measureHeavyRows({
      inline: (rowCount) => take(runs.inline, rowCount, inlineMs(rowCount)),
      pooled: async (rowCount) => take(runs.pooled, rowCount, pooledMs(rowCount)),
      rowCountMin,
      rowCountMax,
      clock: () => nowMs,
    });
  return { measure, runs };
}

describe('batches go to the pool', () => {
  test('from the size on that would keep the event loop for 0.2 ms, however slow the pool is', async () => {
    const { measure, runs } = createMachine({ inlineMs: (rows) => 0.02 + 0.001 * rows, pooledMs: () => 5 });
    // 128 rows: 0.148 ms; 256: 0.276.
    expect(await measure()).toEqual({ rowCount: 256, inlineUs: 276, pooledUs: undefined });
    expect(Math.max(...runs.inline)).toBe(256);
    expect(Math.max(...runs.pooled)).toBe(128);
  });

  test('from the size on at which the pool answers sooner', async () => {
    const { measure, runs } = createMachine({
      inlineMs: (rows) => 0.01 + 0.001 * rows,
      pooledMs: (rows) => 0.06 + 0.0001 * rows,
    });
    // 32 rows: 0.042 against 0.0632 ms; 64: 0.074 against 0.0664.
    expect(await measure()).toEqual({ rowCount: 64, inlineUs: 74, pooledUs: 66 });
    expect(new Set(runs.pooled)).toEqual(new Set([1, 2, 4, 8, 16, 32, 64]));
  });

  test('never below the least size, and never where no request is so large', async () => {
    const fast = { inlineMs: () => 0.1, pooledMs: () => 0.01 };
    expect((await createMachine(fast).measure(48)).rowCount).toBe(48);
    const none = { rowCount: Number.POSITIVE_INFINITY, inlineUs: undefined, pooledUs: undefined };
    expect(await createMachine(fast).measure(48, 32)).toEqual(none);
    const slow = { inlineMs: () => 0.1, pooledMs: () => 0.2 };
    const { measure, runs } = createMachine(slow);
    expect(await measure()).toEqual(none);
    // Thirteen sizes, five times each on either side.
    expect([runs.inline.length, runs.pooled.length]).toEqual([65, 65]);
  });

  test('of a real policy, and the log says from which size on; both ways give the same', async () => {
    const sizes = { observationSize: 20, actionSize: 4, hiddenSize: 256 };
    const { client, lines } = await startTestServer([
      { model: 'wide', policy: 'plain', critic: 'none', contextSize: 3, stochastic: true, ...sizes },
      { model: 'hyper', policy: 'hyper', critic: 'none', contextSize: 3, ...sizes },
    ]);
    const found = lines.filter(({ msg }) => msg === 'batches from this size on run in the pool');
    // The weights of the other are generated: its rows run one by one always.
    expect(found).toHaveLength(1);
    const { graph, rowCount, inlineUs } = found[0]!;
    expect(graph).toBe('policy.onnx');
    expect(rowCount).toBeLessThanOrEqual(4096);
    expect(inlineUs).toBeGreaterThan(0);
    const rows = (count: number, size: number) =>
      Array.from({ length: count }, (_, row) => Array.from({ length: size }, (_, i) => Math.sin(row + 7 * i)));
    const act = async (count: number) =>
      (await client.act({ model: 'wide', observation: rows(count, 20), context: rows(count, 3) })).action.values;
    const all = await act(4096);
    for (const count of [1, (rowCount as number) - 1, rowCount as number]) {
      const few = await act(count);
      const most = few.reduce((least, value, i) => Math.max(least, Math.abs(value - all[i]!)), 0);
      expect(most).toBeLessThan(1e-5);
    }
  });
});
