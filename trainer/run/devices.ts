/** What a person hears of the device that a run's updates take. */

import { candidates, type DeviceName } from '../../src/onnx/providers.ts';
import type { Engine } from '../engine/engine.ts';
import type { RunLogger } from './logging.ts';
import type { Progress } from './progress.ts';

/**
 * Tells the devices of an engine whose computations are compiled: in the log, where one was asked for to the person too, and as a warning
 * what `auto` left out.
 * @param asked the device of the config
 */
export function tellDevices(
  { devices }: Pick<Engine, 'devices'>,
  asked: DeviceName | undefined,
  { log, print }: { readonly log: RunLogger; readonly print: Progress['print'] },
): void {
  if (devices === undefined) return;
  for (const { device, skipped } of devices) {
    for (const { device: other, reason } of skipped) {
      log.warn({ reason }, `--device auto leaves ${other} out: updates run on ${device}`);
    }
  }
  // An engine that has opened nothing for a device computes on the CPU.
  const taken = devices.length === 0 ? ['cpu'] : devices.map(({ device }) => device);
  log.info({ devices: taken }, 'updates run on a device');
  if (asked !== undefined && asked !== 'cpu') print(`device: ${taken.join(' and ')}${whyNot(asked, devices.length)}`);
}

/** Why the CPU was taken without a try of another device, if it was. */
function whyNot(asked: DeviceName, count: number): string {
  if (candidates(asked)[0] === 'cpu') return ', as no provider of cuda is installed';
  return count === 0 ? ', as no update is large enough for another' : '';
}
