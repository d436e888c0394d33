/** The primary network's trunk: meta variable z to the embedding that the heads read. */

import type * as tf from '@tensorflow/tfjs-core';
import type { LinearInitialisers } from '../initialisers.ts';
import { type LinearMap, linear, linearSpecs } from '../linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from '../parameters.ts';
import { resblock, resblockSpecs } from '../resblock.ts';

const blocksPerStage = 2;

export type PrimaryOptions = {
  /** Widths of the stages. */
  readonly trunkSizes: readonly number[];
  /** Of a linear layer with that many inputs. */
  readonly initialisers: (fanIn: number) => LinearInitialisers;
  /** Layer normalisation in the residual blocks; not in the paper. */
  readonly layerNorm?: boolean | undefined;
};

/**
 * One stage per width: a linear layer to it, then two residual blocks. Nothing between the last block and the heads.
 *
 * Source: Sarafian et al. 2021, appendix, table of the primary network.
 */
export function primarySpecs(
  metaSize: number,
  { trunkSizes, initialisers, layerNorm }: PrimaryOptions,
): ParameterSpecs {
  const stages = trunkSizes.map((width, i) => {
    const inputSize = i === 0 ? metaSize : trunkSizes[i - 1]!;
    const block = resblockSpecs(width, { initialisers: initialisers(width), layerNorm });
    const blocks = Array.from({ length: blocksPerStage }, (_, j) => withPrefix(`stage${i}.block${j}`, block));
    return Object.assign(
      withPrefix(`stage${i}.input`, linearSpecs(inputSize, width, initialisers(inputSize))),
      ...blocks,
    );
  });
  return Object.assign({}, ...stages);
}

/** [K, meta size] -> [K, last width]. */
export function primary(
  parameters: Parameters,
  stageCount: number,
  meta: tf.Tensor2D,
  map: LinearMap = linear,
): tf.Tensor2D {
  let h = meta;
  for (let i = 0; i < stageCount; i++) {
    h = map(parameters, `stage${i}.input`, h);
    for (let j = 0; j < blocksPerStage; j++) h = resblock(parameters, `stage${i}.block${j}`, h, map);
  }
  return h;
}
