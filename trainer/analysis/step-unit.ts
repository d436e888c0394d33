/** What the steps of a published version count. */

import type { Manifest } from '../../src/package/manifest.ts';
import { algorithmNames, loadAlgorithm } from '../algorithms/registry.ts';

/** In the plural: `iterations` of MAML and PEARL; `steps`, of the environment, of others and of what was not trained here. */
export async function stepUnitOf({ algorithm }: Pick<Manifest, 'algorithm'>): Promise<string> {
  const known = algorithmNames.includes(algorithm) ? await loadAlgorithm(algorithm) : undefined;
  return known?.stepUnit ?? 'steps';
}
