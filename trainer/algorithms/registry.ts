/** Algorithms by name: one line each. A descriptor is loaded when its algorithm is asked for. */

import { invalidArgument, shownValue } from '../../src/contract/errors.ts';
import type { Algorithm } from '../run/algorithm.ts';

const descriptors: Readonly<Record<string, () => Promise<{ readonly algorithm: Algorithm }>>> = {
  maml: () => import('./maml/algorithm.ts'),
  pearl: () => import('./pearl/algorithm.ts'),
  sac: () => import('./sac/algorithm.ts'),
  td3: () => import('./td3/algorithm.ts'),
};

export const algorithmNames: readonly string[] = Object.keys(descriptors);

/** @throws HyperpolicyError invalid_argument: an unknown name */
export async function loadAlgorithm(name: string | undefined): Promise<Algorithm> {
  if (name !== undefined && Object.hasOwn(descriptors, name)) return (await descriptors[name]!()).algorithm;
  throw invalidArgument({
    where: 'algorithm',
    expected: `one of ${algorithmNames.join(', ')}`,
    actual: name === undefined ? 'nothing' : shownValue(name),
  });
}
