/** Calls that are cancelled stop costing: what waits for a thread is not computed, and the calls are counted as what they are. */

import { create, toBinary } from '@bufbuild/protobuf';
import grpc from '@grpc/grpc-js';
import { expect, onTestFinished, test, vi } from 'vitest';
import { encodeTensor } from '../../../server/call/tensors.ts';
import { ActRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { metricLines, startTestServer } from '../fixtures.ts';

const large = {
  model: 'large',
  policy: 'hyper',
  critic: 'hyper',
  observationSize: 3,
  actionSize: 2,
  hiddenSize: 64,
  trunkSizes: [256, 256],
} as const;
const rowCount = 64;

/** 64 rows, each with a context that no other call has. */
function newContexts(call: number) {
  const observation = Float32Array.from({ length: rowCount * 3 }, (_, i) => (i % 7) - 3);
  const context = Float32Array.from({ length: rowCount * 2 }, (_, i) => call * 1000 + i);
  return { observation: encodeTensor(observation, [rowCount, 3]), context: encodeTensor(context, [rowCount, 2]) };
}

/** Calls of Act that can be cancelled. */
function openRawClient(address: string) {
  const raw = new grpc.Client(address, grpc.credentials.createInsecure());
  onTestFinished(() => raw.close());
  return (call: number) => {
    const { observation, context } = newContexts(call);
    const source = { case: 'context', value: context } as const;
    const request = create(ActRequestSchema, { model: 'large', observation, contextSource: source });
    const bytes = Buffer.from(toBinary(ActRequestSchema, request));
    let cancel = () => {};
    const code = new Promise<grpc.status>((resolve) => {
      const path = '/hyperpolicy.v1.PolicyService/Act';
      const same = (buffer: Buffer) => buffer;
      const made = raw.makeUnaryRequest(path, same, same, bytes, (error) => resolve(error?.code ?? grpc.status.OK));
      cancel = () => made.cancel();
    });
    return { code, cancel };
  };
}

const handled = (code: string) =>
  `grpc_server_handled_total{grpc_type="unary",grpc_service="hyperpolicy.v1.PolicyService",grpc_method="Act",grpc_code="${code}"}`;

test('what waits for cancelled calls is dropped, unless another call waits for it too', {
  timeout: 60_000,
}, async () => {
  const test = await startTestServer([large], { workerCount: 1, batchRowCountMax: rowCount, requestCountMax: 1000 });
  const act = openRawClient(test.address);
  expect(await act(0).code).toBe(grpc.status.OK);
  const before = await rowsRun(test);
  const callCount = 200;
  const calls = Array.from({ length: callCount }, (_, i) => act(i + 1));
  // The same contexts as the last of them.
  const staying = act(callCount);
  const inFlight = 'hyperpolicy_requests_in_flight';
  await vi.waitFor(async () => expect((await metricLines(test, inFlight))[inFlight]).toBeGreaterThan(20), 20_000);
  for (const { cancel } of calls) cancel();
  const codes = await Promise.all(calls.map(({ code }) => code));
  const cancelledCount = codes.filter((code) => code === grpc.status.CANCELLED).length;
  expect(cancelledCount).toBeGreaterThan(callCount / 2);
  expect(await staying.code).toBe(grpc.status.OK);
  await vi.waitFor(async () => {
    const counts = await metricLines(test, inFlight);
    expect(counts[inFlight]).toBe(0);
  }, 20_000);
  const counts = await metricLines(test, 'grpc_server_handled_total');
  // Some answers may have been under way when their calls were cancelled, and some calls cancelled before they arrived.
  expect(counts[handled('OK')]).toBeLessThan(callCount / 2);
  expect(counts[handled('Canceled')]).toBeGreaterThan(0);
  expect((await rowsRun(test)) - before).toBeLessThan((callCount * rowCount) / 2);
});

/** Rows that were computed by heavy graphs. */
async function rowsRun(test: Parameters<typeof metricLines>[0]): Promise<number> {
  const sums = await metricLines(test, 'hyperpolicy_batch_rows_sum');
  return Object.values(sums).reduce((sum, value) => sum + value, 0);
}
