/** Matrix products. */

import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import { numeric, requireDtype, requireSameDtype } from './dtype-rules.ts';
import { transpose } from './shape.ts';
import { broadcastShapes } from './shape-rules.ts';

export type MatMulOptions = { readonly transposeA?: boolean; readonly transposeB?: boolean };

/**
 * The product of the last two dimensions; leading ones broadcast. Two matrices become a `Gemm`, which transposes for free.
 * @throws Error naming both shapes where the inner sizes differ
 */
export function matMul(
  g: Builder,
  a: Value,
  b: Value,
  { transposeA = false, transposeB = false }: MatMulOptions = {},
): Value {
  const [rows, innerA] = lastTwo(a, transposeA);
  const [innerB, columns] = lastTwo(b, transposeB);
  if (innerA !== innerB) {
    throw new Error(`MatMul: expected equal inner sizes, got [${a.shape}] and [${b.shape}] (${innerA} and ${innerB})`);
  }
  requireSameDtype('MatMul', a, b);
  const isPlain = a.shape.length === 2 && b.shape.length === 2;
  requireDtype('MatMul', a, isPlain ? ['float32'] : numeric);
  if (isPlain) {
    const attributes = { transA: { int: transposeA ? 1 : 0 }, transB: { int: transposeB ? 1 : 0 } };
    return g.emit('Gemm', [a, b], { dtype: a.dtype, shape: [rows, columns] }, attributes);
  }
  const batch = broadcastShapes('MatMul', a.shape.slice(0, -2), b.shape.slice(0, -2));
  const left = transposeA ? transpose(g, a, swapLastTwo(a.shape.length)) : a;
  const right = transposeB ? transpose(g, b, swapLastTwo(b.shape.length)) : b;
  return g.emit('MatMul', [left, right], { dtype: a.dtype, shape: [...batch, rows, columns] });
}

function lastTwo({ shape }: Value, transposed: boolean): [number, number] {
  if (shape.length < 2) throw new Error(`MatMul: expected at least two dimensions, got [${shape}]`);
  const [rows, columns] = shape.slice(-2) as [number, number];
  return transposed ? [columns, rows] : [rows, columns];
}

const swapLastTwo = (rank: number): number[] => [...Array(rank - 2).keys(), rank - 1, rank - 2];
