/** Critic architectures by name. */

import { invalidArgument } from '../../contract/errors.ts';
import { hyperDefaults, mlpCriticSizes } from '../defaults.ts';
import type { HyperOptions } from '../hyper/hypernetwork.ts';
import { type CriticName, criticNames } from '../names.ts';
import { type Critic, type CriticSizes, createEnsemble, type QFunction } from './critic.ts';
import { hyperQ } from './hyper.ts';
import { d2rlQ, mlpQ } from './mlp.ts';
import { resnet35Q, resnetFeaturesQ } from './residual.ts';
import { bronetQ, simbaV2Q } from './simba.ts';

/** The hypernetwork's options hold for hypernetworks (`trunkSizes` also for `resnet-features`). */
export type CriticConfig = HyperOptions & {
  /** One of `criticNames`. */
  readonly architecture: string;
  /** Widths of an MLP's hidden layers; the named architecture's if absent. */
  readonly hiddenSizes?: readonly number[] | undefined;
};

type Builder = (config: CriticConfig, sizes: CriticSizes) => QFunction;

const mlpOf =
  (architecture: keyof typeof mlpCriticSizes): Builder =>
  (config, sizes) =>
    mlpQ(architecture, sizes, config.hiddenSizes ?? mlpCriticSizes[architecture]);

const builders: Readonly<Record<CriticName, Builder>> = {
  'mlp-standard': mlpOf('mlp-standard'),
  'mlp-small': mlpOf('mlp-small'),
  'mlp-large': mlpOf('mlp-large'),
  'resnet-features': ({ trunkSizes = hyperDefaults.trunkSizes }, sizes) => resnetFeaturesQ(sizes, trunkSizes),
  resnet35: (_config, sizes) => resnet35Q(sizes),
  'q-d2rl': (_config, sizes) => d2rlQ(sizes),
  'sa-hyper': (config, sizes) => hyperQ('sa-hyper', sizes, config),
  'as-hyper': (config, sizes) => hyperQ('as-hyper', sizes, config),
  'emb-hyper': (config, sizes) => hyperQ('emb-hyper', sizes, config),
  bronet: (_config, sizes) => bronetQ(sizes),
  'simba-v2': (_config, sizes) => simbaV2Q(sizes),
};

/**
 * A critic of `ensembleSize` independent Q functions.
 *
 * A state value V(s, z) is a critic whose action is z: `actionSize` = the context's size, no context.
 * @throws HyperpolicyError invalid_argument for an unknown architecture or options that do not fit
 */
export function createCritic(config: CriticConfig, sizes: CriticSizes & { readonly ensembleSize: number }): Critic {
  const name = criticNames.find((known) => known === config.architecture);
  if (name === undefined) {
    throw invalidArgument({
      where: 'critic',
      expected: `one of ${criticNames.join(', ')}`,
      actual: `"${config.architecture}"`,
    });
  }
  return createEnsemble(builders[name](config, sizes), sizes, sizes.ensembleSize);
}
