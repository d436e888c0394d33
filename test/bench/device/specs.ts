/** HalfCheetah's sizes. */

import { plainSpec } from '../../../src/contract/tensor-spec.ts';
import { actionSize, observationSize } from '../serve-requests.ts';

export const benchSpecs = {
  observation: plainSpec('observation', observationSize),
  action: plainSpec('action', actionSize, { low: -1, high: 1 }),
  context: null,
};
