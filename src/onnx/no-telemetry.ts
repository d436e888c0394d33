/**
 * ONNX Runtime's telemetry is off. Its release builds would keep a device id and a database of events under the user's cache folder,
 * and hold an address to send them to. The runtime reads the variable when it is loaded, so it is set when this file is.
 */

import { isMainThread } from 'node:worker_threads';
import { failedPrecondition } from '../contract/errors.ts';

const variable = 'ORT_DISABLE_TELEMETRY';

// A thread has a copy of the variables, which native code does not see: theirs are the process's.
if (isMainThread) process.env[variable] = '1';

/**
 * To be called before the runtime is loaded.
 * @throws HyperpolicyError failed_precondition in a thread of a process that never loaded this file
 */
export function refuseTelemetry(): void {
  const value = process.env[variable];
  if (value === '1') return;
  throw failedPrecondition({
    where: 'ONNX Runtime',
    expected: `${variable}=1 in the process's environment`,
    actual: value === undefined ? 'none' : JSON.stringify(value),
    remedy: 'Load src/onnx/no-telemetry.ts in the main thread before a thread that runs graphs starts',
  });
}
