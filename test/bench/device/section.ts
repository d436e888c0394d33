/** What every section of the device check is given. */

import type { Device } from '../../../src/onnx/providers.ts';
import type { Fields, Lines } from './lines.ts';

/** [step, mean return] of each evaluation. */
export type Curve = readonly (readonly [number, number])[];

export type Section = {
  readonly device: Device;
  /** Small networks and few rounds: whether everything works, and no figure that means anything. */
  readonly isQuick: boolean;
  readonly lines: Lines;
  /** A folder of the section's own. */
  readonly scratch: string;
  /** Aborted at the check's deadline: kills processes. */
  readonly signal: AbortSignal;
  /** Milliseconds to the deadline. */
  leftMs(): number;
  /** What a learning curve is set beside: a training on the CPU, nothing, or a curve of earlier. */
  readonly cpuCurve: 'train' | 'none' | Curve;
  /** Adds what can wait, as a section after all others. */
  later(name: string, run: (section: Section) => Promise<void>): void;
};

/** Work whose failure is a check that fails, and what comes after it still runs; but for the check's deadline, which ends all. */
export async function guarded(
  { lines, signal }: Pick<Section, 'lines' | 'signal'>,
  name: string,
  fields: Fields,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work();
  } catch (error) {
    signal.throwIfAborted();
    lines.check(`${name}: done`, false, { ...fields, why: (error as Error).message });
  }
}

/** The largest |a - b| / (1 + |b|), as probes are compared. NaN where a value is NaN. */
export function difference(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < expected.length; i++) {
    const one = Math.abs(actual[i]! - expected[i]!) / (1 + Math.abs(expected[i]!));
    most = Math.max(most, one);
  }
  return most;
}
