/** Gradients of comparisons, logic and selection: truth values have none, selected values pass theirs. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientTable, keepWhere, ofX, zero } from './gradient.ts';

export const comparisonGradients: GradientTable = {
  [tf.Equal]: zero('a', 'b'),
  [tf.Greater]: zero('a', 'b'),
  [tf.GreaterEqual]: zero('a', 'b'),
  [tf.Less]: zero('a', 'b'),
  [tf.LessEqual]: zero('a', 'b'),
  [tf.NotEqual]: zero('a', 'b'),
  [tf.LogicalAnd]: zero('a', 'b'),
  [tf.LogicalOr]: zero('a', 'b'),
  [tf.LogicalNot]: zero('x'),
  [tf.IsFinite]: zero('x'),
  [tf.IsInf]: zero('x'),
  [tf.IsNan]: zero('x'),
  // Inside the bounds and on them, as PyTorch.
  [tf.ClipByValue]: ofX((dy, x, { clipValueMin, clipValueMax }) =>
    keepWhere(tf.logicalAnd(tf.greaterEqual(x, clipValueMin as number), tf.lessEqual(x, clipValueMax as number)), dy),
  ),
  [tf.Select]: {
    inputs: ['condition', 't', 'e'],
    gradient: (dy, [condition]) => [
      () => tf.zeros(condition!.shape),
      () => keepWhere(condition!, dy),
      () => keepWhere(tf.logicalNot(condition!), dy),
    ],
  },
};
