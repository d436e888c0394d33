/** Graphs that run several times in one run, against the arithmetic of their passes. */

import { expect, test } from 'vitest';
import { createBuilder, fill } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import { checkForeign } from '../../src/onnx/foreign.ts';
import type { Graph } from '../../src/onnx/graph.ts';
import { afterPasses, repeated } from '../../src/onnx/loop.ts';
import { add, mul } from '../../src/onnx/ops/elementwise.ts';
import { floatTensor, openSession } from '../../src/onnx/session.ts';

/** x [2] = 2 x + slice, and n [] = n + 1; `same` stays, `copied` is what x was. */
function pass(): Graph {
  const g = createBuilder();
  const x = g.input('x', 'float32', [2]);
  const n = g.input('n', 'float32', []);
  const same = g.input('same', 'float32', [1]);
  g.input('copied', 'float32', [2]);
  const slice = g.input('slice', 'float32', [2]);
  const outputs = {
    copied: x,
    same,
    n: add(g, n, fill(1, 'float32', [])),
    x: add(g, mul(g, x, fill(2, 'float32', [])), slice),
  };
  return g.finish(
    'pass',
    Object.entries(outputs).map(([name, value]) => ({ name, value })),
  );
}

test('each pass begins with what the one before made, and has a slice of its own', () => {
  const session = openSession(encode(repeated(pass(), 3, new Set(['slice']))), { threadCount: 1 });
  expect(session.inputs.find(({ name }) => name === 'slice')?.shape).toEqual([3, 2]);
  const result = session.run({
    x: floatTensor(Float32Array.of(1, -1), [2]),
    n: floatTensor(Float32Array.of(5), []),
    same: floatTensor(Float32Array.of(7), [1]),
    copied: floatTensor(Float32Array.of(0, 0), [2]),
    slice: floatTensor(Float32Array.of(1, 10, 2, 20, 3, 30), [3, 2]),
  });
  const after = (name: string) => [...(result[afterPasses(name)]!.data as Float32Array)];
  // 2 (2 (2 x 1 + 1) + 2) + 3 = 19; 2 (2 (2 x -1 + 10) + 20) + 30 = 102
  expect(after('x')).toEqual([19, 102]);
  // As it was before the last pass.
  expect(after('copied')).toEqual([8, 36]);
  expect(after('n')).toEqual([8]);
  expect(after('same')).toEqual([7]);
  session.dispose();
});

test('a run may write its state to the arrays that it read it from', () => {
  const session = openSession(encode(repeated(pass(), 3, new Set(['slice']))), { threadCount: 1 });
  const state = {
    n: floatTensor(Float32Array.of(0), []),
    x: floatTensor(Float32Array.of(1, 1), [2]),
    same: floatTensor(Float32Array.of(7), [1]),
    copied: floatTensor(new Float32Array(2), [2]),
  };
  const fetches = Object.fromEntries(Object.entries(state).map(([name, tensor]) => [afterPasses(name), tensor]));
  const slice = floatTensor(new Float32Array(6), [3, 2]);
  for (let run = 0; run < 2; run++) session.run({ ...state, slice }, fetches);
  expect([...(state.x.data as Float32Array)]).toEqual([64, 64]);
  expect([...(state.n.data as Float32Array)]).toEqual([6]);
  session.dispose();
});

test('state has to come out as it goes in', () => {
  const g = createBuilder();
  const x = g.input('x', 'float32', [2]);
  const row = g.input('row', 'float32', [1, 2]);
  const graphOf = (outputs: readonly string[]) =>
    g.finish(
      'pass',
      outputs.map((name) => ({ name, value: name === 'row' ? x : row })),
    );
  expect(() => repeated(graphOf(['row']), 2, new Set())).toThrow(
    'pass: expected an output "x" of [2], as it goes in, got none',
  );
  expect(() => repeated(graphOf(['row', 'x']), 2, new Set())).toThrow(
    'pass: expected an output "x" of [2], as it goes in, got [1,2]',
  );
  const passed = g.finish(
    'pass',
    ['x', 'y'].map((name) => ({ name, value: x })),
  );
  expect(() => repeated(passed, 2, new Set(['row']))).toThrow(
    'pass: expected outputs that are state, got "y", which is no input',
  );
});

test('such a graph is refused in a file from others, whose Loop need not end', () => {
  const model = encode(repeated(pass(), 3, new Set(['slice'])));
  expect(() => checkForeign(model, 'policy.onnx')).toThrow(
    'policy.onnx: expected a graph whose runs end, without Loop',
  );
});
