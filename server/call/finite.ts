/** Results that are not finite: whose doing that is. */

import { invalidArgument } from '../../src/contract/errors.ts';

/** What a result was made from. */
export type Sent = {
  /** Named in errors. */
  readonly method: string;
  readonly values: readonly (Float32Array | undefined)[];
};

/** Larger values than these no environment or context has that a policy was trained with; products of some of them overflow. */
const ordinaryMax = 1e6;

/**
 * The error for a result that is not as it should be: `invalid_argument` where something that was sent is beyond a million, because
 * then float32 overflows in any model; else a fault of the model.
 * @param fault for the log
 */
export function badResult(fault: string, { method, values }: Sent): Error {
  let largest = 0;
  for (const part of values) for (const value of part ?? []) largest = Math.max(largest, Math.abs(value));
  if (largest <= ordinaryMax) return new Error(fault);
  return invalidArgument({
    where: method,
    expected: 'values that this model can work with',
    actual: `some as large as ${largest.toPrecision(2)}, of which it makes no finite result`,
  });
}

/** @throws Error as badResult */
export function checkResult(
  what: string,
  values: Float32Array,
  sent: Sent,
  isGood: (value: number) => boolean = Number.isFinite,
): void {
  for (let i = 0; i < values.length; i++) {
    if (!isGood(values[i]!)) throw badResult(`${what}: value ${i} is ${values[i]}`, sent);
  }
}
