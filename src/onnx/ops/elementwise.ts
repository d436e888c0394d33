/** Elementwise operators: arithmetic, comparison, selection, activations, cast. All broadcast as NumPy does. */

import { type Builder, fill } from '../builder.ts';
import type { Dtype, Value } from '../graph.ts';
import { numeric, requireDtype, requireSameDtype } from './dtype-rules.ts';
import { broadcastShapes } from './shape-rules.ts';

/** One tensor to another of the same shape: of floats, and of integers too where `integerOps` has it. */
export type UnaryOp =
  | 'Abs'
  | 'Acos'
  | 'Acosh'
  | 'Asin'
  | 'Asinh'
  | 'Atan'
  | 'Atanh'
  | 'Ceil'
  | 'Cos'
  | 'Cosh'
  | 'Elu'
  | 'Erf'
  | 'Exp'
  | 'Floor'
  | 'Log'
  | 'Neg'
  | 'Reciprocal'
  | 'Relu'
  | 'Round'
  | 'Sigmoid'
  | 'Sign'
  | 'Sin'
  | 'Sinh'
  | 'Softplus'
  | 'Sqrt'
  | 'Tan'
  | 'Tanh';

const integerOps: ReadonlySet<UnaryOp> = new Set(['Abs', 'Neg', 'Relu', 'Sign']);

export function unary(g: Builder, op: UnaryOp, x: Value): Value {
  requireDtype(op, x, integerOps.has(op) ? numeric : ['float32']);
  return g.emit(op, [x], x);
}

/** Two tensors of numbers of one type to a third of that type. */
export type ArithmeticOp = 'Add' | 'Div' | 'Max' | 'Min' | 'Mul' | 'Pow' | 'Sub';

export function arithmetic(g: Builder, op: ArithmeticOp, a: Value, b: Value): Value {
  requireSameDtype(op, a, b);
  requireDtype(op, a, numeric);
  return g.emit(op, [a, b], { dtype: a.dtype, shape: broadcastShapes(op, a.shape, b.shape) });
}

export const add = (g: Builder, a: Value, b: Value): Value => arithmetic(g, 'Add', a, b);
export const sub = (g: Builder, a: Value, b: Value): Value => arithmetic(g, 'Sub', a, b);
export const mul = (g: Builder, a: Value, b: Value): Value => arithmetic(g, 'Mul', a, b);

/** Two tensors to a bool tensor. */
export type ComparisonOp = 'And' | 'Equal' | 'Greater' | 'GreaterOrEqual' | 'Less' | 'LessOrEqual' | 'Or';

export function comparison(g: Builder, op: ComparisonOp, a: Value, b: Value): Value {
  requireSameDtype(op, a, b);
  if (op === 'And' || op === 'Or') requireDtype(op, a, ['bool']);
  else if (op !== 'Equal') requireDtype(op, a, numeric);
  return g.emit(op, [a, b], { dtype: 'bool', shape: broadcastShapes(op, a.shape, b.shape) });
}

/** Whether each value is not a number, or infinite, as a bool tensor. */
export function classify(g: Builder, op: 'IsInf' | 'IsNaN', x: Value): Value {
  requireDtype(op, x, ['float32']);
  return g.emit(op, [x], { dtype: 'bool', shape: x.shape });
}

export function not(g: Builder, x: Value): Value {
  requireDtype('Not', x, ['bool']);
  return g.emit('Not', [x], x);
}

/** `condition ? a : b`, elementwise. */
export function where(g: Builder, condition: Value, a: Value, b: Value): Value {
  requireSameDtype('Where', a, b);
  const shape = broadcastShapes('Where', condition.shape, broadcastShapes('Where', a.shape, b.shape));
  return g.emit('Where', [condition, a, b], { dtype: a.dtype, shape });
}

/** Limits x to [low, high]. */
export function clip(g: Builder, x: Value, low: number, high: number): Value {
  requireDtype('Clip', x, numeric);
  return g.emit('Clip', [x, fill(low, x.dtype, []), fill(high, x.dtype, [])], x);
}

const dtypeCodes: Record<Dtype, number> = { float32: 1, int32: 6, int64: 7, bool: 9 };

export const cast = (g: Builder, x: Value, dtype: Dtype): Value =>
  x.dtype === dtype ? x : g.emit('Cast', [x], { dtype, shape: x.shape }, { to: { int: dtypeCodes[dtype] } });
