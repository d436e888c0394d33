/** Elementwise arithmetic: one value to one, and two broadcast values to one. */

import * as tf from '@tensorflow/tfjs-core';
import { fill } from '../../onnx/builder.ts';
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

export const elementwiseKernels: KernelTable = {
  [tf.Abs]: unary('Abs'),
  [tf.Acos]: unary('Acos'),
  [tf.Acosh]: unary('Acosh'),
  [tf.Asin]: unary('Asin'),
  [tf.Asinh]: unary('Asinh'),
  [tf.Atan]: unary('Atan'),
  [tf.Atanh]: unary('Atanh'),
  [tf.Ceil]: unary('Ceil'),
  [tf.Cos]: unary('Cos'),
  [tf.Cosh]: unary('Cosh'),
  [tf.Erf]: unary('Erf'),
  [tf.Exp]: unary('Exp'),
  [tf.Floor]: unary('Floor'),
  [tf.Log]: unary('Log'),
  [tf.Neg]: unary('Neg'),
  [tf.Reciprocal]: unary('Reciprocal'),
  [tf.Round]: unary('Round'),
  [tf.Sign]: unary('Sign'),
  [tf.Sin]: unary('Sin'),
  [tf.Sinh]: unary('Sinh'),
  [tf.Sqrt]: unary('Sqrt'),
  [tf.Tan]: unary('Tan'),
  // e^x - 1 = tanh(x / 2) (e^x + 1), which keeps small x.
  [tf.Expm1]: (g, { x }) => {
    const half = ops.unary(g, 'Tanh', ops.mul(g, x!, fill(0.5, x!.dtype, [])));
    return ops.mul(g, half, ops.add(g, ops.unary(g, 'Exp', x!), fill(1, x!.dtype, [])));
  },
  // log(1 + x) = 2 atanh(x / (x + 2)), which keeps small x, and as written elsewhere.
  [tf.Log1p]: (g, { x }) => {
    const number = (value: number) => fill(value, x!.dtype, []);
    const ratio = ops.arithmetic(g, 'Div', x!, ops.add(g, x!, number(2)));
    const near = ops.mul(g, ops.unary(g, 'Atanh', ratio), number(2));
    const far = ops.unary(g, 'Log', ops.add(g, x!, number(1)));
    return ops.where(g, ops.comparison(g, 'Less', ops.unary(g, 'Abs', x!), number(0.5)), near, far);
  },
  [tf.Rsqrt]: (g, { x }) => ops.unary(g, 'Reciprocal', ops.unary(g, 'Sqrt', x!)),
  [tf.Square]: (g, { x }) => ops.mul(g, x!, x!),
  // ONNX truncates towards zero and maps non-zero to true, as tfjs does.
  [tf.Cast]: (g, { x }, { dtype }) => ops.cast(g, x!, dtypeOf(dtype as tf.DataType)),
  [tf.Identity]: (_g, { x }) => x!,

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
  // int32 whatever the operands' type, as tfjs.
  [tf.FloorDiv]: (g, { a, b }) => {
    const quotient = ops.arithmetic(g, 'Div', ops.cast(g, a!, 'float32'), ops.cast(g, b!, 'float32'));
    return ops.cast(g, ops.unary(g, 'Floor', quotient), 'int32');
  },
  // The remainder has the divisor's sign, as Python's.
  [tf.Mod]: (g, { a, b }) => {
    const quotient = ops.unary(
      g,
      'Floor',
      ops.arithmetic(g, 'Div', ops.cast(g, a!, 'float32'), ops.cast(g, b!, 'float32')),
    );
    return ops.sub(g, a!, ops.mul(g, ops.cast(g, quotient, a!.dtype), b!));
  },
  [tf.AddN]: (g, { list }) => list.reduce((sum, term) => ops.add(g, sum, term)),
};
