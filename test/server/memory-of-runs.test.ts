/** Runs of the real server that ask for more memory than there is. */

import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { changeGraph, withSlowRuns } from '../endless-graph.ts';
import { metricLines, plain, startTestServer, temporaryStore } from './fixtures.ts';

test('a run that memory does not suffice for is answered with the remedy, logged with its cause, and counted as such', async () => {
  const store = await temporaryStore([{ ...plain, model: 'large' }]);
  await changeGraph(join(store, 'large', '1'), 'policy.onnx', (model) => withSlowRuns(model, 'observation'));
  const started = await startTestServer([], { store });
  const act = (first: number, late?: { fallback: 'safe'; budgetUs: number }) =>
    started.client.act({ model: 'large', observation: [first, 0, 0], ...late });
  // 1e12 rows of 512 values: 2 PB, more than a process can address.
  await expect(act(1e12)).rejects.toMatchObject({
    kind: 'resource_exhausted',
    message: expect.stringMatching(
      /^policy\.onnx: expected memory of the cpu device for a run of this graph, got .+\. Send smaller batches, serve fewer models or versions, or give the process more memory$/,
    ),
  });
  // Nor is there a stand-in: that is for answers that are late, and for a full queue.
  await expect(act(1e12, { fallback: 'safe', budgetUs: 60e6 })).rejects.toMatchObject({ kind: 'resource_exhausted' });
  expect((await act(0.1)).version).toBe(1);
  // One line in 10 s.
  expect(started.lines.filter(({ level }) => Number(level) > 30)).toMatchObject([
    {
      level: 50,
      msg: 'run failed',
      reason: 'policy.onnx: expected memory of the cpu device for a run of this graph',
      requestCount: 1,
      method: 'Act',
      status: 'RESOURCE_EXHAUSTED',
      model: 'large',
      version: 1,
      requestId: expect.stringMatching(/^[0-9a-f]{16}$/),
      err: { stack: expect.stringMatching(/caused by: Error: Non-zero status code/) },
    },
  ]);
  const counted = await metricLines(started, 'hyperpolicy_requests_total{method="Act",model="large"');
  const of = (code: string) => Object.entries(counted).filter(([line]) => line.includes(`grpc_code="${code}"`));
  expect([of('ResourceExhausted'), of('Internal')].map((lines) => lines.map(([, count]) => count))).toEqual([[2], [0]]);
  // By which the alert goes.
  const faults = 'hyperpolicy_run_faults_total{grpc_code="ResourceExhausted"}';
  expect(await metricLines(started, faults)).toEqual({ [faults]: 2 });
});

test('a fault that comes after its answer was due is logged; a result that does is not', async () => {
  const store = await temporaryStore([{ ...plain, model: 'large' }]);
  await changeGraph(join(store, 'large', '1'), 'policy.onnx', (model) => withSlowRuns(model, 'observation'));
  const { client, lines } = await startTestServer([], { store, workerCount: 1 });
  const act = (first: number, late?: { fallback: 'safe'; budgetUs: number }) =>
    client.act({ model: 'large', observation: [first, 0, 0], ...late });
  const logged = () => lines.filter(({ msg }) => msg === 'run failed after its answer was due');
  /** Behind a run of about 100 ms on the only thread. On a busy machine that may be over too early: then it is tried again. */
  const standInFor = (first: number) =>
    vi.waitFor(async () => {
      const busy = act(20);
      // It is answered after that run has begun.
      await client.getModel({ model: 'large' });
      const late = await act(first, { fallback: 'safe', budgetUs: 20_000 });
      await busy;
      expect(late.fallback).toMatchObject({ kind: 'safe', reason: 'budget' });
      // Behind the one that was late.
      await act(0.1);
    }, 30_000);
  await standInFor(0.1);
  expect(logged()).toEqual([]);
  await standInFor(1e12);
  expect(logged()).toMatchObject([
    {
      level: 50,
      reason: 'policy.onnx: expected memory of the cpu device for a run of this graph',
      requestCount: 1,
      method: 'Act',
      model: 'large',
      version: 1,
      requestId: expect.stringMatching(/^[0-9a-f]{16}$/),
      err: { stack: expect.stringMatching(/caused by: Error: Non-zero status code/) },
    },
  ]);
});
