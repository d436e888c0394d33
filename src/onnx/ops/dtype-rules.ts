/** Which types ONNX Runtime computes an operator for, checked while building: its own error would come when the model is loaded. */

import type { Dtype, Value } from '../graph.ts';

/** Every type of numbers. */
export const numeric: readonly Dtype[] = ['float32', 'int32', 'int64'];

/** @throws Error naming the operator, what it takes and what came */
export function requireDtype(op: string, { dtype }: Value, allowed: readonly Dtype[]): void {
  if (allowed.includes(dtype)) return;
  throw new Error(`${op}: expected ${allowed.join(' or ')}, got ${dtype}. Cast it first`);
}

/** @throws Error naming both types where they differ */
export function requireSameDtype(op: string, a: Value, b: Value): void {
  if (a.dtype !== b.dtype) throw new Error(`${op}: expected operands of one type, got ${a.dtype} and ${b.dtype}`);
}
