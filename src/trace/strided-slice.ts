/** The parts of a strided slice, from the attributes of tfjs's kernel. */

import * as tf from '@tensorflow/tfjs-core';

export const stridedSliceInfo = (shape: readonly number[], attributes: Readonly<Record<string, unknown>>) => {
  const { begin, end, strides, ...masks } = attributes as unknown as tf.StridedSliceAttrs;
  return tf.slice_util.sliceInfo(
    [...shape],
    begin,
    end,
    strides,
    masks.beginMask,
    masks.endMask,
    masks.ellipsisMask,
    masks.newAxisMask,
    masks.shrinkAxisMask,
  );
};
