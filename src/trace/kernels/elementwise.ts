/** Elementwise tfjs kernels. */

import * as tf from '@tensorflow/tfjs-core';
import { type Builder, fill } from '../../onnx/builder.ts';
import type { Value } from '../../onnx/graph.ts';
import * as ops from '../../onnx/ops/elementwise.ts';
import { dtypeOf } from '../backend.ts';
import type { Kernel, KernelTable } from './kernel.ts';

const unary =
  (op: ops.UnaryOp): Kernel =>
  (g, { x }) =>
    ops.unary(g, op, x!);

const arithmetic =
  (op: ops.ArithmeticOp): Kernel =>
  (g, { a, b }) =>
    ops.arithmetic(g, op, a!, b!);

const isPositive = (g: Builder, x: Value): Value => ops.comparison(g, 'Greater', x, fill(0, x.dtype, []));

const comparison =
  (op: ops.ComparisonOp): Kernel =>
  (g, { a, b }) =>
    ops.comparison(g, op, a!, b!);

export const elementwiseKernels: KernelTable = {
  [tf.Abs]: unary('Abs'),
  [tf.Ceil]: unary('Ceil'),
  [tf.Cos]: unary('Cos'),
  [tf.Elu]: unary('Elu'),
  [tf.Erf]: unary('Erf'),
  [tf.Exp]: unary('Exp'),
  [tf.Floor]: unary('Floor'),
  [tf.Log]: unary('Log'),
  [tf.Neg]: unary('Neg'),
  [tf.Reciprocal]: unary('Reciprocal'),
  [tf.Relu]: unary('Relu'),
  [tf.Round]: unary('Round'),
  [tf.Sigmoid]: unary('Sigmoid'),
  [tf.Sign]: unary('Sign'),
  [tf.Sin]: unary('Sin'),
  [tf.Softplus]: unary('Softplus'),
  [tf.Sqrt]: unary('Sqrt'),
  [tf.Tanh]: unary('Tanh'),
  [tf.Expm1]: (g, { x }) => ops.sub(g, ops.unary(g, 'Exp', x!), fill(1, x!.dtype, [])),
  [tf.Log1p]: (g, { x }) => ops.unary(g, 'Log', ops.add(g, x!, fill(1, x!.dtype, []))),
  [tf.Rsqrt]: (g, { x }) => ops.unary(g, 'Reciprocal', ops.unary(g, 'Sqrt', x!)),
  [tf.Square]: (g, { x }) => ops.mul(g, x!, x!),
  [tf.Step]: (g, { x }, { alpha }) =>
    ops.where(g, isPositive(g, x!), fill(1, x!.dtype, []), fill(Number(alpha), x!.dtype, [])),

  [tf.Add]: arithmetic('Add'),
  [tf.Sub]: arithmetic('Sub'),
  [tf.Multiply]: arithmetic('Mul'),
  [tf.RealDiv]: arithmetic('Div'),
  [tf.Maximum]: arithmetic('Max'),
  [tf.Minimum]: arithmetic('Min'),
  [tf.Pow]: arithmetic('Pow'),
  [tf.SquaredDifference]: (g, { a, b }) => {
    const difference = ops.sub(g, a!, b!);
    return ops.mul(g, difference, difference);
  },
  [tf.FloorDiv]: (g, { a, b }) => {
    const quotient = ops.arithmetic(g, 'Div', ops.cast(g, a!, 'float32'), ops.cast(g, b!, 'float32'));
    return ops.cast(g, ops.unary(g, 'Floor', quotient), a!.dtype);
  },
  [tf.LeakyRelu]: (g, { x }, { alpha }) =>
    ops.where(g, isPositive(g, x!), x!, ops.mul(g, x!, fill(Number(alpha), 'float32', []))),
  [tf.Prelu]: (g, { x, alpha }) => ops.where(g, isPositive(g, x!), x!, ops.mul(g, x!, alpha!)),
  [tf.Relu6]: (g, { x }) => ops.clip(g, x!, 0, 6),
  [tf.AddN]: (g, { list }) => list.reduce((sum, term) => ops.add(g, sum, term)),

  [tf.Equal]: comparison('Equal'),
  [tf.Greater]: comparison('Greater'),
  [tf.GreaterEqual]: comparison('GreaterOrEqual'),
  [tf.Less]: comparison('Less'),
  [tf.LessEqual]: comparison('LessOrEqual'),
  [tf.LogicalAnd]: comparison('And'),
  [tf.LogicalOr]: comparison('Or'),
  [tf.LogicalNot]: (g, { x }) => ops.not(g, x!),
  [tf.NotEqual]: (g, { a, b }) => ops.not(g, ops.comparison(g, 'Equal', a!, b!)),

  // tf.where has broadcast all three by now.
  [tf.Select]: (g, { condition, t, e }) => ops.where(g, condition!, t!, e!),
  [tf.ClipByValue]: (g, { x }, { clipValueMin, clipValueMax }) =>
    ops.clip(g, x!, clipValueMin as number, clipValueMax as number),
  // ONNX truncates towards zero and maps non-zero to true, as tfjs does.
  [tf.Cast]: (g, { x }, { dtype }) => ops.cast(g, x!, dtypeOf(dtype as tf.DataType)),
  [tf.Identity]: (_g, { x }) => x!,
};
