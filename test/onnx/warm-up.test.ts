/** First runs over zeros. */

import { expect, test } from 'vitest';
import { openSession, type TensorMap } from '../../src/onnx/session.ts';
import { warmUp } from '../../src/onnx/warm-up.ts';
import { exponential, mixed } from './graphs.ts';

test('a graph runs over zeros of its types, with so many rows where they are symbolic', () => {
  for (const [model, shapes] of [
    [exponential(1), { x: ['float32', [7, 2]] }],
    [mixed(), { x: ['float32', [2, 3]], rows: ['int64', [3]] }],
  ] as const) {
    const session = openSession(model, { threadCount: 1 });
    const runs: TensorMap[] = [];
    const run = (feeds: TensorMap) => {
      runs.push(feeds);
      return session.run(feeds);
    };
    warmUp({ inputs: session.inputs, run }, 7, 'graph.onnx');
    session.dispose();
    const seen = Object.entries(runs[0]!).map(([name, { type, dims }]) => [name, [type, [...dims]]]);
    expect([runs.length, Object.fromEntries(seen)]).toEqual([1, shapes]);
  }
});

test('a graph that does not run, or asks for huge inputs, is named', () => {
  const input = { name: 'x', dtype: 'float32', shape: ['B', 2 ** 22] } as const;
  const run = () => {
    throw new Error('the shape does not fit');
  };
  expect(() => warmUp({ inputs: [input], run }, 4, 'graph.onnx')).toThrow(
    'graph.onnx: expected a graph that runs 4 rows, got the shape does not fit',
  );
  expect(() => warmUp({ inputs: [input], run }, 5, 'graph.onnx')).toThrow(
    'graph.onnx input "x": expected at most 16777216 values for 5 rows, got [B, 4194304]',
  );
});
