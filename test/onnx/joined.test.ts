/** Two graphs in one session: what each computes alone, and what it takes to join them. */

import { expect, test } from 'vitest';
import { reduceEnsemble } from '../../src/contract/reduced-ensemble.ts';
import { climbedAction, climbFeeds } from '../../src/onnx/climbing.ts';
import { checkForeign } from '../../src/onnx/foreign.ts';
import { joined, joiningOf, partsOf } from '../../src/onnx/joined.ts';
import { keepOutputs } from '../../src/onnx/kept-outputs.ts';
import { floatTensor, openSession, type Tensor, type TensorMap } from '../../src/onnx/session.ts';
import { checkForWebgpu } from '../../src/onnx/webgpu-faults.ts';
import { climbableCritic, doubled, timesPicked } from './graphs.ts';

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

const bounds = { low: Float32Array.of(-0.5, Number.NEGATIVE_INFINITY), high: Float32Array.of(0.75, 2) };

function openClimbing() {
  const joining = joiningOf(climbableCritic(), ['w'], { ...bounds, ensembleSize: 2 })!;
  const session = openSession(joined(doubled(), joining.bytes, 'first'), { threadCount: 1 });
  const { first, both, climb } = partsOf(session, joining)!;
  const run = (part: typeof both, feeds: TensorMap) =>
    session.run(
      { ...feeds, ...part.feeds },
      undefined,
      part.outputs.map(({ name }) => name),
    );
  return { first, both, climb: climb!, run, session };
}

const rowsOf = (...values: number[]) => floatTensor(Float32Array.from(values), [values.length / 2, 2]);

test.each(['q1', 'min', 'mean'] as const)(
  'an action climbs inside the graph as it does step by step, with the reduction %s',
  (reduction) => {
    const { both, climb, run, session } = openClimbing();
    const x = rowsOf(0.25, 0.5, -1, 2, 0, 0);
    const starts = [0.1, -0.3, 0.7, 1.5, -0.4, 0.2];
    const stepSize = 0.3;
    const actions = Float32Array.from(starts);
    const evaluate = () => {
      const { q, dq_da: dqDa } = run(both, { x, action: rowsOf(...actions) });
      return { q: q!.data as Float32Array, dqDa: dqDa!.data as Float32Array };
    };
    for (let step = 0; step < 7; step++) {
      const { dqDa } = reduceEnsemble(evaluate(), { reduction, rowCount: 3, ensembleSize: 2, actionSize: 2 });
      actions.forEach((value, i) => {
        const moved = value + stepSize * dqDa[i]!;
        actions[i] = Math.min(Math.max(moved, bounds.low[i % 2]!), bounds.high[i % 2]!);
      });
    }
    const climbed = run(climb, { x, action: rowsOf(...starts), ...climbFeeds({ stepCount: 7, stepSize, reduction }) });
    const expected = { ...evaluate(), action: actions };
    const pairs = [
      [climbed[climbedAction], expected.action],
      [climbed.q, expected.q],
      [climbed.dq_da, expected.dqDa],
    ] as const;
    for (const [actual, values] of pairs) {
      for (const [i, value] of values.entries()) expect((actual!.data as Float32Array)[i]).toBeCloseTo(value, 5);
    }
    expect(numbers(climbed[climbedAction])).not.toEqual(starts);
    session.dispose();
  },
);

test('what a graph that climbs is run for otherwise is as without: first alone, and both without steps', () => {
  const { first, both, climb, run, session } = openClimbing();
  const names = (part: typeof both) => ({
    inputs: part.inputs.map(({ name }) => name),
    outputs: part.outputs.map(({ name }) => name),
  });
  expect(names(first)).toEqual({ inputs: ['x'], outputs: ['w'] });
  expect(names(both)).toEqual({ inputs: ['x', 'action'], outputs: ['q', 'dq_da'] });
  expect(names(climb)).toEqual({ inputs: ['x', 'action'], outputs: ['q', 'dq_da', climbedAction] });
  const x = rowsOf(0.25, 0.5);
  expect(numbers(run(first, { x }).w)).toEqual([0.5, 1]);
  const plainJoining = joiningOf(climbableCritic(), ['w'])!;
  const plain = openSession(joined(doubled(), plainJoining.bytes, 'first'), { threadCount: 1 });
  const plainBoth = partsOf(plain, plainJoining)!.both;
  const feeds = { x, action: rowsOf(0.1, -0.2) };
  const expected = plain.run({ ...feeds, ...plainBoth.feeds });
  for (const name of ['q', 'dq_da']) expect(numbers(run(both, feeds)[name])).toEqual(numbers(expected[name]));
  plain.dispose();
  session.dispose();
});

test('a product that would end the process on webgpu is found in the second graph too', () => {
  const bytes = (biasShape: readonly number[]) => {
    const joining = joiningOf(timesPicked({ biasShape }), ['w'])!;
    return joined(doubled(), joining.bytes, 'first');
  };
  expect(() => checkForWebgpu(bytes([]), 'first')).toThrow(
    /^first on webgpu: expected products whose bias has a dimension, got a Gemm "" that adds the number "second/,
  );
  checkForWebgpu(bytes([1]), 'first');
});

test('how many steps an action climbs is told on the host: no node makes it', () => {
  const { session } = openClimbing();
  expect(session.inputs).toContainEqual({ name: 'climb_steps', dtype: 'int64', shape: [1] });
  session.dispose();
});

test('what is no critic does not climb', () => {
  expect(joiningOf(timesPicked(), ['w'], { ...bounds, ensembleSize: 2 })).toBeUndefined();
});

test('a gradient that is not finite does not end at a bound', () => {
  const { climb, run, session } = openClimbing();
  const feeds = { x: rowsOf(Number.POSITIVE_INFINITY, 0), action: rowsOf(0, 0) };
  const climbed = run(climb, { ...feeds, ...climbFeeds({ stepCount: 1, stepSize: 0.1, reduction: 'q1' }) });
  expect(numbers(climbed[climbedAction])).toEqual([Number.NaN, 0]);
  session.dispose();
});
