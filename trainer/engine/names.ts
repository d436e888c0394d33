/** Names of the engines and which of them take a device, apart from the engines, which take long to load. */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { DeviceName } from '../../src/onnx/providers.ts';

/** `traced` compiles to ONNX; the others run operation by operation, on TensorFlow or in plain JavaScript. */
export const engineNames = ['traced', 'tensorflow', 'cpu'] as const;
export type EngineName = (typeof engineNames)[number];

/** @throws HyperpolicyError invalid_argument: a device with an engine that cannot be given one */
export function refuseDevice(engine: EngineName, device: DeviceName | undefined): void {
  if (engine === 'traced' || device === undefined) return;
  throw invalidArgument({
    where: `engine "${engine}"`,
    expected: 'no device',
    actual: device,
    remedy: 'The traced engine takes one; tensorflow runs on CUDA with @tensorflow/tfjs-node-gpu',
  });
}
