/** Activations, the softmax family among them. */

import * as tf from '@tensorflow/tfjs-core';
import { type Builder, fill } from '../../onnx/builder.ts';
import type { Value } from '../../onnx/graph.ts';
import { requireDtype } from '../../onnx/ops/dtype-rules.ts';
import * as ops from '../../onnx/ops/elementwise.ts';
import type { Kernel, KernelTable } from './kernel.ts';

const unary =
  (op: ops.UnaryOp): Kernel =>
  (g, { x }) =>
    ops.unary(g, op, x!);

const isPositive = (g: Builder, x: Value): Value => ops.comparison(g, 'Greater', x, fill(0, x.dtype, []));

export const activationKernels: KernelTable = {
  [tf.Elu]: unary('Elu'),
  [tf.Relu]: unary('Relu'),
  [tf.Sigmoid]: unary('Sigmoid'),
  [tf.Softplus]: unary('Softplus'),
  [tf.Tanh]: unary('Tanh'),
  [tf.Relu6]: (g, { x }) => ops.clip(g, x!, 0, 6),
  [tf.LeakyRelu]: (g, { x }, { alpha }) =>
    ops.where(g, isPositive(g, x!), x!, ops.mul(g, x!, fill(Number(alpha), 'float32', []))),
  [tf.Prelu]: (g, { x, alpha }) => ops.where(g, isPositive(g, x!), x!, ops.mul(g, x!, alpha!)),
  [tf.Step]: (g, { x }, { alpha }) => {
    const step = ops.where(g, isPositive(g, x!), fill(1, x!.dtype, []), fill(Number(alpha), x!.dtype, []));
    return x!.dtype === 'float32' ? ops.where(g, ops.classify(g, 'IsNaN', x!), x!, step) : step;
  },
  [tf.Softmax]: (g, { logits }, { dim }) => {
    requireDtype('Softmax', logits!, ['float32']);
    return g.emit('Softmax', [logits!], logits!, { axis: { int: dim as number } });
  },
};
