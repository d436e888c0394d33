/** Projected gradient ascent on actions: steps along dq/da, clipped to the bounds of the action spec. */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { Ascent } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call } from '../call/rpc.ts';
import type { ServedVersion } from '../models/served-version.ts';
import { checkDeadline } from './due-time.ts';

/** @throws HyperpolicyError invalid_argument */
export function checkAscent(ascent: Ascent | undefined, stepCountMax: number): Ascent | undefined {
  if (ascent === undefined) return undefined;
  const { stepCount } = ascent;
  // Of JSON it is finer.
  const stepSize = Math.fround(ascent.stepSize);
  if (stepCount < 1 || stepCount > stepCountMax) {
    throw invalidArgument({ where: 'QGrad ascent', expected: `1 to ${stepCountMax} steps`, actual: `${stepCount}` });
  }
  if (!(stepSize > 0 && stepSize < Number.POSITIVE_INFINITY)) {
    throw invalidArgument({ where: 'QGrad ascent', expected: 'a finite step_size above 0', actual: `${stepSize}` });
  }
  return { ...ascent, stepSize };
}

export type ClimbOptions = {
  readonly ascent: Ascent;
  /** dq/da at the present actions, [B, A]. */
  readonly gradients: () => Promise<Float32Array>;
  /** Changed in place. */
  readonly actions: Float32Array; // [B, A]
  readonly served: ServedVersion;
  readonly call: Call;
};

/** Longest time that an ascent may block the event loop, ms. */
const turnMs = 1;

/** @throws HyperpolicyError deadline_exceeded if the client's deadline passes between steps */
export async function climb({ ascent, gradients, actions, served, call }: ClimbOptions): Promise<void> {
  const { actionLow, actionHigh, actionSize } = served;
  let turnBeganMs = performance.now();
  for (let step = 0; step < ascent.stepCount; step++) {
    const slope = await gradients();
    for (let i = 0; i < actions.length; i++) {
      const value = actions[i]! + ascent.stepSize * slope[i]!;
      actions[i] = Math.min(Math.max(value, actionLow[i % actionSize]!), actionHigh[i % actionSize]!);
    }
    if (performance.now() - turnBeganMs < turnMs) continue;
    await new Promise((resolve) => setImmediate(resolve));
    checkDeadline('QGrad', call, `${step + 1} of ${ascent.stepCount} steps were taken`);
    turnBeganMs = performance.now();
  }
}
