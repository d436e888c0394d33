/**
 * ONNX Runtime's telemetry is off. Its release builds would keep a device id and a database of events under the user's cache folder,
 * and hold an address to send them to. The runtime reads the variable when it is loaded, so it is set when this file is.
 */

import { requireVariable, setVariable } from './process-variable.ts';

const variable = 'ORT_DISABLE_TELEMETRY';

setVariable(variable, '1');

/**
 * To be called before the runtime is loaded.
 * @throws HyperpolicyError failed_precondition in a thread of a process that never loaded this file
 */
export const refuseTelemetry = (): void =>
  requireVariable(variable, {
    where: 'ONNX Runtime',
    expected: `${variable}=1 in the process's environment`,
    file: 'src/onnx/no-telemetry.ts',
    isRight: (value) => value === '1',
  });
