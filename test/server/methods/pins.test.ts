/** Pins of Prepare against late, cancelled and later calls. The primary's runs end when the test says so. */

import { setImmediate } from 'node:timers/promises';
import { create } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import { createCall } from '../../../server/call/rpc.ts';
import { encodeTensor } from '../../../server/call/tensors.ts';
import type { HeavyGraph } from '../../../server/compute/compute-pool.ts';
import { serverDefaults } from '../../../server/config.ts';
import { createPrepareHandler } from '../../../server/methods/prepare.ts';
import type { ModelStore } from '../../../server/models/model-store.ts';
import { ContextCache } from '../../../server/weights/context-cache.ts';
import { weightLayout } from '../../../server/weights/generated-weights.ts';
import { WeightSource } from '../../../server/weights/weight-source.ts';
import { Pinning, PrepareRequestSchema } from '../../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { floatTensor } from '../../../src/onnx/session.ts';

/** A model with one weight for each context. */
function createPrepare() {
  const runs: (() => void)[] = [];
  const primary: HeavyGraph = {
    inputs: [],
    outputs: [],
    run: () => Promise.reject(new Error('weights are taken from where they are')),
    runInto: ({ rowCount }, { take }) =>
      new Promise((resolve) => {
        runs.push(() => {
          take({ w: floatTensor(new Float32Array(rowCount), [rowCount, 1]) }, { from: 0, count: rowCount });
          resolve();
        });
      }),
    dispose() {},
  };
  const layout = weightLayout({
    file: 'p.onnx',
    inputs: [],
    outputs: [{ name: 'w', dtype: 'float32', shape: ['K', 1] }],
  });
  const cache = new ContextCache({ bytesMax: 1_000_000 });
  const weights = new WeightSource({ primary, layout, inputName: 'context', inputSize: 1, cache, keyPrefix: '0/' });
  const served = { model: 'm', version: 1, contextSize: 1, policy: { weights }, critic: null, lease: () => () => {} };
  const models = { resolve: () => served } as unknown as ModelStore;
  const handler = createPrepareHandler({ models, config: serverDefaults });
  const prepare = async (
    pinning: Pinning,
    contexts: readonly number[],
    call = createCall(performance.now(), Infinity),
  ) => {
    const value = encodeTensor(Float32Array.from(contexts), [contexts.length, 1]);
    return handler(create(PrepareRequestSchema, { model: 'm', target: { case: 'context', value }, pinning }), call);
  };
  /** Ends the oldest run, and lets what waits for it go on. */
  const endRun = async () => {
    runs.shift()!();
    await setImmediate();
  };
  const pinnedCount = () => (cache.kept.pinnedBytes / cache.kept.bytes) * cache.kept.entryCount;
  return { prepare, pinnedCount, endRun };
}

test('a Prepare that fails since it is late pins nothing, then or later', async () => {
  const { prepare, pinnedCount, endRun } = createPrepare();
  const late = prepare(Pinning.PIN, [1, 2], createCall(performance.now(), Date.now() + 20));
  await expect(late).rejects.toThrow(
    'Prepare: expected an answer before the deadline, got none yet. The weights are being made, and are not pinned',
  );
  await endRun();
  // The same weights without a deadline: they are kept, as ordinary entries.
  expect(await prepare(Pinning.UNSPECIFIED, [1, 2])).toMatchObject({ count: 2, generatedCount: 0 });
  expect(pinnedCount()).toBe(0);
});

test('a Prepare that was cancelled while its weights were made pins nothing', async () => {
  const { prepare, pinnedCount, endRun } = createPrepare();
  const client = { cancelled: false };
  const gone = prepare(Pinning.PIN, [1, 2], createCall(performance.now(), Infinity, { client }));
  client.cancelled = true;
  const refused = expect(gone).rejects.toThrow(
    'Prepare: expected a client that waits, got none: the call was cancelled. Nothing is pinned',
  );
  await endRun();
  await refused;
  expect(pinnedCount()).toBe(0);
});

test('what is unpinned while it is made is not pinned; the rest of the call is', async () => {
  const { prepare, pinnedCount, endRun } = createPrepare();
  const pinning = prepare(Pinning.PIN, [1, 2, 3]);
  await prepare(Pinning.UNPIN, [1, 2]);
  await endRun();
  expect(await pinning).toMatchObject({ count: 3, generatedCount: 3 });
  expect(pinnedCount()).toBe(1);
  // An order that is carried out does not take part in later ones.
  await prepare(Pinning.UNPIN, [3]);
  await prepare(Pinning.PIN, [1, 2, 3]);
  expect(pinnedCount()).toBe(3);
});
