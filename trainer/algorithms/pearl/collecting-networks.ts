/** The policy and the encoder that collect: copies, as updates change the learner's own beside a collection. */

import { mapValues } from '../../../src/contract/records.ts';
import { prefixed } from '../../../src/nn/parameters.ts';
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
  const arrays = {
    ...prefixed('policy', own.policy.parameters),
    ...prefixed('encoder', own.encoder?.parameters ?? {}),
  };
  return {
    ...own,
    take() {
      for (const copy of copies) copy.take();
    },
    saved: learnerState('PEARL networks that collect', {}, arrays),
  };
}

function copyOf({ parameters, shapes }: ReadArrays) {
  const copies = mapValues(parameters, (array) => array.slice());
  return {
    parameters: copies,
    shapes,
    take() {
      for (const [name, array] of Object.entries(parameters)) copies[name]!.set(array);
    },
  };
}
