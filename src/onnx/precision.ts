/**
 * Precision of products on an NVIDIA device. Its libraries would multiply in TF32, with 10 bits of mantissa in place of 23: faster, and
 * outputs of networks differ by some 3e-4. They read the variable when they are loaded, so float32 is set when this file is.
 */

import { requireVariable, setVariable } from './process-variable.ts';

export const precisionNames = ['float32', 'tf32'] as const;
export type Precision = (typeof precisionNames)[number];

const variable = 'NVIDIA_TF32_OVERRIDE';
const values: Readonly<Record<Precision, string>> = { float32: '0', tf32: '1' };

setVariable(variable, process.env[variable] || values.float32);

/** Sets the precision of the process and of those that it starts. In the main thread, before a session is opened on the device. */
export const setPrecision = (precision: Precision): void => setVariable(variable, values[precision]);

/**
 * To be called before the device's provider is loaded.
 * @throws HyperpolicyError failed_precondition in a thread of a process that never loaded this file
 */
export const requirePrecision = (): void =>
  requireVariable(variable, {
    where: 'the cuda device',
    expected: `${variable} in the process's environment: ${values.float32} for float32, ${values.tf32} for TF32`,
    file: 'src/onnx/precision.ts',
    isRight: (value) => value !== '',
  });
