/** Two graphs in one session: what each computes alone, and what it takes to join them. */

import { expect, test } from 'vitest';
import { createBuilder, fill } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import { checkForeign } from '../../src/onnx/foreign.ts';
import { joined, joiningOf, withoutSecond, withSecond } from '../../src/onnx/joined.ts';
import { add, mul } from '../../src/onnx/ops/elementwise.ts';
import { floatTensor, openSession, type Tensor } from '../../src/onnx/session.ts';

const [manyK, manyB] = [10007, 10009];

/** w [K, 2] = 2 x. */
function first(): Uint8Array {
  const g = createBuilder(new Map([[manyK, 'K']]));
  const x = g.input('x', 'float32', [manyK, 2]);
  return encode(g.finish('first', [{ name: 'w', value: mul(g, x, fill(2, 'float32', [])) }]));
}

/** z [B, 2] = w of the row's index, times y, plus 1; `rows` [B, 1] is 1. With `mixes` also arithmetic on the index. */
function second({ mixes = false } = {}): Uint8Array {
  const symbols = new Map([
    [manyK, 'K'],
    [manyB, 'B'],
  ]);
  const g = createBuilder(symbols);
  // Declared first, so that numbers of rows are read from it.
  const index = g.input('index', 'int64', [manyB]);
  const w = g.input('w', 'float32', [manyK, 2]);
  const y = g.input('y', 'float32', [manyB, 2]);
  const picked = g.emit('Gather', [w, index], { dtype: 'float32', shape: [manyB, 2] });
  const rows = g.emit('Expand', [fill(1, 'float32', [1, 1]), g.shapeTensor([manyB, 1])], {
    dtype: 'float32',
    shape: [manyB, 1],
  });
  const z = add(g, mul(g, picked, y), rows);
  const mixed = () => g.emit('Add', [index, index], { dtype: 'int64', shape: [manyB] });
  const outputs = { z, rows, ...(mixes && { mixed: mixed() }) };
  return encode(
    g.finish(
      'second',
      Object.entries(outputs).map(([name, value]) => ({ name, value })),
    ),
  );
}

const numbers = (tensor: Tensor | undefined) => [...(tensor!.data as Float32Array)];

test('a run computes the first graph alone, or the second behind it with a row for each of its rows', () => {
  const joining = joiningOf(second(), ['w'])!;
  expect(joining.inputs).toEqual([{ name: 'y', sizes: [2] }]);
  expect(joining.outputs).toEqual(['z', 'rows']);
  const model = joined(first(), joining.bytes)!;
  expect(() => checkForeign(model, 'joined')).not.toThrow();
  const session = openSession(model, { threadCount: 1 });
  const x = floatTensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  const alone = session.run({ x, ...withoutSecond(joining) }, undefined, ['w']);
  expect(Object.keys(alone)).toEqual(['w']);
  expect(numbers(alone.w)).toEqual([2, 4, 6, 8]);
  const y = floatTensor(Float32Array.of(1, -1, 0.5, 10), [2, 2]);
  const both = session.run({ x, y, ...withSecond() }, undefined, joining.outputs);
  expect(Object.keys(both).sort()).toEqual(['rows', 'z']);
  // 2 x 1 + 1, 4 x -1 + 1; 6 x 0.5 + 1, 8 x 10 + 1
  expect(numbers(both.z)).toEqual([3, -3, 4, 81]);
  expect(numbers(both.rows)).toEqual([1, 1]);
  expect(both.z!.dims).toEqual([2, 2]);
  session.dispose();
});

test('a second graph that uses the index otherwise than to pick rows is not joined', () => {
  expect(joiningOf(second({ mixes: true }), ['w'])).toBeUndefined();
  // `w` is then an input like any other: nothing of it may be picked.
  expect(joiningOf(second(), [])).toBeUndefined();
});

test('graphs of another operator set are not joined', () => {
  const joining = joiningOf(second(), ['w'])!;
  const renumbered = (model: Uint8Array) => {
    // The operator set comes last: its version is field 2, a varint.
    const at = model.findLastIndex((byte, i) => byte === 18 && model[i - 1] === 0x10);
    return model.with(at, 17);
  };
  expect(joiningOf(renumbered(second()), ['w'])).toBeUndefined();
  expect(joined(renumbered(first()), joining.bytes)).toBeUndefined();
});
