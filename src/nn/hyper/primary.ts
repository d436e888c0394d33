/** The primary network's trunk: meta variable z to the embedding that the heads read. */

import type * as tf from '@tensorflow/tfjs-core';
import { hyperlTrunk } from '../initialisers.ts';
import { linear, linearSpecs } from '../linear.ts';
import { type ParameterSpecs, type Parameters, withPrefix } from '../parameters.ts';
import { resblock, resblockSpecs } from '../resblock.ts';

/** Trunk widths of the paper; 6.17 M parameters with 17 meta values. */
export const paperTrunk: readonly number[] = [256, 512, 1024];

const blocksPerStage = 2;

/**
 * One stage per width: a linear layer to it, then two residual blocks. Nothing between the last block and the heads.
 *
 * Source: Sarafian et al. 2021, appendix, table of the primary network.
 */
export function primarySpecs(metaSize: number, widths: readonly number[]): ParameterSpecs {
  const stages = widths.map((width, i) => {
    const inputSize = i === 0 ? metaSize : widths[i - 1]!;
    const blocks = Array.from({ length: blocksPerStage }, (_, j) =>
      withPrefix(`stage${i}.block${j}`, resblockSpecs(width, hyperlTrunk(width))),
    );
    return Object.assign(
      withPrefix(`stage${i}.input`, linearSpecs(inputSize, width, hyperlTrunk(inputSize))),
      ...blocks,
    );
  });
  return Object.assign({}, ...stages);
}

/** [K, meta size] -> [K, last width]. */
export function primary(parameters: Parameters, widths: readonly number[], meta: tf.Tensor2D): tf.Tensor2D {
  let h = meta;
  for (let i = 0; i < widths.length; i++) {
    h = linear(parameters, `stage${i}.input`, h);
    for (let j = 0; j < blocksPerStage; j++) h = resblock(parameters, `stage${i}.block${j}`, h);
  }
  return h;
}
