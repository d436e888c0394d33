/**
 * The operators of row programs, by their ONNX names: each plans a node for one row, or says that it cannot. An operator that could
 * mix rows (over the first axis) is refused.
 */

import type { NodeProto } from '../../gen/onnx/onnx_pb.ts';
import { binaryOps, unaryOps } from './kernels.ts';
import { NotByRow, type Place, type Planning } from './planning.ts';

type RowOperator = (planning: Planning, node: NodeProto) => void;

export const rowOperators: Readonly<Record<string, RowOperator>> = {
  Gemm: planGemm,
  MatMul: planMatMul,
  Gather: planGather,
  ...Object.fromEntries(binaryOps.map((op) => [op, (planning, node) => planBinary(planning, node, op)])),
  ...Object.fromEntries(unaryOps.map((op) => [op, (planning, node) => planUnary(planning, node, op)])),
  Relu(planning, { input, output }) {
    const x = planning.place(input[0]);
    planning.define(output[0]!, joined(planning, 'Max', x, planning.constant(Float32Array.of(0), [])));
  },
  Clip(planning, { input, output }) {
    let x = planning.place(input[0]);
    if (input[1]) x = joined(planning, 'Max', x, planning.place(input[1]));
    if (input[2]) x = joined(planning, 'Min', x, planning.place(input[2]));
    planning.define(output[0]!, x);
  },
  ReduceSum: (planning, node) => planSum(planning, node, false),
  ReduceMean: (planning, node) => planSum(planning, node, true),
  Reshape(planning, { input, output }) {
    const x = planning.place(input[0]);
    planning.define(output[0]!, { ...x, shape: reshaped(x.shape, planning.integers(input[1]) ?? []) });
  },
  Identity(planning, { input, output }) {
    planning.define(output[0]!, planning.place(input[0]));
  },
  Concat: planConcat,
  Slice: planSlice,
};

const sizeOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

const integerAttribute = ({ attribute }: NodeProto, name: string, otherwise: number): number => {
  const found = attribute.find((one) => one.name === name);
  return found === undefined ? otherwise : Number(found.i);
};

const floatAttribute = ({ attribute }: NodeProto, name: string, otherwise: number): number =>
  attribute.find((one) => one.name === name)?.f ?? otherwise;

const show = (...shapes: (readonly number[])[]): string => shapes.map((shape) => `[${shape.join(', ')}]`).join(' and ');

/** All sizes but the last `kept` are 1: the values are one row. */
function requireOneRow(op: string, { shape }: Place, kept: number): void {
  if (shape.length < kept || shape.slice(0, shape.length - kept).some((size) => size !== 1)) {
    throw new NotByRow(`${op} of ${show(shape)}`);
  }
}

function product(planning: Planning, op: string, x: Place, w: Place, start?: Place): Place {
  requireOneRow(op, x, 1);
  requireOneRow(op, w, 2);
  const [inCount, outCount] = w.shape.slice(-2) as [number, number];
  if (x.shape.at(-1) !== inCount) throw new NotByRow(`${op} of ${show(x.shape, w.shape)}`);
  const rank = Math.max(x.shape.length, w.shape.length);
  const y = planning.reserve([...Array<number>(rank - 1).fill(1), outCount]);
  const from = start?.address ?? 0;
  planning.countWork(inCount * outCount);
  planning.step((kernels) => () => kernels.product(x.address, w.address, from, y.address, inCount, outCount));
  return y;
}

function planGemm(planning: Planning, node: NodeProto): void {
  const [a, b, c] = node.input;
  const plain = floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1;
  if (!plain || integerAttribute(node, 'transA', 0) !== 0) throw new NotByRow('Gemm with a scale or a transposed left');
  const w = planning.place(b);
  const weight = integerAttribute(node, 'transB', 0) === 0 ? w : transposed(planning, w);
  const bias = c ? planning.place(c) : undefined;
  if (bias !== undefined && sizeOf(bias.shape) !== weight.shape[1]) throw new NotByRow(`Gemm with ${show(bias.shape)}`);
  planning.define(node.output[0]!, product(planning, 'Gemm', planning.place(a), weight, bias));
}

function transposed(planning: Planning, { shape, constant }: Place): Place {
  const [rows, columns] = shape as [number, number];
  if (constant === undefined || shape.length !== 2)
    throw new NotByRow('Gemm with a transposed right that is not constant');
  const turned = Float32Array.from(constant, (_, i) => constant[(i % rows) * columns + Math.floor(i / rows)]!);
  return planning.constant(turned, [columns, rows]);
}

function planMatMul(planning: Planning, { input, output }: NodeProto): void {
  const [x, w] = [planning.place(input[0]), planning.place(input[1])];
  requireOneRow('MatMul', x, 1);
  if (x.shape.length < 2) throw new NotByRow(`MatMul of ${show(x.shape, w.shape)}`);
  planning.define(output[0]!, product(planning, 'MatMul', x, w));
}

/** A row's own weights: those of its context, which are all that the memory holds. */
function planGather(planning: Planning, node: NodeProto): void {
  const [weights, index] = node.input;
  if (!planning.isWeight(weights) || !planning.isIndex(index) || integerAttribute(node, 'axis', 0) !== 0) {
    throw new NotByRow('Gather of anything but generated weights by row');
  }
  planning.define(node.output[0]!, planning.place(weights));
}

