/**
 * A hypernetwork's output where the last values of the base are the same for every row of a group, as PEARL's z is for the rows of a task.
 * With a first weight whose row k is e A_k + c_k at the embedding e, the shared values z add
 *   sum_k z_k (e A_k + c_k) = e (sum_k z_k A_k) + sum_k z_k c_k
 * to the first layer. The sums are of a group, and no row generates the weights that only z reads.
 */

import * as tf from '@tensorflow/tfjs-core';
import { linear } from '../linear.ts';
import type { Parameters } from '../parameters.ts';

/**
 * ReLU of the first dynamic layer. N groups of G rows; E embedding, I own and C shared base values, H outputs.
 * @param head of full weights, [E, (I + C) H]
 * @param embedding [N G, E], the rows of a group together
 * @param own [N G, I]; undefined if I is 0
 * @param shared [N, C]
 * @returns [N G, H]
 */
export function groupedHidden(
  head: Parameters,
  embedding: tf.Tensor2D,
  own: tf.Tensor2D | undefined,
  shared: tf.Tensor2D,
): tf.Tensor2D {
  const hiddenSize = head['gain.bias']!.shape[0]!;
  const ownCount = (own?.shape[1] ?? 0) * hiddenSize;
  const sharedCount = shared.shape[1] * hiddenSize;
  const parts = (map: tf.Tensor) => (own === undefined ? [map] : tf.split(map, [ownCount, sharedCount], -1));
  const [weights, biases] = [parts(head['weight.weight']!), parts(head['weight.bias']!)];
  const ofShared = sharedProduct({ weight: weights.at(-1)!, bias: biases.at(-1)! }, embedding, shared);
  const product =
    own === undefined
      ? ofShared
      : tf.add(ownProduct({ weight: weights[0]!, bias: biases[0]! }, embedding, own), ofShared);
  const gain = tf.add(linear(head, 'gain', embedding), 1);
  return tf.relu(tf.add(tf.mul(gain, product), linear(head, 'bias', embedding)));
}

/** `weight` [E, inputs x H] and `bias` [inputs x H]. */
type Map = { readonly weight: tf.Tensor; readonly bias: tf.Tensor };

/** x W(e) of each row, [N G, H]. */
function ownProduct({ weight, bias }: Map, embedding: tf.Tensor2D, own: tf.Tensor2D): tf.Tensor {
  const [rowCount, inputSize] = own.shape;
  const generated = tf.reshape(tf.add(tf.matMul(embedding, weight as tf.Tensor2D), bias), [rowCount, inputSize, -1]);
  return tf.squeeze(tf.matMul(tf.expandDims(own, 1), generated), [1]);
}

/** z W(e) of each row, [N G, H]. */
function sharedProduct({ weight, bias }: Map, embedding: tf.Tensor2D, shared: tf.Tensor2D): tf.Tensor {
  const [rowCount, embeddingSize] = embedding.shape;
  const [groupCount, inputSize] = shared.shape;
  const hiddenSize = bias.shape[0]! / inputSize;
  const ofInputs = tf.transpose(tf.reshape(weight, [embeddingSize, inputSize, hiddenSize]), [1, 0, 2]); // [C, E, H]
  const summed = tf.matMul(shared, tf.reshape(ofInputs, [inputSize, embeddingSize * hiddenSize])); // [N, E H]
  const offset = tf.matMul(shared, tf.reshape(bias, [inputSize, hiddenSize])); // [N, H]
  const ofGroups = tf.matMul(
    tf.reshape(embedding, [groupCount, rowCount / groupCount, embeddingSize]),
    tf.reshape(summed, [groupCount, embeddingSize, hiddenSize]),
  ); // [N, G, H]
  return tf.reshape(tf.add(ofGroups, tf.expandDims(offset, 1)), [rowCount, hiddenSize]);
}
