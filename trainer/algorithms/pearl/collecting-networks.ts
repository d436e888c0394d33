/** The policy and the encoder that collect: copies, as updates change the learner's own beside a collection. */

import type { ReadArrays } from '../../off-policy/actor-critic.ts';
import { type LearnerState, learnerState } from '../../off-policy/learner-state.ts';
import type { PearlParameters } from './parameters.ts';

export type CollectingNetworks = {
  readonly policy: ReadArrays;
  /** Undefined if z is not inferred. */
  readonly encoder: ReadArrays | undefined;
  /** Copies the learner's present parameters. */
  take(): void;
  /** Of a collection in progress, which a resumed run does again. */
  readonly saved: LearnerState<Record<string, never>>;
};

export function createCollectingNetworks({
  policy,
  encoder,
}: Pick<PearlParameters, 'policy' | 'encoder'>): CollectingNetworks {
  const own = { policy: copyOf(policy), encoder: encoder && copyOf(encoder.arrays) };
  const copies = [own.policy, ...(own.encoder === undefined ? [] : [own.encoder])];
  const arrays = Object.fromEntries([
    ...Object.entries(own.policy.parameters).map(([name, array]) => [`policy.${name}`, array]),
    ...Object.entries(own.encoder?.parameters ?? {}).map(([name, array]) => [`encoder.${name}`, array]),
  ]) as Record<string, Float32Array>;
  return {
    ...own,
    take() {
      for (const copy of copies) copy.take();
    },
    saved: learnerState('PEARL networks that collect', {}, arrays),
  };
}

function copyOf({ parameters, shapes }: ReadArrays) {
  const entries = Object.entries(parameters);
  const copies = Object.fromEntries(entries.map(([name, array]) => [name, array.slice()]));
  return {
    parameters: copies,
    shapes,
    take() {
      for (const [name, array] of entries) copies[name]!.set(array);
    },
  };
}