function joined(planning: Planning, op: (typeof binaryOps)[number], a: Place, b: Place): Place {
  const shape = broadcast(op, a.shape, b.shape);
  const count = sizeOf(shape);
  const steps = [a, b].map((operand) => (sizeOf(operand.shape) === count ? 4 : 0)) as [number, number];
  if ([a, b].some((operand) => ![1, count].includes(sizeOf(operand.shape)))) {
    throw new NotByRow(`${op} of ${show(a.shape, b.shape)}`);
  }
  const y = planning.reserve(shape);
  const code = binaryOps.indexOf(op);
  planning.step((kernels) => () => kernels.binary(code, a.address, steps[0], b.address, steps[1], y.address, count));
  return y;
}

function broadcast(op: string, a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const [left, right] = [a[a.length - rank + i] ?? 1, b[b.length - rank + i] ?? 1];
    if (left !== right && left !== 1 && right !== 1) throw new NotByRow(`${op} of ${show(a, b)}`);
    return left === 1 ? right : left;
  });
}

function planBinary(planning: Planning, { input, output }: NodeProto, op: (typeof binaryOps)[number]): void {
  if (input.length !== 2) throw new NotByRow(`${op} of ${input.length} operands`);
  planning.define(output[0]!, joined(planning, op, planning.place(input[0]), planning.place(input[1])));
}

function planUnary(planning: Planning, { input, output }: NodeProto, op: (typeof unaryOps)[number]): void {
  const x = planning.place(input[0]);
  const y = planning.reserve(x.shape);
  const code = unaryOps.indexOf(op);
  const count = sizeOf(x.shape);
  planning.step((kernels) => () => kernels.unary(code, x.address, y.address, count));
  planning.define(output[0]!, y);
}

/** The sum (or mean) over all values of the row. */
function planSum(planning: Planning, node: NodeProto, isMean: boolean): void {
  const x = planning.place(node.input[0]);
  const rank = x.shape.length;
  const axes = (planning.integers(node.input[1]) ?? []).map((axis) => (axis < 0 ? axis + rank : axis));
  const count = axes.reduce((size, axis) => size * x.shape[axis]!, 1);
  if (axes.length === 0 || axes.includes(0) || count !== sizeOf(x.shape)) {
    throw new NotByRow(`${node.opType} of ${show(x.shape)} over ${axes.length === 0 ? 'all axes' : axes.join(', ')}`);
  }
  const keeps = integerAttribute(node, 'keepdims', 1) === 1;
  const shape = x.shape.flatMap((size, axis) => (!axes.includes(axis) ? [size] : keeps ? [1] : []));
  const total = planning.reserve(shape);
  const share = planning.constant(Float32Array.of(isMean ? 1 / count : 1), []);
  planning.step((kernels) => () => kernels.sum(x.address, total.address, count));
  planning.define(node.output[0]!, isMean ? joined(planning, 'Mul', total, share) : total);
}

/** The new sizes for one row. A size of -1 is what is left; 0 keeps the old one. */
function reshaped(shape: readonly number[], wanted: readonly number[]): number[] {
  const kept = wanted.map((size, i) => (size === 0 ? shape[i]! : size));
  const given = kept.filter((size) => size !== -1).reduce((total, size) => total * size, 1);
  const sizes = kept.map((size) => (size === -1 ? sizeOf(shape) / given : size));
  if (sizeOf(sizes) !== sizeOf(shape)) throw new NotByRow(`Reshape of ${show(shape)} to ${show(wanted)}`);
  return sizes;
}

function planConcat(planning: Planning, node: NodeProto): void {
  const parts = node.input.map((name) => planning.place(name));
  const rank = parts[0]!.shape.length;
  const axis = integerAttribute(node, 'axis', 0);
  if (![rank - 1, -1].includes(axis) || rank < 2) throw new NotByRow(`Concat over axis ${axis}`);
  for (const part of parts) requireOneRow('Concat', part, 1);
  const sizes = parts.map(({ shape }) => shape.at(-1)!);
  const y = planning.reserve([...parts[0]!.shape.slice(0, -1), sizes.reduce((total, size) => total + size, 0)]);
  let address = y.address;
  parts.forEach((part, i) => {
    const to = address;
    planning.step((kernels) => () => kernels.copy(part.address, to, sizes[i]!));
    address += sizes[i]! * 4;
  });
  planning.define(node.output[0]!, y);
}

/** A part of the last axis: the same values, further on. */
function planSlice(planning: Planning, { input, output }: NodeProto): void {
  const x = planning.place(input[0]);
  requireOneRow('Slice', x, 1);
  const rank = x.shape.length;
  const size = x.shape[rank - 1]!;
  const [starts, ends, axes, steps] = input.slice(1).map((name) => planning.integers(name));
  const axis = axes?.[0] ?? 0;
  const onlyLast =
    starts?.length === 1 && ends?.length === 1 && (axis < 0 ? axis + rank : axis) === rank - 1 && rank > 1;
  if (!onlyLast || (steps?.[0] ?? 1) !== 1) throw new NotByRow(`Slice of ${show(x.shape)}`);
  const within = (at: number) => Math.min(Math.max(at < 0 ? at + size : at, 0), size);
  const from = within(starts[0]!);
  const to = Math.max(from, within(ends[0]!));
  planning.define(output[0]!, { address: x.address + from * 4, shape: [...x.shape.slice(0, -1), to - from] });
}
