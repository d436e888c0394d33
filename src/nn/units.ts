/** What lies between a network, which works in normalised values, and the environment's units. */

import type { ActionScaling } from './action-scaling.ts';
import type { Normalisation } from './normalisation.ts';

export type Units = {
  readonly scaling: ActionScaling;
  readonly observation?: Normalisation | undefined;
  readonly context?: Normalisation | undefined;
};
