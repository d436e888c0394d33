/** The worker pool with real threads: results, order, bounds, carried errors, disposal and memory. */

import { afterEach, describe, expect, test } from 'vitest';
import { floatTensor, indexTensor, openSession } from '../../src/onnx/session.ts';
import { createWorkerPool, type WorkerPool } from '../../src/onnx/worker-pool.ts';
import { exponential, mixed, product } from './graphs.ts';

const one = { threadCount: 1 } as const;
const pools: WorkerPool[] = [];

function createPool({ workerCount = 1, queueCountMax = 64 } = {}): WorkerPool {
  const pool = createWorkerPool({ workerCount, queueCountMax, session: one });
  pools.push(pool);
  return pool;
}

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.dispose()));
});

const row = (...values: number[]) => ({ x: floatTensor(Float32Array.from(values), [values.length / 2, 2]) });

describe('a pooled run', () => {
  test('equals a run on this thread, for every type and for batches that grow', async () => {
    const pool = createPool({ workerCount: 2 });
    const session = await pool.open(exponential(3));
    const direct = openSession(exponential(3), one);
    for (const batch of [1, 7, 4000, 2]) {
      const feeds = row(...Array.from({ length: 2 * batch }, (_, i) => Math.sin(i)));
      const { y } = await session.run(feeds);
      expect(y!.dims).toEqual([batch, 2]);
      expect(y!.data).toEqual(direct.run(feeds).y!.data);
    }
    direct.dispose();
    const other = await pool.open(mixed());
    const result = await other.run({
      x: floatTensor(Float32Array.of(1, 5, 2, -4, -6, -1), [2, 3]),
      rows: indexTensor([1, 0, 1]),
    });
    expect(result.best!.data).toEqual(BigInt64Array.of(1n, 2n));
    expect(result.picked!.data).toEqual(Float32Array.of(-4, -6, -1, 1, 5, 2, -4, -6, -1));
    expect([...(result.positive!.data as Uint8Array)]).toEqual([0, 0, 0, 1, 1, 1, 0, 0, 0]);
  });

  test('tells the graph inputs and outputs, and the device', async () => {
    const session = await createPool().open(exponential(1));
    expect(session.inputs).toEqual([{ name: 'x', dtype: 'float32', shape: ['B', 2] }]);
    expect(session.outputs).toEqual([{ name: 'y', dtype: 'float32', shape: ['B', 2] }]);
    expect(session.device).toBe('cpu');
  });

  test('writes into preallocated outputs, and refuses ones of another size', async () => {
    const session = await createPool().open(exponential(1));
    const y = floatTensor(new Float32Array(2), [1, 2]);
    await session.run(row(0, 0), { y });
    expect(y.data).toEqual(Float32Array.of(1, 1));
    await expect(session.run(row(0, 0, 0, 0), { y })).rejects.toThrow(
      'output "y": expected a tensor for float32 [2,2], got float32 [1,2]',
    );
  });

  test('many at once each get their own result', async () => {
    const session = await createPool({ workerCount: 2 }).open(exponential(1));
    const results = await Promise.all(Array.from({ length: 40 }, (_, i) => session.run(row(i / 10, 0))));
    results.forEach(({ y }, i) => {
      expect(y!.data[0]).toBeCloseTo(Math.exp(i / 10), 3);
    });
  });

  test('results outlive the next run', async () => {
    const session = await createPool().open(exponential(1));
    const first = await session.run(row(0, 0));
    await session.run(row(1, 1));
    expect(first.y!.data).toEqual(Float32Array.of(1, 1));
  });
});

describe('bounds', () => {
  test('a run over the queue bound is refused, and the others end', async () => {
    const pool = createPool({ queueCountMax: 2 });
    const session = await pool.open(product(64));
    const feeds = { x: floatTensor(new Float32Array(64), [1, 64]) };
    const accepted = [session.run(feeds), session.run(feeds), session.run(feeds)];
    expect(pool.queuedCount).toBe(2);
    await expect(session.run(feeds)).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message: 'worker pool: expected at most 2 runs waiting, got one more. Try again later, or raise queueCountMax',
    });
    expect(await Promise.all(accepted)).toHaveLength(3);
    expect(await session.run(feeds)).toHaveProperty('y');
  });

  test('no threads is refused', () => {
    expect(() => createPool({ workerCount: 0 })).toThrow(
      'createWorkerPool: expected a workerCount of at least 1, got 0',
    );
  });
});

describe('errors', () => {
  test('of loading come with their kind and fields', async () => {
    await expect(createPool({ workerCount: 2 }).open(Uint8Array.of(9, 9), 'actor')).rejects.toMatchObject({
      name: 'HyperpolicyError',
      kind: 'invalid_argument',
      where: 'actor',
      expected: 'an ONNX model',
    });
  });

  test('of running come with the runtime text, and the thread goes on', async () => {
    const session = await createPool().open(product(4));
    await expect(session.run({ x: floatTensor(new Float32Array(3), [1, 3]) })).rejects.toThrow(/x/);
    const { y } = await session.run({ x: floatTensor(Float32Array.of(1, 0, 0, 0), [1, 4]) });
    expect([...(y!.data as Float32Array)]).toEqual([-6, -4, -2, 0]); // the first row twice
  });

  test('a missing device is named', async () => {
    const pool = createWorkerPool({ workerCount: 1, queueCountMax: 1, session: { ...one, device: 'cuda' } });
    pools.push(pool);
    const opening = pool.open(exponential(1), 'actor');
    const outcome = await opening.then(
      ({ device }) => device,
      (error: Error) => error.message,
    );
    expect(outcome).toMatch(/^cuda$|^actor: expected the cuda device, got /);
  });
});

describe('disposal', () => {
  test('accepted runs end first; later ones are refused', async () => {
    const pool = createPool();
    const session = await pool.open(exponential(1));
    const runs = [session.run(row(0, 0)), session.run(row(0, 0))];
    const gone = session.dispose();
    await expect(session.run(row(0, 0))).rejects.toMatchObject({ kind: 'unavailable' });
    expect(await Promise.all(runs)).toHaveLength(2);
    await gone;
    const other = await pool.open(exponential(1));
    const last = other.run(row(0, 0));
    const ended = pool.dispose();
    expect((await last).y!.data[0]).toBe(1);
    await ended;
    await expect(other.run(row(0, 0))).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(pool.open(exponential(1))).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test('memory stays flat over open, run and dispose', { timeout: 120_000 }, async () => {
    const pool = createPool();
    const model = product(256);
    const feeds = { x: floatTensor(new Float32Array(256).fill(1), [1, 256]) };
    const cycle = async () => {
      const session = await pool.open(model);
      await session.run(feeds);
      await session.dispose();
    };
    for (let i = 0; i < 200; i++) await cycle();
    const before = process.memoryUsage().rss;
    // 256 KiB of weights each: 500 MiB if sessions leaked.
    for (let i = 0; i < 2000; i++) await cycle();
    expect((process.memoryUsage().rss - before) / 2 ** 20).toBeLessThan(160);
  });
});
