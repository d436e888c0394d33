/** A whole hypernetwork: trunk and heads that generate a dynamic network from a meta variable. */

import type * as tf from '@tensorflow/tfjs-core';
import { invalidArgument } from '../../contract/errors.ts';
import { hyperDefaults } from '../defaults.ts';
import { type LinearMap, linear } from '../linear.ts';
import { hyperInitialisations } from '../names.ts';
import { type ParameterSpecs, type Parameters, under, withPrefix } from '../parameters.ts';
import { dynamic, sharedLayers } from './dynamic.ts';
import { groupedHidden } from './grouped.ts';
import { factorsOf, type GeneratedLayer, head, headSpecs } from './head.ts';
import {
  type HyperInitialisation,
  headInitialisers,
  type LayerRole,
  trunkInitialisers,
  withEmbeddingPower,
} from './initialisation.ts';
import { primary, primarySpecs } from './primary.ts';

/** Everything about a hypernetwork but its sizes of input and output; `hyperDefaults` if absent. */
export type HyperOptions = {
  /** Widths of the primary's stages; the last is the embedding's. */
  readonly trunkSizes?: readonly number[] | undefined;
  /** Widths of the dynamic network's hidden layers. */
  readonly dynamicHiddenSizes?: readonly number[] | undefined;
  readonly initialisation?: HyperInitialisation | undefined;
  /** Layer normalisation in the trunk's residual blocks; not in the paper. */
  readonly trunkLayerNorm?: boolean | undefined;
  /** A D2RL dynamic network; not in the paper. */
  readonly dynamicDense?: boolean | undefined;
  /** Rank of low-rank weight heads; full heads, as in the paper, if absent. */
  readonly headRank?: number | undefined;
};

export type HypernetworkConfig = HyperOptions & {
  readonly metaSize: number;
  readonly baseSize: number;
  readonly outputSize: number;
  /** A second output layer of the same size, for a log standard deviation. */
  readonly logStdHead?: boolean | undefined;
};

export type Hypernetwork = {
  readonly specs: ParameterSpecs;
  /** Values that one context's generated layers have. */
  readonly generatedCount: number;
  /** Multiply-adds of the dynamic network for one row, beyond those of shared factors. */
  readonly generatedProducts: number;
  /**
   * Meta variable [K, meta size] -> dynamic layers with leading K.
   * @param map stands in for the linear layers of trunk and heads
   */
  generate(parameters: Parameters, meta: tf.Tensor2D, map?: LinearMap): GeneratedLayer[];
  /**
   * The dynamic network's outputs, each [..., output size]: one, or with a log-std head two.
   * @param layers of {@link generate}: leading (...) as x, or [1] or none for all rows of x [B, base size]
   */
  evaluate(parameters: Parameters, layers: readonly GeneratedLayer[], x: tf.Tensor): tf.Tensor[];
  /**
   * The output [N G, output size] at meta [N G, meta size], where the last values of the base are the same for all rows of a group: `own`
   * [N G, I], if any, then `shared` [N, C]. Takes fewer products than a base for each row. Absent with low-rank heads, a D2RL dynamic
   * network, no hidden layer, or a second output layer.
   */
  readonly evaluateGroups?:
    | ((
        parameters: Parameters,
        meta: tf.Tensor2D,
        base: { readonly own: tf.Tensor2D | undefined; readonly shared: tf.Tensor2D },
      ) => tf.Tensor)
    | undefined;
};

/**
 * `primary.*` and `head0.* ... headN.*`; a log-std head is the last of them.
 *
 * Source: Sarafian et al. 2021, section 3 and appendix.
 * @throws HyperpolicyError invalid_argument: options that do not fit each other
 */
