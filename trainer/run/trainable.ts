/** What is refused before anything of a run is made: by `train`, and by a sweep before its first run. */

import { invalidArgument } from '../../src/contract/errors.ts';
import { checkModelName } from '../../src/package/model-name.ts';
import { refuseDevice } from '../engine/names.ts';
import type { PublishOptions, RunConfig } from './config.ts';

/** What to publish, if anything. */
export const publishing = ({ publish }: RunConfig): PublishOptions | undefined =>
  publish?.which === 'none' ? undefined : publish;

/**
 * Checks a complete config alone, before its environment is opened.
 * @throws HyperpolicyError invalid_argument: the webgpu device, a device with an engine that takes none, the name of the model to publish
 */
export function checkConfig(config: RunConfig): void {
  refuseWebgpu(config);
  refuseDevice(config.engine ?? 'traced', config.device);
  const publish = publishing(config);
  if (publish !== undefined) checkModelName(publish.model);
}

/** Its provider runs a single update only, whose parameters and gradients would all cross to the device and back. */
function refuseWebgpu({ device }: RunConfig): void {
  if (device !== 'webgpu') return;
  throw invalidArgument({
    where: 'train: device',
    expected: 'cpu, cuda or auto',
    actual: device,
    remedy: 'webgpu is for serving: training there would move all parameters to the device and back at each update',
  });
}
