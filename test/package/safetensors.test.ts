/** The file format, both ways; against Python's own implementation where it is there. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { readSafetensors, writeSafetensors } from '../../src/package/safetensors.ts';

const directory = mkdtempSync(join(tmpdir(), 'hyperpolicy-safetensors-'));
afterAll(() => rmSync(directory, { recursive: true }));

const file = {
  tensors: new Map([
    ['layer0.weight', { shape: [2, 3], data: Float32Array.of(1, -2, 3.5, 0.1, -0, 1e-40) }],
    ['scalar', { shape: [], data: Float32Array.of(7) }],
    ['empty', { shape: [0, 4], data: new Float32Array(0) }],
  ]),
  metadata: { format: 'test', note: 'ünïcode' },
};

/** A file of this header and these bytes of tensors. */
function encode(header: unknown, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = new TextEncoder().encode(typeof header === 'string' ? header : JSON.stringify(header));
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

test('what is written is read again, bit by bit', () => {
  const read = readSafetensors(writeSafetensors(file));
  expect(read.tensors).toEqual(file.tensors);
  expect(read.metadata).toEqual(file.metadata);
});

test('a file at an odd place in memory is read', () => {
  const bytes = writeSafetensors(file);
  const shifted = new Uint8Array(bytes.length + 1);
  shifted.set(bytes, 1);
  expect(readSafetensors(shifted.subarray(1)).tensors).toEqual(file.tensors);
});

test('half, bfloat and double become float32', () => {
  // 1.5 is 0x3e00 in half and 0x3fc0 in bfloat16; -2^-24 is the half 0x8001; 1/3 rounds.
  const doubles = new Uint8Array(Float64Array.of(1 / 3).buffer);
  const data = Uint8Array.of(...doubles, 0x00, 0x3e, 0x01, 0x80, 0xc0, 0x3f);
  const read = readSafetensors(
    encode(
      {
        a: { dtype: 'F64', shape: [1], data_offsets: [0, 8] },
        b: { dtype: 'F16', shape: [2], data_offsets: [8, 12] },
        c: { dtype: 'BF16', shape: [1], data_offsets: [12, 14] },
      },
      data,
    ),
  );
  expect([...read.tensors.values()].map((tensor) => [...tensor.data])).toEqual([
    [Math.fround(1 / 3)],
    [1.5, -(2 ** -24)],
    [1.5],
  ]);
});

describe('a malformed file is refused', () => {
  const entry = (offsets: [number, number], fields = {}) => ({
    dtype: 'F32',
    shape: [1],
    data_offsets: offsets,
    ...fields,
  });
  const four = new Uint8Array(4);
  test.each([
    ['too short', new Uint8Array(3), 'expected at least 8 bytes, got 3'],
    ['a header beyond the end', encode({}).subarray(0, 9), "expected a header within the file's 9 bytes, got one of 2"],
    ['no JSON', encode('{"a'), 'expected a header of JSON'],
    ['an array', encode([]), 'expected a JSON object'],
    ['a missing field', encode({ a: { dtype: 'F32' } }), 'expected dtype, shape and data_offsets of tensor "a"'],
    [
      'integers',
      encode({ a: entry([0, 4], { dtype: 'I32' }) }, four),
      'expected tensor "a" of F64, F32, F16, BF16, got I32',
    ],
    [
      'a type that every object has',
      encode({ a: entry([0, 4], { dtype: 'constructor' }) }, four),
      'expected tensor "a" of F64, F32, F16, BF16, got constructor',
    ],
    [
      'a cut file',
      encode({ a: entry([0, 4]) }, four.subarray(0, 2)),
      'expected 4 bytes of tensors, as the header says, got 2',
    ],
    [
      'a gap',
      encode({ a: entry([4, 8]) }, new Uint8Array(8)),
      'expected tensor "a" of F32 [1] at bytes 0 to 4, got 4 to 8',
    ],
    [
      'an overlap',
      encode({ a: entry([0, 4]), b: entry([0, 4]) }, four),
      'expected tensor "b" of F32 [1] at bytes 4 to 8, got 0 to 4',
    ],
    [
      'another size',
      encode({ a: entry([0, 4], { shape: [2] }) }, four),
      'expected tensor "a" of F32 [2] at bytes 0 to 8, got 0 to 4',
    ],
    [
      'a tail',
      encode({ a: entry([0, 4]) }, new Uint8Array(6)),
      'expected 4 bytes of tensors, as the header says, got 6',
    ],
  ])('%s', (_name, bytes, message) => {
    expect(() => readSafetensors(bytes, 'x.safetensors')).toThrow(`x.safetensors: ${message}`);
  });

  test('a tensor that is not as large as its shape is not written', () => {
    const tensors = new Map([['a', { shape: [2], data: new Float32Array(3) }]]);
    expect(() => writeSafetensors({ tensors, metadata: {} })).toThrow('expected 2 values, as [2]');
  });
});

/** A Python that has the safetensors package: the one that HYPERPOLICY_PYTHON names, else `python3`. */
const python = process.env.HYPERPOLICY_PYTHON ?? 'python3';

function hasPython(): boolean {
  try {
    execFileSync(python, ['-c', 'import numpy, safetensors.numpy'], { stdio: 'ignore' });
    return true;
  } catch {
    if (process.env.CI === 'true') throw new Error(`${python}: expected numpy and safetensors in CI, got none`);
    process.stderr.write(`safetensors: skipped against Python: ${python} has no numpy and safetensors\n`);
    return false;
  }
}

describe.skipIf(!hasPython())('Python', () => {
  const run = (script: string, ...args: string[]) =>
    execFileSync(python, ['-c', script, ...args], { encoding: 'utf8' }).trim();

  test('reads what we write', () => {
    const path = join(directory, 'ours.safetensors');
    writeFileSync(path, writeSafetensors(file));
    const script = `
import json, sys
from safetensors import safe_open
with safe_open(sys.argv[1], "np") as f:
    tensors = {k: [list(f.get_tensor(k).shape), str(f.get_tensor(k).dtype), f.get_tensor(k).reshape(-1).tolist()] for k in f.keys()}
    print(json.dumps([tensors, f.metadata()]))
`;
    const [tensors, metadata] = JSON.parse(run(script, path)) as [Record<string, unknown>, unknown];
    expect(metadata).toEqual(file.metadata);
    for (const [name, { shape, data }] of file.tensors) expect(tensors[name]).toEqual([shape, 'float32', [...data]]);
  });

  test('writes what we read', () => {
    const path = join(directory, 'theirs.safetensors');
    const script = `
import sys, numpy
from safetensors.numpy import save_file
save_file({"b.weight": numpy.arange(6, dtype=numpy.float32).reshape(2, 3) / 7, "a": numpy.array([0.1], numpy.float64),
           "h": numpy.array([[0.1]], numpy.float16)}, sys.argv[1], {"k": "v"})
`;
    run(script, path);
    const read = readSafetensors(readFileSync(path), path);
    expect(read.metadata).toEqual({ k: 'v' });
    const values = Float32Array.from({ length: 6 }, (_, i) => Math.fround(i) / 7);
    expect(read.tensors.get('b.weight')).toEqual({ shape: [2, 3], data: values });
    expect(read.tensors.get('a')!.data[0]).toBe(Math.fround(0.1));
    expect(read.tensors.get('h')!.data[0]).toBe(0.0999755859375);
  });
});