export function createHypernetwork(config: HypernetworkConfig): Hypernetwork {
  const { trunkSizes = hyperDefaults.trunkSizes, logStdHead = false, dynamicDense: dense, headRank } = config;
  checkOptions(config);
  const layers = dynamicLayers(config);
  const hiddenCount = layers.filter(({ role }) => role === 'first').length;
  const embed = (parameters: Parameters, meta: tf.Tensor2D, map?: LinearMap) =>
    primary(under('primary', parameters), trunkSizes.length, meta, map);
  const canGroup = headRank === undefined && dense !== true && hiddenCount > 0 && !logStdHead;
  const generatedCount = layers.reduce((sum, { weightSize, outputSize }) => sum + weightSize + 2 * outputSize, 0);
  return {
    specs: hypernetworkSpecs(config, layers),
    generatedCount,
    generatedProducts: headRank === undefined ? layers.reduce((sum, { weightSize }) => sum + weightSize, 0) : 0,
    generate(parameters, meta, map = linear) {
      const embedding = embed(parameters, meta, map);
      return layers.map(({ inputSize }, i) => head(under(`head${i}`, parameters), embedding, inputSize, map));
    },
    evaluate(parameters, generated, x) {
      const whole = generated.map((layer, i) => ({ ...layer, factors: factorsOf(under(`head${i}`, parameters)) }));
      const isShared = x.rank === 2 && whole[0]!.gain.rank === 3 && whole[0]!.gain.shape[0] === 1 && x.shape[0] !== 1;
      const ready = isShared ? sharedLayers(whole) : whole;
      const hidden = ready.slice(0, hiddenCount);
      // The hidden layers appear once in a traced graph, however many outputs read them.
      const output = (i: number) => dynamic([...hidden, ready[i]!], x, { dense });
      return logStdHead ? [output(hiddenCount), output(hiddenCount + 1)] : [output(hiddenCount)];
    },
    ...(canGroup && {
      evaluateGroups(parameters, meta, { own, shared }) {
        const embedding = embed(parameters, meta);
        const first = groupedHidden(under('head0', parameters), embedding, own, shared);
        const rest = layers
          .slice(1)
          .map(({ inputSize }, i) => head(under(`head${i + 1}`, parameters), embedding, inputSize));
        return dynamic(rest, first);
      },
    }),
  };
}

type DynamicLayer = {
  readonly inputSize: number;
  readonly outputSize: number;
  /** Generated values of the weight. */
  readonly weightSize: number;
  readonly role: LayerRole;
};

function dynamicLayers(config: HypernetworkConfig): DynamicLayer[] {
  const { baseSize, outputSize, dynamicDense, headRank, logStdHead } = config;
  const dynamicHiddenSizes: readonly number[] = config.dynamicHiddenSizes ?? hyperDefaults.dynamicHiddenSizes;
  const layer = (index: number, size: number, role: LayerRole): DynamicLayer => {
    const previous = index === 0 ? baseSize : dynamicHiddenSizes[index - 1]! + (dynamicDense === true ? baseSize : 0);
    return { inputSize: previous, outputSize: size, weightSize: headRank ?? previous * size, role };
  };
  const depth = dynamicHiddenSizes.length;
  return [
    ...dynamicHiddenSizes.map((size, i) => layer(i, size, 'first')),
    layer(depth, outputSize, 'last'),
    ...(logStdHead === true ? [layer(depth, outputSize, 'log-std')] : []),
  ];
}

function hypernetworkSpecs(config: HypernetworkConfig, layers: readonly DynamicLayer[]): ParameterSpecs {
  const { metaSize, trunkLayerNorm, headRank } = config;
  const { trunkSizes = hyperDefaults.trunkSizes, initialisation = hyperDefaults.initialisation } = config;
  const embeddingSize = trunkSizes.at(-1)!;
  const trunk = primarySpecs(metaSize, {
    trunkSizes,
    initialisers: trunkInitialisers(initialisation),
    layerNorm: trunkLayerNorm,
  });
  const heads = layers.map(({ inputSize, outputSize, role }, i) => {
    const initialisers = headInitialisers(initialisation, { embeddingSize, inputSize, role });
    return withPrefix(`head${i}`, headSpecs({ embeddingSize, inputSize, outputSize, rank: headRank, initialisers }));
  });
  const specs: ParameterSpecs = Object.assign(withPrefix('primary', trunk), ...heads);
  return initialisation === 'hfi' ? withEmbeddingPower(specs, metaSize, trunkSizes.length) : specs;
}

function checkOptions(config: HypernetworkConfig): void {
  const { trunkSizes, initialisation = hyperDefaults.initialisation, headRank } = config;
  const refuse = (expected: string, actual: string) => invalidArgument({ where: 'hypernetwork', expected, actual });
  if (trunkSizes?.length === 0) throw refuse('at least one trunk width', 'none');
  if (!hyperInitialisations.includes(initialisation)) {
    throw refuse(`an initialisation of ${hyperInitialisations.join(', ')}`, `"${initialisation}"`);
  }
  // The other schemes say what a whole generated weight is at the start; a low-rank one starts from its base.
  if (headRank !== undefined && initialisation !== 'hyperl' && initialisation !== 'default') {
    throw refuse('initialisation hyperl or default with low-rank heads', `"${initialisation}"`);
  }
}
