import { create } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { decodeRows, distinctRows, repeatRow } from '../../../server/call/tensors.ts';
import { TensorSchema } from '../../../src/gen/hyperpolicy/v1/tensor_pb.ts';

const limits = { where: 'Act observation', columnCount: 2, rowCountMax: 4, model: 'm' };

const message = (values: number[], shape: number[]) =>
  create(TensorSchema, { shape, data: new Uint8Array(Float32Array.from(values).buffer) });

describe('decodeRows', () => {
  test('reads bytes at any alignment and copies them', () => {
    const padded = new Uint8Array(17);
    padded.set(new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer), 1);
    const tensor = create(TensorSchema, { shape: [2, 2], data: padded.subarray(1) });
    const rows = decodeRows(tensor, limits);
    padded.fill(0);
    expect(rows).toEqual({ values: Float32Array.of(1, 2, 3, 4), rowCount: 2 });
  });

  test('turns -0 into 0, so that equal rows are equal bytes', () => {
    const { values } = decodeRows(message([-0, 1], [2]), limits);
    expect(Object.is(values[0], 0)).toBe(true);
  });

  test('names at most eight sizes of a hostile shape', () => {
    const shape = Array.from({ length: 100_000 }, () => 1);
    expect(() => decodeRows(message([], shape), limits)).toThrow(
      'Act observation: expected shape [rows, 2] or [2] for model "m", got [1, 1, 1, 1, 1, 1, 1, 1, ... (100000 dimensions)]',
    );
  });
});

describe('distinctRows', () => {
  test('keeps first appearances in order and says which row has which', () => {
    const values = Float32Array.of(1, 2, 3, 4, 1, 2, 5, 6, 3, 4);
    const { values: distinct, keys, index } = distinctRows({ values, rowCount: 5 }, 2);
    expect([...distinct]).toEqual([1, 2, 3, 4, 5, 6]);
    expect([...index!]).toEqual([0, 1, 0, 2, 1]);
    expect(new Set(keys).size).toBe(3);
  });

  test('needs no index where all rows are equal', () => {
    const rows = { values: repeatRow(Float32Array.of(1, 2), 3), rowCount: 3 };
    expect(distinctRows(rows, 2)).toMatchObject({ values: Float32Array.of(1, 2), index: undefined });
  });

  test('a single row and the same row of a batch have one key', () => {
    const one = distinctRows({ values: Float32Array.of(1, 2), rowCount: 1 }, 2);
    const batch = distinctRows({ values: Float32Array.of(3, 4, 1, 2), rowCount: 2 }, 2);
    expect(batch.keys[1]).toBe(one.keys[0]);
  });
});
