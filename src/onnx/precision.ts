/**
 * Precision of products on an NVIDIA device. Its libraries would multiply in TF32, with 10 bits of mantissa in place of 23: faster, and
 * outputs of networks differ by some 3e-4. They read the variable when they are loaded, so float32 is set when this file is.
 */

import { isMainThread } from 'node:worker_threads';
import { failedPrecondition } from '../contract/errors.ts';

export const precisionNames = ['float32', 'tf32'] as const;
export type Precision = (typeof precisionNames)[number];

const variable = 'NVIDIA_TF32_OVERRIDE';
const values: Readonly<Record<Precision, string>> = { float32: '0', tf32: '1' };

// A thread has a copy of the variables, which native code does not see: theirs are the process's.
if (isMainThread) process.env[variable] ||= values.float32;

/** Sets the precision of the process and of those that it starts. In the main thread, before a session is opened on the device. */
export function setPrecision(precision: Precision): void {
  process.env[variable] = values[precision];
}

/**
 * To be called before the device's provider is loaded.
 * @throws HyperpolicyError failed_precondition in a thread of a process that never loaded this file
 */
export function requirePrecision(): void {
  const value = process.env[variable];
  if (value !== undefined && value !== '') return;
  throw failedPrecondition({
    where: 'the cuda device',
    expected: `${variable} in the process's environment: ${values.float32} for float32, ${values.tf32} for TF32`,
    actual: 'none',
    remedy: 'Load src/onnx/precision.ts in the main thread before a thread that runs graphs starts',
  });
}
