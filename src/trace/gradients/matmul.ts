/** Gradients of matrix products. */

import * as tf from '@tensorflow/tfjs-core';
import { type GradientTable, sumTo } from './gradient.ts';

export const matMulGradients: GradientTable = {
  // Y = op(A) op(B): each gradient is a product again, with the flags that avoid a transpose.
  [tf.BatchMatMul]: {
    inputs: ['a', 'b'],
    gradient: (dy, [a, b], { transposeA, transposeB }) => {
      const [flipA, flipB] = [transposeA === true, transposeB === true];
      return [
        () => sumTo(flipA ? tf.matMul(b!, dy, flipB, true) : tf.matMul(dy, b!, false, !flipB), a!.shape),
        () => sumTo(flipB ? tf.matMul(dy, a!, true, flipA) : tf.matMul(a!, dy, !flipA, false), b!.shape),
      ];
    },
  },
};
