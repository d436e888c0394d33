/**
 * Observations that a replay buffer can keep. One that makes every loss infinite would end each run that goes on from it, as it is drawn
 * again and again.
 */

import { invalidArgument } from '../../src/contract/errors.ts';
import type { TensorSpec } from '../../src/contract/tensor-spec.ts';
import type { Rollout } from '../rollout/collect.ts';
import { rolloutPlace, valueMax } from './reward.ts';

type Observed = {
  readonly environment: string;
  readonly spec: TensorSpec;
  /** Of the observation, e.g. `step 12 of an episode`. */
  readonly place: () => string;
};

/** @throws HyperpolicyError invalid_argument: a value that would make the losses infinite */
export function checkObservation(values: Float32Array, { environment, spec, place }: Observed): void {
  const at = values.findIndex((value) => !(Math.abs(value) <= valueMax));
  if (at < 0) return;
  throw invalidArgument({
    where: `${environment}, ${place()}`,
    expected: `observation value ${at} ("${spec.names[at]}") between -${valueMax} and ${valueMax}, as losses hold its square in float32`,
    actual: String(values[at]),
    remedy: 'Bound the observations of the environment',
  });
}

/** @throws HyperpolicyError invalid_argument: a value that would make the losses infinite; what a step that diverged led to is not kept */
export function checkObservations(
  { observations, nextObservations, diverged, environmentCount }: Rollout,
  { environment, spec }: Omit<Observed, 'place'>,
): void {
  const size = spec.names.length;
  for (let i = 0; i < diverged.length; i++) {
    const check = (all: Float32Array, word: string) =>
      checkObservation(all.subarray(i * size, (i + 1) * size), {
        ...{ environment, spec },
        place: () => `${word} ${rolloutPlace(i, environmentCount)}`,
      });
    check(observations, 'before');
    if (diverged[i] === 0) check(nextObservations, 'after');
  }
}
