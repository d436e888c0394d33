/** The fully connected layers that a graph holds: their weights and biases, as numbers. */

import { integerAttribute } from './rows/attributes.ts';
import { readModel } from './rows/read-model.ts';

export type HeldLayer = {
  readonly inputSize: number;
  readonly outputSize: number;
  /** [inputSize, outputSize] */
  readonly weights: Float32Array;
  /** [outputSize] */
  readonly biases: Float32Array;
};

/**
 * Layers `x W + b` with W and b in the file, in the order in which they run. Products that a gradient takes with the same weights
 * have no bias and are left out.
 * @param model the bytes of an ONNX file
 * @throws Error if the bytes are not an ONNX model; NotByRow if it has other operators than those of the known set
 */
export function heldLayers(model: Uint8Array): HeldLayer[] {
  const { nodes, constants } = readModel(model);
  const held = (name: string | undefined) => {
    const constant = name === undefined ? undefined : constants.get(name);
    return constant?.kind === 'float' ? constant : undefined;
  };
  return nodes.flatMap((node) => {
    const isLayer =
      node.opType === 'Gemm' && ['transA', 'transB'].every((name) => integerAttribute(node, name, 0) === 0);
    const [weights, biases] = [held(node.input[1]), held(node.input[2])];
    if (!isLayer || weights?.shape.length !== 2 || biases === undefined) return [];
    const [inputSize, outputSize] = weights.shape as [number, number];
    // One bias for all outputs may stand as a single number.
    const each = biases.values.length === 1 ? new Float32Array(outputSize).fill(biases.values[0]!) : biases.values;
    return [{ inputSize, outputSize, weights: weights.values, biases: each }];
  });
}
