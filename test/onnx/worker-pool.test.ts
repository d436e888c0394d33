/** The worker pool with real threads: results, order, bounds, carried errors, disposal and memory. */

import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, onTestFinished, test } from 'vitest';
import { floatTensor, indexTensor, openSession } from '../../src/onnx/session.ts';
import { createWorkerPool, type WorkerPool } from '../../src/onnx/worker-pool.ts';
import type { ListedFile } from '../../src/package/listed-file.ts';
import { exponential, mixed, product, twoRows } from './graphs.ts';

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

  test('hands its outputs out as they lie in shared memory, and with their last value', async () => {
    const session = await createPool().open(exponential(1));
    const events: string[] = [];
    const taken = await session.run(row(0, 0, 1, 1), {
      freed: () => events.push('freed'),
      take({ y }) {
        const values = y!.data as Float32Array;
        expect(values.buffer).toBeInstanceOf(SharedArrayBuffer);
        events.push('taken');
        return { dims: y!.dims, first: values[0] };
      },
    });
    expect(taken).toEqual({ dims: [2, 2], first: 1 });
    // The thread may go on before the outputs are read.
    expect(events).toEqual(['freed', 'taken']);
  });

  test('fails with what taking its outputs throws, and the next run goes on', async () => {
    const session = await createPool().open(exponential(1));
    const take = () => {
      throw new Error('no room');
    };
    await expect(session.run(row(0, 0), { take })).rejects.toThrow('no room');
    expect((await session.run(row(0, 0))).y!.data[0]).toBe(1);
  });

  test('that begins while the outputs of others are being taken changes none of them', async () => {
    const pool = createPool({ queueCountMax: 200 });
    const session = await pool.open(exponential(1));
    const other = await pool.open(product(4));
    const wrong: number[] = [];
    // Each take begins further runs before it reads: they are over before it ends.
    const runs = Array.from({ length: 60 }, (_, i) => {
      const rows = Array.from({ length: 2 * (1 + (i % 9)) }, () => Math.log(1 + i));
      const asked: Promise<unknown>[] = [];
      return session
        .run(row(...rows), {
          freed: () => asked.push(session.run(row(0, 0)), other.run({ x: floatTensor(new Float32Array(4), [1, 4]) })),
          take({ y }) {
            const until = performance.now() + 1;
            while (performance.now() < until);
            for (const value of y!.data as Float32Array) if (Math.abs(value - (1 + i)) > 1e-4 * i) wrong.push(value);
          },
        })
        .then(() => Promise.all(asked));
    });
    await Promise.all(runs);
    expect(wrong).toEqual([]);
  });

  test('may lie ready behind one of its session, not behind another', async () => {
    const pool = createPool();
    const session = await pool.open(exponential(1));
    const other = await pool.open(product(4));
    expect([pool.idleCount, session.canFollow]).toEqual([1, false]);
    const first = session.run(row(0, 0));
    expect([pool.idleCount, session.canFollow, other.canFollow]).toEqual([0, true, false]);
    const second = session.run(row(1, 1));
    expect([pool.queuedCount, session.canFollow]).toEqual([0, false]);
    const third = session.run(row(0, 0));
    expect(pool.queuedCount).toBe(1);
    expect((await Promise.all([first, second, third])).map(({ y }) => Math.round(y!.data[0] as number))).toEqual([
      1, 3, 1,
    ]);
    expect(pool.idleCount).toBe(1);
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
    // One is under way, one lies ready, two wait.
    const accepted = Array.from({ length: 4 }, () => session.run(feeds));
    expect(pool.queuedCount).toBe(2);
    await expect(session.run(feeds)).rejects.toMatchObject({
      kind: 'resource_exhausted',
      message: 'worker pool: expected at most 2 runs waiting, got one more. Try again later, or raise queueCountMax',
    });
    expect(await Promise.all(accepted)).toHaveLength(4);
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
    await expect(createPool({ workerCount: 2 }).open(Uint8Array.of(9, 9), { name: 'actor' })).rejects.toMatchObject({
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
    const opening = pool.open(exponential(1), { name: 'actor' });
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

describe('opening', () => {
  async function written(model: Uint8Array): Promise<ListedFile> {
    const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    const path = join(directory, 'graph.onnx');
    await writeFile(path, model);
    return { path, bytes: model.length, sha256: createHash('sha256').update(model).digest('hex') };
  }

  test('a file is read by the threads themselves, and refused where it is not what was listed', async () => {
    const pool = createPool({ workerCount: 2 });
    const file = await written(exponential(3));
    const session = await pool.open(file);
    expect((await session.run(row(0, 0))).y!.data).toEqual(Float32Array.of(3, 3));
    await writeFile(file.path, exponential(4));
    await expect(pool.open(file)).rejects.toMatchObject({
      kind: 'invalid_argument',
      where: file.path,
      expected: `SHA-256 ${file.sha256}`,
    });
    expect((await session.run(row(0, 0))).y!.data).toEqual(Float32Array.of(3, 3));
  });

  test('each number of rows has run before the session is there; one that does not is told', async () => {
    const pool = createPool({ workerCount: 2 });
    await pool.open(exponential(1), { warmUpRowCounts: [1, 32] });
    await expect(pool.open(twoRows(), { name: 'two.onnx', warmUpRowCounts: [2, 3] })).rejects.toMatchObject({
      kind: 'invalid_argument',
      where: 'two.onnx',
      expected: 'a graph that runs 3 rows',
    });
    const session = await pool.open(twoRows(), { warmUpRowCounts: [2] });
    expect((await session.run(row(1, 2, 3, 4))).y!.data).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  test('runs of other sessions go on while a file is read with rests', async () => {
    const pool = createPool();
    const session = await pool.open(exponential(1));
    let isOpen = false;
    const opening = pool.open(await written(product(1024)), { restRatio: 20 }).then(() => {
      isOpen = true;
    });
    let runCount = 0;
    for (; !isOpen; runCount++) await session.run(row(0, 0));
    await opening;
    // 4 MiB are 16 pieces; a machine that is busy may be late for some of them.
    expect(runCount).toBeGreaterThan(4);
  });
});
