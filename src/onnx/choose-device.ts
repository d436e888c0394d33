/**
 * Which device `auto` takes on this machine. Files of a provider may be there while its driver or a library is not, or while it has no code
 * for the GPU: only a graph that runs there tells.
 */

import { createBuilder } from './builder.ts';
import { encode } from './encode.ts';
import { unary } from './ops/elementwise.ts';
import { candidates, type Device, type DeviceName } from './providers.ts';
import { floatTensor, openSession, type Session, type SkippedDevice } from './session.ts';

/** The first candidate that runs a small graph, and why those before it do not. The last one is taken without a try. */
export function chooseDevice(asked: DeviceName): Pick<Session, 'device' | 'skipped'> {
  const devices = candidates(asked);
  const skipped: SkippedDevice[] = [];
  for (const device of devices.slice(0, -1)) {
    const reason = faultOf(device);
    if (reason === undefined) return { device, skipped };
    skipped.push({ device, reason });
  }
  return { device: devices.at(-1)!, skipped };
}

function faultOf(device: Device): string | undefined {
  const g = createBuilder();
  const y = unary(g, 'Exp', g.input('x', 'float32', [1]));
  const model = encode(g.finish('try', [{ name: 'y', value: y }]));
  try {
    const session = openSession(model, { threadCount: 1, device }, `a try of ${device}`);
    try {
      session.run({ x: floatTensor(new Float32Array(1), [1]) });
    } finally {
      session.dispose();
    }
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}
