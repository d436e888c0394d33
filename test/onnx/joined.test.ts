/** Two graphs in one session: what each computes alone, and what it takes to join them. */

import { expect, test } from 'vitest';
import { checkForeign } from '../../src/onnx/foreign.ts';
import { joined, joiningOf, partsOf } from '../../src/onnx/joined.ts';
import { keepOutputs } from '../../src/onnx/kept-outputs.ts';
import { floatTensor, openSession, type Tensor, type TensorMap } from '../../src/onnx/session.ts';
import { doubled, timesPicked } from './graphs.ts';

const numbers = (tensor: Tensor | undefined) => [...(tensor!.data as Float32Array)];

test('a run computes the first graph alone, or the second behind it with a row for each of its rows', () => {
  const joining = joiningOf(timesPicked(), ['w'])!;
  expect(joining.inputs).toEqual([{ name: 'y', sizes: [2] }]);
  expect(joining.outputs).toEqual(['z', 'rows']);
  const model = joined(doubled(), joining.bytes, 'first');
  expect(() => checkForeign(model, 'joined')).not.toThrow();
  const session = openSession(model, { threadCount: 1 });
  const { first: alone, both } = partsOf(session, joining)!;
  expect([alone, both].map(({ inputs }) => inputs.map(({ name }) => name))).toEqual([['x'], ['x', 'y']]);
  const run = (part: typeof both, feeds: TensorMap) =>
    session.run(
      { ...feeds, ...part.feeds },
      undefined,
      part.outputs.map(({ name }) => name),
    );
  const x = floatTensor(Float32Array.of(1, 2, 3, 4), [2, 2]);
  const generated = run(alone, { x });
  expect(Object.keys(generated)).toEqual(['w']);
  expect(numbers(generated.w)).toEqual([2, 4, 6, 8]);
  const y = floatTensor(Float32Array.of(1, -1, 0.5, 10), [2, 2]);
  const results = run(both, { x, y });
  expect(Object.keys(results).sort()).toEqual(['rows', 'z']);
  // 2 x 1 + 1, 4 x -1 + 1; 6 x 0.5 + 1, 8 x 10 + 1
  expect(numbers(results.z)).toEqual([3, -3, 4, 81]);
  expect(numbers(results.rows)).toEqual([1, 1]);
  expect(results.z!.dims).toEqual([2, 2]);
  session.dispose();
});

test('the number of rows of each is its own if both give it one name', () => {
  const joining = joiningOf(timesPicked(), ['w'])!;
  const session = openSession(joined(doubled('w', 'B'), joining.bytes, 'first'), { threadCount: 1 });
  const { first: alone } = partsOf(session, joining)!;
  const feeds = { x: floatTensor(Float32Array.of(1, 2, 3, 4), [2, 2]), ...alone.feeds };
  const generated = session.run(feeds, keepOutputs(session)(feeds, ['w']), ['w']);
  expect(generated.w!.dims).toEqual([2, 2]);
  expect(numbers(generated.w)).toEqual([2, 4, 6, 8]);
  session.dispose();
});

test('a second graph that uses the index otherwise than to pick rows is not joined', () => {
  expect(joiningOf(timesPicked({ mixes: true }), ['w'])).toBeUndefined();
  // `w` is then an input like any other: nothing of it may be picked.
  expect(joiningOf(timesPicked(), [])).toBeUndefined();
});

test('graphs of another operator set are not joined', () => {
  const joining = joiningOf(timesPicked(), ['w'])!;
  const renumbered = (model: Uint8Array) => {
    // The operator set comes last: its version is field 2, a varint.
    const at = model.findLastIndex((byte, i) => byte === 18 && model[i - 1] === 0x10);
    return model.with(at, 17);
  };
  expect(joiningOf(renumbered(timesPicked()), ['w'])).toBeUndefined();
  expect(() => joined(renumbered(doubled()), joining.bytes, 'first')).toThrow(
    'first: operator sets: expected ONNX 18 alone, got ONNX 17',
  );
});
