/** Critic architectures by name. */

import { invalidArgument } from '../../spec/errors.ts';
import { paperTrunk } from '../hyper/primary.ts';
import { type Critic, createEnsemble, type QFunction } from './critic.ts';
import { mlpQ } from './mlp.ts';
import { saHyperQ } from './sa-hyper.ts';

export type CriticConfig = {
  /** A name in {@link criticNames}. */
  readonly architecture: string;
  /** Widths of the primary's stages, for hypernetworks; the paper's where absent. */
  readonly trunkSizes?: readonly number[] | undefined;
  /** Widths of the dynamic network's hidden layers, for hypernetworks; 256 where absent. */
  readonly dynamicHiddenSizes?: readonly number[] | undefined;
};

type Sizes = { readonly observationSize: number; readonly actionSize: number };

const builders: Readonly<Record<string, (config: CriticConfig, sizes: Sizes) => QFunction>> = {
  'mlp-standard': (_config, sizes) => mlpQ('mlp-standard', { ...sizes, hiddenSizes: [256, 256] }),
  'sa-hyper': ({ trunkSizes = paperTrunk, dynamicHiddenSizes = [256] }, sizes) =>
    saHyperQ({ ...sizes, trunkSizes, dynamicHiddenSizes }),
};

export const criticNames: readonly string[] = Object.keys(builders);

/**
 * A critic of `ensembleSize` independent Q functions.
 * @throws HyperpolicyError invalid_argument for an unknown architecture
 */
export function createCritic(config: CriticConfig, sizes: Sizes & { readonly ensembleSize: number }): Critic {
  const build = builders[config.architecture];
  if (build === undefined) {
    throw invalidArgument({
      where: 'critic',
      expected: `one of ${criticNames.join(', ')}`,
      actual: `"${config.architecture}"`,
    });
  }
  return createEnsemble(build(config, sizes), sizes.ensembleSize);
}
