/** The codec of acting that is written out says and reads what the general one does. */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import {
  encodeActRequest as encodeAct,
  encodeActStreamRequest as encodeStreamed,
} from '../../src/contract/act-request.ts';
import {
  decodeActResponse as decodeAct,
  decodeActStreamResponse as decodeStreamed,
} from '../../src/contract/act-response.ts';
import {
  ActRequestSchema,
  ActResponseSchema,
  ActStreamRequestSchema,
  ActStreamResponseSchema,
  Fallback,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';

const tensor = (...values: number[]) => ({
  shape: [values.length],
  data: new Uint8Array(Float32Array.from(values).buffer),
});

const requests: MessageInitShape<typeof ActRequestSchema>[] = [
  { model: 'm', observation: tensor(1, 2, 3) },
  { model: '', selection: { case: 'version', value: 7 }, observation: { shape: [2, 0], data: new Uint8Array() } },
  {
    model: 'é'.repeat(100),
    selection: { case: 'label', value: 'stable' },
    fingerprint: 'sha256:0',
    observation: tensor(),
    contextSource: { case: 'context', value: tensor(-1) },
    sample: true,
    seed: 0n,
    logProb: true,
    budgetUs: 2 ** 32 - 1,
    fallback: Fallback.HOLD,
    clientId: 'robot',
    sequence: 2n ** 64n - 1n,
  },
  { model: 'm', contextSource: { case: 'contextHandle', value: 'abc' }, seed: 2n ** 53n },
  // Longer than the writer, so that it grows inside a message.
  ...[200, 243, 300, 3000].map((count) => ({
    model: 'm',
    observation: tensor(...Array.from({ length: count }, (_, i) => i)),
    contextSource: { case: 'context', value: tensor(...Array.from({ length: 63 }, (_, i) => -i)) } as const,
    sequence: BigInt(count) ** 3n,
  })),
];

test.each(requests)('says %#', (request) => {
  expect(fromBinary(ActRequestSchema, encodeAct(request))).toEqual(create(ActRequestSchema, request));
  const streamed = { act: request, follow: true, newestWins: true };
  expect(fromBinary(ActStreamRequestSchema, encodeStreamed(streamed))).toEqual(
    create(ActStreamRequestSchema, streamed),
  );
});

const responses: MessageInitShape<typeof ActResponseSchema>[] = [
  {},
  {
    action: tensor(1, 2),
    version: 3,
    weightAgeMs: 1.5,
    sequence: 9n,
    timing: { totalUs: 1, primaryUs: 2, networkUs: 3, eventLoopDelayUs: 4 },
  },
  { action: { shape: [1, 2], data: new Uint8Array(8) }, logProb: tensor(0.5), seed: 0n, timing: {} },
  { action: tensor(1), fallbackTaken: { fallback: Fallback.SAFE, reason: 'budget', ageMs: 0.5 } },
];

test.each(responses)('reads %#', (response) => {
  const bytes = toBinary(ActResponseSchema, create(ActResponseSchema, response));
  expect({ ...decodeAct(bytes) }).toEqual({ ...fromBinary(ActResponseSchema, bytes) });
  const streamed = create(ActStreamResponseSchema, {
    result: { case: 'response', value: response },
    supersededCount: 2,
  });
  const { result, supersededCount } = decodeStreamed(toBinary(ActStreamResponseSchema, streamed));
  expect({ ...result.value }).toEqual({ ...streamed.result.value });
  expect(supersededCount).toBe(2);
});

test('reads the error of a stream', () => {
  const error = { status: 'NOT_FOUND', text: 'x', sequence: 1n };
  const message = create(ActStreamResponseSchema, { result: { case: 'error', value: error } });
  expect(decodeStreamed(toBinary(ActStreamResponseSchema, message)).result.value).toMatchObject(error);
});

test('reads what is unusual as the general codec does', () => {
  const usual = toBinary(ActResponseSchema, create(ActResponseSchema, responses[1]!));
  // A tensor twice, which merges; a field that is not known.
  for (const more of [usual, Uint8Array.of(0xa0, 0x06, 0x01)]) {
    const bytes = Uint8Array.of(...usual, ...more);
    expect({ ...decodeAct(bytes) }).toEqual({ ...fromBinary(ActResponseSchema, bytes) });
  }
  for (const end of [1, 5, usual.length - 1]) expect(() => decodeAct(usual.subarray(0, end))).toThrow();
});
