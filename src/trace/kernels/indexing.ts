/** Kernels that pick or place elements by index. */

import * as tf from '@tensorflow/tfjs-core';
import { constantValues, dense, fill } from '../../onnx/builder.ts';
import { arithmetic, cast, comparison, where } from '../../onnx/ops/elementwise.ts';
import { gather, gatherInBatches, gatherVectors, scatterAdd, scatterAddRows } from '../../onnx/ops/indexing.ts';
import { reshape } from '../../onnx/ops/shape.ts';
import { dtypeOf, refuseSymbolicShape } from '../backend.ts';
import type { KernelTable } from './kernel.ts';

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

export const indexingKernels: KernelTable = {
  [tf.GatherV2]: (g, { x, indices }, { axis, batchDims }) => {
    const [at, batchSize] = [positive(axis as number, x!.shape.length), batchDims as number];
    return batchSize === 0 ? gather(g, x!, indices!, at) : gatherInBatches(g, x!, indices!, at, batchSize);
  },
  [tf.GatherNd]: (g, { params, indices }) => gatherVectors(g, params!, indices!),
  [tf.ScatterNd]: (g, { indices, updates }, { shape }) => scatterAdd(g, indices!, updates!, shape as number[]),
  [tf.UnsortedSegmentSum]: (g, { x, segmentIds }, { numSegments }) => {
    const shape = [numSegments as number, ...x!.shape.slice(segmentIds!.shape.length)];
    if (constantValues(segmentIds!)?.every((id) => id >= 0)) return scatterAddRows(g, segmentIds!, x!, shape);
    // ONNX counts negative ids from the end; here their rows are dropped.
    const zero = fill(0, segmentIds!.dtype, []);
    const column = [...segmentIds!.shape, ...shape.slice(1).map(() => 1)];
    const isDropped = reshape(g, comparison(g, 'Less', segmentIds!, zero), column);
    const rows = where(g, isDropped, fill(0, x!.dtype, []), x!);
    return scatterAddRows(g, arithmetic(g, 'Max', segmentIds!, zero), rows, shape);
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
