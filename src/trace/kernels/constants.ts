/** Kernels that make values from nothing but sizes and numbers. */

import * as tf from '@tensorflow/tfjs-core';
import { dense, fill } from '../../onnx/builder.ts';
import { dtypeOf, filled, refuseSymbolicShape } from '../backend.ts';
import type { KernelTable } from './kernel.ts';

export const constantKernels: KernelTable = {
  [tf.Fill]: (g, _inputs, { value, shape, dtype }) =>
    filled(value as number, dtypeOf((dtype as tf.DataType | undefined) ?? 'float32'), shape as number[], g.symbols),
  [tf.ZerosLike]: (_g, { x }) => fill(0, x!.dtype, x!.shape),
  [tf.OnesLike]: (_g, { x }) => fill(1, x!.dtype, x!.shape),
  [tf.Range]: (g, _inputs, { start, stop, step, dtype }) => {
    const type = dtypeOf(dtype as tf.DataType);
    const length = Math.max(0, Math.ceil(((stop as number) - (start as number)) / (step as number)));
    refuseSymbolicShape([length], g.symbols);
    const numbers = Array.from({ length }, (_, i) => (start as number) + i * (step as number));
    return dense(type === 'int32' ? Int32Array.from(numbers) : Float32Array.from(numbers), type, [length]);
  },
};
