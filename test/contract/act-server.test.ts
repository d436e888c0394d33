/** The written-out codec of Act reads and writes what the general one does: random messages, odd ones, and broken ones. */

import { create, fromBinary, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { decodeActRequest, decodeActStreamRequest } from '../../src/contract/act-request.ts';
import { encodeActResponse, encodeActStreamResponse } from '../../src/contract/act-response.ts';
import { createRandom } from '../../src/contract/random.ts';
import {
  ActRequestSchema,
  ActResponseSchema,
  ActStreamRequestSchema,
  ActStreamResponseSchema,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';

const actCodec = { decode: decodeActRequest, encode: encodeActResponse };
const actStreamCodec = { decode: decodeActStreamRequest, encode: encodeActStreamResponse };

const random = createRandom(21);
const below = (count: number): number => Math.floor(random.uniform() * count);
const pick = <T>(...values: readonly T[]): T => values[below(values.length)]!;
/** Integers of every length. */
const integer = (bits: number): number => Math.floor(random.uniform() * 2 ** below(bits + 1));
const tensor = () => ({
  shape: Array.from({ length: below(4) }, () => pick(0, 1, integer(31))),
  data: Uint8Array.from({ length: pick(0, 4, 68, 300) }, () => below(256)),
});
const sometimes = <T>(value: T): T | undefined => (random.uniform() < 0.5 ? value : undefined);
/** Without the fields that are not there. */
const defined = <T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;

/** With bytes as plain arrays: the general codec gives Buffers, ours views. */
const plain = (value: unknown): unknown =>
  value instanceof Uint8Array
    ? [...value]
    : Array.isArray(value) || value === null || typeof value !== 'object'
      ? value
      : Object.fromEntries(Object.entries(value).map(([key, field]) => [key, plain(field)]));

const request = (): MessageInitShape<typeof ActRequestSchema> =>
  defined({
    model: pick('', 'ant', 'a'.repeat(200), 'modèle', '模型'),
    selection: pick({ case: undefined }, { case: 'version', value: integer(31) }, { case: 'label', value: 'stable' }),
    fingerprint: sometimes('f00d'),
    observation: sometimes(tensor()),
    contextSource: pick(
      { case: undefined },
      { case: 'context', value: tensor() },
      { case: 'contextHandle', value: 'abc' },
    ),
    sample: pick(true, false),
    seed: sometimes(pick(0n, BigInt(integer(53)), 2n ** 63n)),
    logProb: pick(true, false),
    budgetUs: pick(0, integer(31)),
    fallback: pick(0, 1, 2, 3, 9),
    clientId: sometimes('robot-1'),
    sequence: sometimes(pick(0n, BigInt(integer(53)), 2n ** 64n - 1n)),
  }) as MessageInitShape<typeof ActRequestSchema>;

const response = (): MessageInitShape<typeof ActResponseSchema> =>
  defined({
    action: sometimes(tensor()),
    logProb: sometimes(tensor()),
    seed: sometimes(pick(0n, BigInt(integer(53)), 2n ** 60n)),
    version: pick(0, integer(31)),
    weightAgeMs: pick(0, -1.5, random.uniform() * 1e6),
    sequence: pick(0n, BigInt(integer(53)), 2n ** 64n - 1n),
    timing: sometimes({
      totalUs: integer(31),
      primaryUs: pick(0, integer(20)),
      networkUs: integer(8),
      eventLoopDelayUs: 0,
    }),
    fallbackTaken: pick(undefined, undefined, { fallback: 2, reason: 'budget', ageMs: 1 }),
  }) as MessageInitShape<typeof ActResponseSchema>;

describe('Act', () => {
  test('reads and writes 2000 random messages as the general codec', () => {
    for (let i = 0; i < 2000; i++) {
      const bytes = Buffer.from(toBinary(ActRequestSchema, create(ActRequestSchema, request())));
      expect(plain(actCodec.decode(bytes))).toEqual(plain(fromBinary(ActRequestSchema, bytes)));
      const answer = response();
      expect([...actCodec.encode(answer)]).toEqual([...toBinary(ActResponseSchema, create(ActResponseSchema, answer))]);
    }
  });

  test('reads and writes 2000 random messages of a stream as the general codec', () => {
    for (let i = 0; i < 2000; i++) {
      const asked = defined({ act: sometimes(request()), follow: pick(true, false), newestWins: pick(true, false) });
      const bytes = Buffer.from(toBinary(ActStreamRequestSchema, create(ActStreamRequestSchema, asked)));
      expect(plain(actStreamCodec.decode(bytes))).toEqual(plain(fromBinary(ActStreamRequestSchema, bytes)));
      const answer: MessageInitShape<typeof ActStreamResponseSchema> = {
        result: pick(
          { case: undefined },
          { case: 'response', value: response() },
          { case: 'error', value: { status: 'NOT_FOUND', text: 'x' } },
        ),
        supersededCount: pick(0, integer(20)),
      };
      expect([...actStreamCodec.encode(answer)]).toEqual([
        ...toBinary(ActStreamResponseSchema, create(ActStreamResponseSchema, answer)),
      ]);
    }
  });

  test('merges a field that comes twice, and skips unknown fields, as the general codec', () => {
    const part = (init: MessageInitShape<typeof ActRequestSchema>) =>
      Buffer.from(toBinary(ActRequestSchema, create(ActRequestSchema, init)));
    const unknownField = Buffer.from([0xf8, 0x07, 0x01]); // field 127, varint 1
    for (const bytes of [
      Buffer.concat([
        part({ observation: { shape: [1] } }),
        part({ observation: { shape: [3], data: Uint8Array.of(1) } }),
      ]),
      Buffer.concat([part({ model: 'a' }), part({ model: 'b' })]),
      Buffer.concat([part({ model: 'a' }), unknownField]),
      Buffer.concat([
        part({ contextSource: { case: 'context', value: { shape: [1] } } }),
        part({ contextSource: { case: 'context', value: { shape: [2] } } }),
      ]),
      // The shape unpacked: field 5 { field 1: 2, field 1: 17 }
      Buffer.from([0x2a, 0x04, 0x08, 0x02, 0x08, 0x11]),
    ]) {
      const expected = fromBinary(ActRequestSchema, bytes, { readUnknownFields: false });
      expect(plain(actCodec.decode(bytes))).toEqual(plain(expected));
    }
  });

  test('refuses what the general codec refuses: every cut of a message, and random bytes', () => {
    const whole = Buffer.from(
      toBinary(ActRequestSchema, create(ActRequestSchema, { model: 'ant', observation: tensor(), clientId: 'é' })),
    );
    const broken = [
      ...Array.from({ length: whole.length }, (_, length) => whole.subarray(0, length)),
      ...Array.from({ length: 3000 }, () => Buffer.from(Array.from({ length: below(24) }, () => below(256)))),
    ];
    let refusedCount = 0;
    for (const bytes of broken) {
      let expected: unknown;
      try {
        expected = fromBinary(ActRequestSchema, bytes, { readUnknownFields: false });
      } catch {
        refusedCount++;
        expect(() => actCodec.decode(bytes), bytes.toString('hex')).toThrow();
        continue;
      }
      expect(plain(actCodec.decode(bytes)), bytes.toString('hex')).toEqual(plain(expected));
    }
    expect(refusedCount).toBeGreaterThan(1000);
  });

  test('knows every field of its messages: a field that is added must be written here too', () => {
    const numbers = ({ fields }: { fields: readonly { number: number }[] }) => fields.map(({ number }) => number);
    expect(numbers(ActRequestSchema)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    expect(numbers(ActResponseSchema)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(numbers(ActStreamRequestSchema)).toEqual([1, 2, 3]);
    expect(numbers(ActStreamResponseSchema)).toEqual([1, 2, 3]);
  });
});
