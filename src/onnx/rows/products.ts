/** Products of a row with matrices, and where their weights come from. */

import type { NodeProto } from '../../gen/onnx/onnx_pb.ts';
import { floatAttribute, integerAttribute } from './attributes.ts';
import { NotByRow, type Place, type Planning } from './planning.ts';
import { boundedSizeOf, broadcast, offsetsOf, requireRowsFirst, show } from './shapes.ts';

export function planGemm(planning: Planning, node: NodeProto): void {
  const [a, b, c] = node.input;
  const plain = floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1;
  if (!plain || integerAttribute(node, 'transA', 0) !== 0) throw new NotByRow('Gemm with a scale or a transposed left');
  const w = planning.place(b);
  const weight = integerAttribute(node, 'transB', 0) === 0 ? w : transposed(planning, w);
  if (weight.shape.length !== 2) throw new NotByRow(`Gemm with ${show(weight.shape)}`);
  const bias = c ? planning.place(c) : undefined;
  const width = weight.shape[1];
  // A bias of one value may be a scalar: its shape is [].
  if (bias !== undefined && ((bias.shape.at(-1) ?? 1) !== width || boundedSizeOf(bias.shape) !== width))
    throw new NotByRow(`Gemm with ${show(bias.shape)}`);
  planning.define(node.output[0]!, product(planning, 'Gemm', planning.place(a), weight, bias));
}

function transposed(planning: Planning, { shape, constant }: Place): Place {
  const [rows, columns] = shape as [number, number];
  if (constant === undefined || shape.length !== 2)
    throw new NotByRow('Gemm with a transposed right that is not constant');
  const turned = Float32Array.from(constant, (_, i) => constant[(i % rows) * columns + Math.floor(i / rows)]!);
  return planning.constant(turned, [columns, rows]);
}

export function planMatMul(planning: Planning, { input, output }: NodeProto): void {
  const [x, w] = [planning.place(input[0]), planning.placeEitherWay(input[1])];
  if (x.shape.length < 2) throw new NotByRow(`MatMul of ${show(x.shape, w.shape)}`);
  planning.define(output[0]!, product(planning, 'MatMul', x, w));
}

/** Weights of a row's context: the memory holds those of one context. */
export function planGather(planning: Planning, node: NodeProto): void {
  const [weights, index] = node.input;
  if (!planning.isWeight(weights) || !planning.isIndex(index) || integerAttribute(node, 'axis', 0) !== 0) {
    throw new NotByRow('Gather of anything but generated weights by row');
  }
  planning.define(node.output[0]!, { ...planning.place(weights), hasRows: true });
}

/** Matrices beside each other; more would cost more than ONNX Runtime. */
const callCountMax = 256;

/** A row of values times a matrix, or several such beside each other: x [..., 1, I], w [..., I, O]. */
function product(planning: Planning, op: string, x: Place, w: Place, start?: Place): Place {
  const [inCount, outCount] = w.shape.slice(-2) as [number, number];
  if (w.shape.length < 2 || x.shape.at(-1) !== inCount) throw new NotByRow(`${op} of ${show(x.shape, w.shape)}`);
  const many = broadcast(op, x.shape.slice(0, -2), w.shape.slice(0, -2));
  if ((x.shape.at(-2) ?? 1) !== 1) throw new NotByRow(`${op} of ${show(x.shape, w.shape)}`);
  // Of a matrix the axis before the last is summed over: rows must not lie there.
  const rank = Math.max(x.shape.length, w.shape.length);
  if (w.hasRows && w.shape.length < 3) throw new NotByRow(`${op} of ${show(x.shape, w.shape)}`);
  if (w.hasRows || w.shape.length > 2) requireRowsFirst(op, [x, w], rank);
  const y = planning.reserve([...many, ...(x.shape.length < 2 ? [] : [1]), outCount], [x, w]);
  if (boundedSizeOf(many) > callCountMax) throw new NotByRow(`${op} of ${show(x.shape, w.shape)}`);
  const from = start?.address ?? 0;
  const offsets = { x: offsetsOf(many, x.shape.slice(0, -2)), w: offsetsOf(many, w.shape.slice(0, -2)) };
  for (let i = 0; i < boundedSizeOf(many); i++) {
    const xAt = x.address + offsets.x[i]! * inCount * 4;
    const wAt = w.address + offsets.w[i]! * inCount * outCount * 4;
    const yAt = y.address + i * outCount * 4;
    planning.countWork(inCount * outCount);
    planning.step((kernels) =>
      w.turned === true
        ? () => kernels.turnedProduct(xAt, wAt, yAt, inCount, outCount)
        : () => kernels.product(xAt, wAt, from, yAt, inCount, outCount),
    );
  }
  return y;
}
