/** Comparisons, logic, and selection by a condition or by bounds. */

import * as tf from '@tensorflow/tfjs-core';
import * as ops from '../../onnx/ops/elementwise.ts';
import type { Kernel, KernelTable } from './kernel.ts';

const comparison =
  (op: ops.ComparisonOp): Kernel =>
  (g, { a, b }) =>
    ops.comparison(g, op, a!, b!);

export const comparisonKernels: KernelTable = {
  [tf.Equal]: comparison('Equal'),
  [tf.Greater]: comparison('Greater'),
  [tf.GreaterEqual]: comparison('GreaterOrEqual'),
  [tf.Less]: comparison('Less'),
  [tf.LessEqual]: comparison('LessOrEqual'),
  [tf.NotEqual]: (g, { a, b }) => ops.not(g, ops.comparison(g, 'Equal', a!, b!)),
  [tf.LogicalAnd]: comparison('And'),
  [tf.LogicalOr]: comparison('Or'),
  [tf.LogicalNot]: (g, { x }) => ops.not(g, x!),
  [tf.IsNan]: (g, { x }) => ops.classify(g, 'IsNaN', x!),
  [tf.IsInf]: (g, { x }) => ops.classify(g, 'IsInf', x!),
  [tf.IsFinite]: (g, { x }) =>
    ops.not(g, ops.comparison(g, 'Or', ops.classify(g, 'IsNaN', x!), ops.classify(g, 'IsInf', x!))),
  // tf.where has broadcast all three by now.
  [tf.Select]: (g, { condition, t, e }) => ops.where(g, condition!, t!, e!),
  [tf.ClipByValue]: (g, { x }, { clipValueMin, clipValueMax }) =>
    ops.clip(g, x!, clipValueMin as number, clipValueMax as number),
};
