/** Errors for results that are not finite: either the client sent extreme values, or the model is at fault. */

import { invalidArgument } from '../../src/contract/errors.ts';

/** The inputs from which a result was computed. */
export type Sent = {
  /** Named in errors. */
  readonly method: string;
  readonly values: readonly (Float32Array | undefined)[];
};

/** Environments and contexts have no larger values. Products of larger ones can overflow. */
const ordinaryMax = 1e6;

/**
 * The error for a result that is not finite: `invalid_argument` if the client sent a value beyond a million, because float32 then
 * overflows in any model; else a fault of the model.
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
