/** Kernels that pick or place elements by index. */

import * as tf from '@tensorflow/tfjs-core';
import { dense, fill } from '../../onnx/builder.ts';
import { cast, comparison, where } from '../../onnx/ops/elementwise.ts';
import { gather, gatherVectors, scatterAdd, scatterAddRows } from '../../onnx/ops/indexing.ts';
import { reshape } from '../../onnx/ops/shape.ts';
import { dtypeOf, refuseSymbolicShape } from '../backend.ts';
import type { KernelTable } from './kernel.ts';

export const indexingKernels: KernelTable = {
  [tf.GatherV2]: (g, { x, indices }, { axis, batchDims }) => {
    if (batchDims !== 0) throw new Error(`GatherV2: expected batchDims 0, got ${batchDims}`);
    return gather(g, x!, indices!, axis as number);
  },
  [tf.GatherNd]: (g, { params, indices }) => gatherVectors(g, params!, indices!),
  [tf.ScatterNd]: (g, { indices, updates }, { shape }) => scatterAdd(g, indices!, updates!, shape as number[]),
  [tf.UnsortedSegmentSum]: (g, { x, segmentIds }, { numSegments }) => {
    const shape = [numSegments as number, ...x!.shape.slice(segmentIds!.shape.length)];
    return scatterAddRows(g, segmentIds!, x!, shape);
  },
  [tf.OneHot]: (g, { indices }, { depth, onValue, offValue, dtype }) => {
    refuseSymbolicShape([depth as number], g.symbols);
    const classes = dense(
      Int32Array.from({ length: depth as number }, (_, i) => i),
      'int32',
      [depth as number],
    );
    const column = reshape(g, indices!, [...indices!.shape, 1]);
    const hit = comparison(g, 'Equal', cast(g, column, 'int32'), classes);
    const type = dtypeOf(dtype as tf.DataType);
    return where(g, hit, fill(onValue as number, type, []), fill(offValue as number, type, []));
  },
};
