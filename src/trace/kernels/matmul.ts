/** Matrix products. */

import * as tf from '@tensorflow/tfjs-core';
import { matMul } from '../../onnx/ops/matmul.ts';
import type { KernelTable } from './kernel.ts';

export const matMulKernels: KernelTable = {
  [tf.BatchMatMul]: (g, { a, b }, { transposeA, transposeB }) =>
    matMul(g, a!, b!, { transposeA: transposeA === true, transposeB: transposeB === true }),
};
