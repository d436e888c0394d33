import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { PinLedger } from '../../../server/processes/pin-ledger.ts';
import { Pinning, PrepareRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';

const order = (pinning: Pinning, from: number, count: number) => {
  const data = new Uint8Array(Float32Array.from({ length: count }, (_, i) => from + i).buffer);
  const target = { case: 'context' as const, value: { shape: [count, 1], data } };
  const selection = { case: 'version' as const, value: 1 };
  return toBinary(PrepareRequestSchema, create(PrepareRequestSchema, { model: 'm', selection, target, pinning }));
};
const rowCountOf = (orders: readonly Uint8Array[]) =>
  orders.reduce((sum, bytes) => sum + fromBinary(PrepareRequestSchema, bytes).target.value!.shape[0]!, 0);
const done = async () => {};

test('what is pinned already takes no more room, what is new is refused over the bound and not done', async () => {
  // Room for ten rows, each 4 bytes, its key and 256.
  const probe = new PinLedger({ contextCacheBytesMax: 1 << 20, criticCacheBytesMax: 0 });
  await probe.during(order(Pinning.PIN, 0, 10), done);
  const ledger = new PinLedger({ contextCacheBytesMax: 2 * probe.bytes, criticCacheBytesMax: 0 });
  for (let time = 0; time < 3; time++) await ledger.during(order(Pinning.PIN, 0, 10), done);
  expect([ledger.bytes, rowCountOf(ledger.orders(4))]).toEqual([probe.bytes, 10]);
  let isDone = false;
  const more = ledger.during(order(Pinning.PIN, 9, 2), async () => {
    isDone = true;
  });
  await expect(more).rejects.toThrow(`pinned contexts: expected at most ${probe.bytes} bytes of rows`);
  expect(isDone).toBe(false);
  await ledger.during(order(Pinning.UNPIN, 0, 1), done);
  await ledger.during(order(Pinning.PIN, 9, 2), done);
  await ledger.during(order(Pinning.UNPIN, 0, 20), done);
  expect([ledger.bytes, ledger.orders(4)]).toEqual([0, []]);
});
