import { createHash } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { ComputePool, type Executor, type HeavyGraph } from '../../../server/compute/compute-pool.ts';
import { joiningOf } from '../../../src/onnx/joined.ts';
import { floatTensor } from '../../../src/onnx/session.ts';
import { createWorkerPool } from '../../../src/onnx/worker-pool.ts';
import { doubled, exponential, timesPicked } from '../../onnx/graphs.ts';

/** Nobody reads it. */
const file = { path: 'p.onnx', bytes: 0, sha256: '' };

/** Of all graphs. */
const waitingRowCount = ({ queues }: ComputePool): number => queues.reduce((sum, { rowCount }) => sum + rowCount, 0);

/**
 * Graphs that double x; runs end by hand, and dispatches come by hand. Outputs lie in memory that is overwritten as soon as they are
 * taken, as they do in a worker's.
 */
function createDoubling({
  executorCount = 1,
  followingCountMax = 0,
  batchRowCountMax = 4,
  queueRowCountMax = 8,
  batchDelayMs = 0,
  runMs = 1000,
} = {}) {
  const runs: { readonly name: string; readonly rows: number[]; end(error?: Error): void }[] = [];
  const running: string[] = [];
  const executor: Executor = {
    get idleCount() {
      return Math.max(0, executorCount - running.length);
    },
    open: async (_, { name }) => ({
      inputs: [],
      outputs: [],
      get canFollow() {
        return running.includes(name) && running.length < executorCount + followingCountMax;
      },
      run({ x }, { take, freed }) {
        const rows = [...(x!.data as Float32Array)];
        const y = floatTensor(Float32Array.from(rows.map((value) => 2 * value)), [rows.length, 1]);
        running.push(name);
        return new Promise<void>((resolve, reject) => {
          const end = (error?: Error) => {
            running.splice(running.indexOf(name), 1);
            time.nowMs += runMs;
            if (error !== undefined) return reject(error);
            freed();
            try {
              take({ y });
            } catch (fault) {
              reject(fault);
            }
            (y.data as Float32Array).fill(Number.NaN);
            resolve();
          };
          runs.push({ name, rows, end });
        });
      },
      dispose: () => {},
    }),
  };
  const dispatches: (() => void)[] = [];
  /** Rows and seconds of each run, and how long each job waited. */
  const times = { ran: [] as number[][], waited: [] as number[] };
  const time = { nowMs: 0, timers: [] as { readonly atMs: number; readonly action: () => void }[] };
  const pool = new ComputePool({
    executor,
    batchRowCountMax,
    queueRowCountMax,
    batchDelayMs,
    clock: () => time.nowMs,
    onRun: ({ rowCount, seconds }) => times.ran.push([rowCount, seconds]),
    onWait: (_, seconds) => times.waited.push(seconds),
    later: (delayMs, action) => time.timers.push({ atMs: time.nowMs + delayMs, action }),
    schedule: (dispatch) => dispatches.push(dispatch),
  });
  const open = async (name: string, priority: 'act' | 'q-grad' = 'act', joins = true) => {
    const graph = await pool.open(file, { name, priority, joins });
    return (rows: number[], atMs = Number.POSITIVE_INFINITY, waiters?: { isGone: boolean }[]) =>
      graph
        .run({
          feeds: { x: floatTensor(Float32Array.from(rows), [rows.length, 1]) },
          rowCount: rows.length,
          deadline: {
            atMs,
            ...(waiters && { waiters: waiters.map((waiter) => Object.assign(waiter, { deadlineMs: atMs })) }),
          },
        })
        .then(({ y }) => [...(y!.data as Float32Array)]);
  };
  const turn = () => {
    for (const dispatch of dispatches.splice(0)) dispatch();
  };
  /** Lets time pass, and calls the timers that are due. */
  const pass = (ms: number) => {
    time.nowMs += ms;
    const due = time.timers.filter(({ atMs }) => atMs <= time.nowMs);
    time.timers = time.timers.filter(({ atMs }) => atMs > time.nowMs);
    for (const { action } of due) action();
  };
  /** Ends the newest run and lets what depends on it happen. */
  const endLast = async (error?: Error) => {
    runs.at(-1)!.end(error);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return {
    open,
    turn,
    pass,
    runs,
    times,
    endLast,
    pool,
    started: () => runs.map(({ name, rows }) => `${name} ${rows}`),
  };
}

describe('the compute pool', () => {
  test('jobs of one turn are one run, and each gets its own rows', async () => {
    const { open, turn, endLast, started } = createDoubling();
    const run = await open('p');
    const jobs = [run([1]), run([2, 3]), run([4])];
    expect(started()).toEqual([]);
    turn();
    expect(started()).toEqual(['p 1,2,3,4']);
    await endLast();
    expect(await Promise.all(jobs)).toEqual([[2], [4, 6], [8]]);
  });

  test('what waits while a run is under way goes into the next, up to the limit', async () => {
    const { open, turn, endLast, started, pool } = createDoubling();
    const run = await open('p');
    const jobs = [run([1])];
    turn();
    for (const value of [2, 3, 4, 5, 6]) jobs.push(run([value]));
    turn();
    expect(started()).toEqual(['p 1']);
    expect(waitingRowCount(pool)).toBe(5);
    await endLast();
    expect(started()).toEqual(['p 1', 'p 2,3,4,5']);
    await endLast();
    await endLast();
    expect((await Promise.all(jobs)).flat()).toEqual([2, 4, 6, 8, 10, 12]);
    expect(waitingRowCount(pool)).toBe(0);
  });

  test('acting goes before gradients, equals take turns', async () => {
    const { open, turn, endLast, started } = createDoubling();
    const [critic, actorA, actorB] = [await open('c', 'q-grad'), await open('a'), await open('b')];
    const jobs = [critic([9]), actorA([1]), actorB([2])];
    turn();
    jobs.push(actorA([3, 3, 3, 3]), critic([8]));
    await endLast();
    await endLast();
    await endLast();
    await endLast();
    expect(started()).toEqual(['a 1', 'b 2', 'a 3,3,3,3', 'c 9,8']);
    await endLast();
    await Promise.all(jobs);
  });

  test('runs as many at once as there are executors', async () => {
    const { open, turn, started, runs } = createDoubling({ executorCount: 2, batchRowCountMax: 1 });
    const run = await open('p');
    const jobs = [run([1]), run([2]), run([3])];
    turn();
    expect(started()).toEqual(['p 1', 'p 2']);
    for (const one of runs) one.end();
    await Promise.all(jobs.slice(0, 2));
    await new Promise((resolve) => setImmediate(resolve));
    runs[2]!.end();
    expect(await jobs[2]).toEqual([6]);
  });

  test('a job larger than a batch runs alone', async () => {
    const { open, turn, endLast, started } = createDoubling();
    const run = await open('p');
    const jobs = [run([1]), run([2, 2, 2, 2, 2, 2])];
    turn();
    await endLast();
    await endLast();
    expect(started()).toEqual(['p 1', 'p 2,2,2,2,2,2']);
    await Promise.all(jobs);
  });

  test('a job larger than four batches takes several runs of about a size, and others come between', async () => {
    const { open, turn, endLast, started, pool } = createDoubling({ batchRowCountMax: 1, queueRowCountMax: 20 });
    const [run, other] = [await open('p'), await open('o')];
    const large = run([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    const small = run([11]);
    turn();
    const urgent = other([12]);
    expect(waitingRowCount(pool)).toBe(8);
    for (let i = 0; i < 5; i++) await endLast();
    expect(started()).toEqual(['p 1,2,3,4', 'o 12', 'p 11', 'p 5,6,7', 'p 8,9,10']);
    expect(await Promise.all([large, small, urgent])).toEqual([[2, 4, 6, 8, 10, 12, 14, 16, 18, 20], [22], [24]]);
    expect(waitingRowCount(pool)).toBe(0);
  });

  test('a job is cut no finer than a tenth of a second a run, going by the last full run', async () => {
    // Four rows in 50 ms: eight in a tenth of a second.
    const { open, turn, endLast, started } = createDoubling({ runMs: 50, queueRowCountMax: 40, batchRowCountMax: 1 });
    const run = await open('p');
    const jobs = [run([1, 1, 1, 1])];
    turn();
    jobs.push(run([2, 2, 2, 2, 2, 2, 2, 2, 2]), run([3, 3, 3, 3, 3, 3]));
    for (let i = 0; i < 4; i++) await endLast();
    expect(started()).toEqual(['p 1,1,1,1', 'p 2,2,2,2,2', 'p 3,3,3,3,3,3', 'p 2,2,2,2']);
    expect((await Promise.all(jobs)).map((rows) => rows.length)).toEqual([4, 9, 6]);
  });

  test('the runs of one job go to all threads, and may end in any order', async () => {
    const { open, turn, runs, started } = createDoubling({
      executorCount: 3,
      batchRowCountMax: 1,
      queueRowCountMax: 20,
    });
    const run = await open('p');
    const large = run([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    turn();
    expect(started()).toEqual(['p 1,2,3,4', 'p 5,6,7', 'p 8,9,10']);
    for (const { end } of [runs[2]!, runs[0]!, runs[1]!]) end();
    expect(await large).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20]);
  });

  test('what is left of a large job that failed or is late is not computed', async () => {
    const { open, turn, endLast, started, pool } = createDoubling({ batchRowCountMax: 1, queueRowCountMax: 40 });
    const run = await open('p');
    const large = [run([1, 1, 1, 2, 2]), run([3, 3, 3, 4, 4], Date.now() + 20), run([5])];
    const outcome = Promise.allSettled(large);
    turn();
    await endLast(new Error('lost'));
    const until = Date.now() + 21;
    while (Date.now() < until);
    await endLast();
    await endLast();
    expect(started()).toEqual(['p 1,1,1', 'p 3,3,3', 'p 5']);
    expect(waitingRowCount(pool)).toBe(0);
    const told = (await outcome).map((one) => (one.status === 'rejected' ? String(one.reason.message) : one.value));
    expect(told).toEqual([
      'lost',
      expect.stringMatching(/ms ago\. 3 of 5 rows were begun, and nothing is kept$/),
      [10],
    ]);
    expect((await outcome)[1]).toMatchObject({ reason: { kind: 'deadline_exceeded' } });
  });

  test('a job that shares no run is never cut', async () => {
    const { open, turn, endLast, started } = createDoubling({ batchRowCountMax: 1, queueRowCountMax: 20 });
    const run = await open('p', 'act', false);
    const jobs = [run([1, 2, 3, 4, 5]), run([6])];
    turn();
    await endLast();
    await endLast();
    expect(started()).toEqual(['p 1,2,3,4,5', 'p 6']);
    expect(await Promise.all(jobs)).toEqual([[2, 4, 6, 8, 10], [12]]);
  });

  test('a full run of a policy lies ready behind another; nothing else does', async () => {
    const { open, turn, endLast, started, runs, times } = createDoubling({
      followingCountMax: 1,
      queueRowCountMax: 40,
    });
    const [actor, critic] = [await open('a'), await open('c', 'q-grad')];
    const jobs = [actor([1]), critic([9, 9, 9, 9])];
    turn();
    expect(started()).toEqual(['a 1']);
    jobs.push(actor([2]), actor([3]), actor([4]));
    turn();
    // Three rows: one more may come while the thread is busy.
    expect(started()).toEqual(['a 1']);
    jobs.push(actor([5]), actor([6]));
    turn();
    expect(started()).toEqual(['a 1', 'a 2,3,4,5']);
    runs[0]!.end();
    runs[1]!.end();
    // Each took a second; the one that lay ready began when the other ended.
    expect(times.ran).toEqual([
      [1, 1],
      [4, 1],
    ]);
    expect(times.waited.slice(0, 5)).toEqual([0, 1, 1, 1, 1]);
    await endLast();
    expect(started()).toEqual(['a 1', 'a 2,3,4,5', 'a 6', 'c 9,9,9,9']);
    jobs.push(critic([8, 8, 8, 8]));
    turn();
    expect(started()).toHaveLength(4);
    await endLast();
    await endLast();
    expect((await Promise.all(jobs)).flat()).toEqual([2, 18, 18, 18, 18, 4, 6, 8, 10, 12, 16, 16, 16, 16]);
  });

  test('a full queue refuses and names its bound; what waits is not harmed', async () => {
    const { open, turn, endLast } = createDoubling();
    const run = await open('p.onnx');
    const waiting = run([1, 2, 3, 4]);
    await expect(run([1, 2, 3, 4, 5])).rejects.toThrow(
      'queue of p.onnx: expected at most 8 rows waiting, got 9. Retry with backoff',
    );
    turn();
    await endLast();
    expect(await waiting).toEqual([2, 4, 6, 8]);
  });

  test('a job is dropped when all who asked for it are gone, and makes room in a full queue', async () => {
    const { open, turn, endLast, started, pool } = createDoubling({ batchRowCountMax: 1, queueRowCountMax: 3 });
    const run = await open('p');
    const waiters = [{ isGone: false }, { isGone: false }];
    const first = run([1]);
    turn();
    const shared = run([2], Number.POSITIVE_INFINITY, waiters);
    const left = run([3, 4], Number.POSITIVE_INFINITY, waiters.slice(0, 1));
    waiters[0]!.isGone = true;
    const next = run([5]);
    await expect(left).rejects.toMatchObject({
      kind: 'cancelled',
      message: 'queue of p: expected a client that waits, got none: the call was cancelled. Nothing was computed',
    });
    expect(waitingRowCount(pool)).toBe(2);
    for (let i = 0; i < 3; i++) await endLast();
    expect(await Promise.all([first, shared, next])).toEqual([[2], [4], [10]]);
    expect(started()).toEqual(['p 1', 'p 2', 'p 5']);
  });

  test('late jobs are dropped before anything is computed', async () => {
    const { open, turn, endLast, started, pool } = createDoubling();
    const run = await open('p');
    const late = run([1], Date.now() - 50);
    const good = run([2]);
    turn();
    await expect(late).rejects.toMatchObject({
      kind: 'deadline_exceeded',
      message: expect.stringMatching(
        /^queue of p: expected a deadline that has not passed, got one that passed \d+ ms ago. Nothing was computed$/,
      ),
    });
    await endLast();
    expect(await good).toEqual([4]);
    expect(started()).toEqual(['p 2']);
    expect(waitingRowCount(pool)).toBe(0);
  });

  test('a failed run fails its jobs and no others', async () => {
    const { open, turn, endLast } = createDoubling({ batchRowCountMax: 2 });
    const run = await open('p');
    const jobs = [run([1]), run([2]), run([3])];
    const outcome = Promise.allSettled(jobs);
    turn();
    await endLast(new Error('lost'));
    await endLast();
    expect((await outcome).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
  });

  test('with a delay a job waits for others, but not for longer, and not once its run is full', async () => {
    const { open, turn, pass, endLast, started } = createDoubling({ batchDelayMs: 5, executorCount: 2, runMs: 0 });
    const run = await open('p');
    const first = run([1]);
    turn();
    pass(3);
    const second = run([2]);
    turn();
    expect(started()).toEqual([]);
    pass(2);
    expect(started()).toEqual(['p 1,2']);
    await endLast();
    expect(await Promise.all([first, second])).toEqual([[2], [4]]);
    const full = run([1, 2, 3, 4]);
    turn();
    expect(started()).toEqual(['p 1,2', 'p 1,2,3,4']);
    await endLast();
    expect(await full).toEqual([2, 4, 6, 8]);
    // What came while its thread was busy has waited.
    const late = run([7]);
    turn();
    pass(5);
    expect(started().at(-1)).toBe('p 7');
    await endLast();
    expect(await late).toEqual([14]);
  });

  test('outputs that do not fit the jobs fail each of them, and the next run goes on', async () => {
    const pool = new ComputePool({
      executor: {
        idleCount: 1,
        open: async () => ({
          inputs: [],
          outputs: [],
          // One row, however many were asked for.
          canFollow: false,
          run: async (_, { take }) => take({ y: floatTensor(Float32Array.of(1), [1, 1]) }),
          dispose: () => {},
        }),
      },
      batchRowCountMax: 4,
      queueRowCountMax: 8,
    });
    const graph = await pool.open(file, { name: 'p', priority: 'act' });
    const job = () =>
      graph.run({
        feeds: { x: floatTensor(Float32Array.of(1), [1, 1]) },
        rowCount: 1,
        deadline: { atMs: Number.POSITIVE_INFINITY },
      });
    const results = await Promise.allSettled([job(), job()]);
    expect(results.map(({ status }) => status)).toContain('rejected');
    expect((await job()).y!.dims).toEqual([1, 1]);
  });

  /** A graph in a file, and an executor that ends with the test. */
  async function prepare(model: Uint8Array) {
    const directory = await mkdtemp(join(tmpdir(), 'hyperpolicy-test-'));
    const executor = createWorkerPool({ workerCount: 1, queueCountMax: 1, session: { threadCount: 1 } });
    onTestFinished(async () => {
      await executor.dispose();
      await rm(directory, { recursive: true, force: true });
    });
    const path = join(directory, 'graph.onnx');
    await writeFile(path, model);
    const sha256 = createHash('sha256').update(model).digest('hex');
    return { executor, listed: { path, bytes: model.length, sha256 } };
  }

  test('tells of every run', async () => {
    const { executor, listed } = await prepare(exponential(1));
    const told: unknown[] = [];
    const pool = new ComputePool({
      executor,
      batchRowCountMax: 2,
      queueRowCountMax: 8,
      onRun: ({ graph: { name }, rowCount, seconds }) => told.push([name, rowCount, seconds >= 0]),
    });
    const graph = await pool.open(listed, { name: 'e', priority: 'act' });
    const feeds = () => ({ x: floatTensor(Float32Array.of(0, 0), [1, 2]) });
    const job = () => graph.run({ feeds: feeds(), rowCount: 1, deadline: { atMs: Number.POSITIVE_INFINITY } });
    await Promise.all([job(), job(), job()]);
    expect(told).toEqual([
      ['e', 2, true],
      ['e', 1, true],
    ]);
    graph.dispose();
  });

  test('runs a graph alone or with a second behind it, each with its own', async () => {
    const { executor, listed } = await prepare(doubled());
    const ran: string[] = [];
    const pool = new ComputePool({
      executor,
      batchRowCountMax: 4,
      queueRowCountMax: 8,
      onRun: ({ graph: { name }, rowCount }) => ran.push(`${name} ${rowCount}`),
    });
    const second = { names: { both: 'both', climb: 'climb' }, joinings: [joiningOf(timesPicked(), ['w'])!] };
    const graph = await pool.open(listed, { name: 'first', priority: 'act', second });
    expect([graph, graph.both!].map(({ inputs }) => inputs.map(({ name }) => name))).toEqual([['x'], ['x', 'y']]);
    const rows = (...values: number[]) => floatTensor(Float32Array.from(values), [values.length / 2, 2]);
    const run = async (of: Pick<HeavyGraph, 'run'>, feeds: Record<string, ReturnType<typeof rows>>) => {
      const rowCount = feeds.x!.dims[0]!;
      const outputs = await of.run({ feeds, rowCount, deadline: { atMs: Number.POSITIVE_INFINITY } });
      return Object.fromEntries(Object.entries(outputs).map(([name, { data }]) => [name, [...(data as Float32Array)]]));
    };
    const results = await Promise.all([
      run(graph, { x: rows(1, 2) }),
      run(graph.both!, { x: rows(1, 2), y: rows(1, -1) }),
      run(graph, { x: rows(3, 4, 5, 6) }),
      run(graph.both!, { x: rows(3, 4), y: rows(0.5, 10) }),
    ]);
    // w = 2 x; z = w y + 1
    expect(results).toEqual([
      { w: [2, 4] },
      { z: [3, -3], rows: [1] },
      { w: [6, 8, 10, 12] },
      { z: [4, 81], rows: [1] },
    ]);
    expect(ran.sort()).toEqual(['both 2', 'first 3']);
    expect(pool.queues.map(({ name }) => name).sort()).toEqual(['both', 'first']);
    graph.dispose();
    expect(pool.queues).toEqual([]);
  });

  test('a graph that cannot take the second is opened alone', async () => {
    // The second's input has the name of a value of the first.
    const { executor, listed } = await prepare(doubled('y'));
    const pool = new ComputePool({ executor, batchRowCountMax: 4, queueRowCountMax: 8 });
    const second = { names: { both: 'both', climb: 'climb' }, joinings: [joiningOf(timesPicked(), ['w'])!] };
    const graph = await pool.open(listed, { name: 'first', priority: 'act', second });
    expect(graph.both).toBeUndefined();
    expect(graph.notJoined).toContain('y');
    expect(graph.outputs.map(({ name }) => name)).toEqual(['y']);
    graph.dispose();
  });

  test('a job that finds no room for its outputs fails, whatever becomes of its run', async () => {
    let end = (_: Error): void => {};
    const pool = new ComputePool({
      executor: {
        idleCount: 1,
        open: async () => ({
          inputs: [],
          outputs: [],
          canFollow: false,
          run: () =>
            new Promise<void>((_, reject) => {
              end = reject;
            }),
          dispose: () => {},
        }),
      },
      batchRowCountMax: 4,
      queueRowCountMax: 8,
    });
    const graph = await pool.open(file, { name: 'p', priority: 'act' });
    const sink = {
      begin() {
        throw new RangeError('no memory');
      },
      take: () => {},
    };
    const feeds = { x: floatTensor(Float32Array.of(1), [1, 1]) };
    const done = graph.runInto({ feeds, rowCount: 1, deadline: { atMs: Number.POSITIVE_INFINITY } }, sink);
    await expect(done).rejects.toThrow('no memory');
    // Nobody waits for it any more: it must not be an unhandled rejection.
    end(new Error('the run failed too'));
    await new Promise((resolve) => setImmediate(resolve));
  });
});
