/**
 * The operators of row programs, by their ONNX names: each plans a node for one row, or says that it cannot. An operator that could
 * mix rows (over the first axis) is refused.
 */

import { TensorProto_DataType as DataType, type NodeProto } from '../../gen/onnx/onnx_pb.ts';
import { integerAttribute } from './attributes.ts';
import { binaryOps, unaryOps } from './kernels.ts';
import { NotByRow, type Place, type Planning, valueCountMax } from './planning.ts';
import { planGather, planGemm, planMatMul } from './products.ts';
import { boundedSizeOf, broadcast, offsetsOf, requireRowsFirst, show } from './shapes.ts';

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
    const wanted = planning.integers(input[1]) ?? [];
    // A graph that gives the first axis a number of its own would put several rows together.
    const shape = reshaped(x.shape, wanted);
    const keepsRows = [0, -1].includes(wanted[0] ?? 1) && shape[0] === 1;
    if (x.hasRows && !keepsRows) throw new NotByRow(`Reshape of ${show(x.shape)} to ${show(wanted)}`);
    planning.define(output[0]!, { ...x, shape });
  },
  Identity(planning, { input, output }) {
    planning.define(output[0]!, planning.place(input[0]));
  },
  /** To float32, of what is float32 here already: a comparison's ones and zeros. */
  Cast(planning, node) {
    if (integerAttribute(node, 'to', 0) !== DataType.FLOAT) throw new NotByRow('Cast to another type than float32');
    planning.define(node.output[0]!, planning.place(node.input[0]));
  },
  /** The number of rows, which is 1. */
  Shape(planning, node) {
    const [start, end] = [integerAttribute(node, 'start', 0), integerAttribute(node, 'end', 0)];
    const isRows = planning.isIndex(node.input[0]) && start === 0 && end === 1;
    if (!isRows) throw new NotByRow('Shape of anything but the rows');
    planning.defineIntegers(node.output[0]!, [1]);
  },
  Expand(planning, { input, output }) {
    const x = planning.place(input[0]);
    const shape = broadcast('Expand', x.shape, planning.integers(input[1]) ?? []);
    requireRowsFirst('Expand', [x], shape.length);
    if (boundedSizeOf(shape) > valueCountMax) throw new NotByRow(`Expand to ${show(shape)}`);
    const isSame = boundedSizeOf(shape) === boundedSizeOf(x.shape);
    const ones = () => planning.constant(new Float32Array(boundedSizeOf(shape)).fill(1), shape);
    planning.define(output[0]!, isSame ? { ...x, shape } : joined(planning, 'Mul', x, ones()));
  },
  /** Of the last two axes: nothing is moved, products read it as it lies. */
  Transpose(planning, { input, output, attribute }) {
    const x = planning.place(input[0]);
    const rank = x.shape.length;
    const order = attribute.find(({ name }) => name === 'perm')?.ints.map(Number) ?? [];
    const swapsLast = order.every((axis, i) => axis === (i < rank - 2 ? i : 2 * rank - 3 - i));
    if (rank < 3 || order.length !== rank || !swapsLast) throw new NotByRow(`Transpose of ${show(x.shape)}`);
    const shape = [...x.shape.slice(0, -2), x.shape[rank - 1]!, x.shape[rank - 2]!];
    planning.define(output[0]!, { ...x, shape, turned: true });
  },
  Concat: planConcat,
  Slice: planSlice,
};

/** Kernel calls of one operator; more would cost more than ONNX Runtime. */
const callCountMax = 32;

function joined(planning: Planning, op: (typeof binaryOps)[number], a: Place, b: Place): Place {
  const shape = broadcast(op, a.shape, b.shape);
  requireRowsFirst(op, [a, b], shape.length);
  const y = planning.reserve(shape, [a, b]);
  const code = binaryOps.indexOf(op);
  // The last axes over which each operand is either whole or one value; one call for each place of the axes before them.
  const isPlain = (own: readonly number[], from: number): boolean => {
    const part = own.slice(Math.max(0, own.length - (shape.length - from)));
    return part.every((size) => size === 1) || boundedSizeOf(part) === boundedSizeOf(shape.slice(from));
  };
  let from = shape.length;
  while (from > 0 && isPlain(a.shape, from - 1) && isPlain(b.shape, from - 1)) from--;
  const outer = shape.slice(0, from);
  const width = boundedSizeOf(shape.slice(from));
  if (boundedSizeOf(outer) > callCountMax) throw new NotByRow(`${op} of ${show(a.shape, b.shape)}`);
  const operandOf = ({ address, shape: own }: Place): Operand => {
    const cut = Math.max(0, own.length - (shape.length - from));
    const ownWidth = boundedSizeOf(own.slice(cut));
    const offsets = offsetsOf(outer, own.slice(0, cut));
    return { step: ownWidth === 1 ? 0 : 4, at: offsets.map((offset) => address + offset * ownWidth * 4) };
  };
  const [first, second] = [operandOf(a), operandOf(b)];
  first.at.forEach((left, i) => {
    const [right, to] = [second.at[i]!, y.address + i * width * 4];
    planning.step((kernels) => () => kernels.binary(code, left, first.step, right, second.step, to, width));
  });
  return y;
}

type Operand = { readonly step: number; readonly at: readonly number[] };

function planBinary(planning: Planning, { input, output }: NodeProto, op: (typeof binaryOps)[number]): void {
  if (input.length !== 2) throw new NotByRow(`${op} of ${input.length} operands`);
  planning.define(output[0]!, joined(planning, op, planning.place(input[0]), planning.place(input[1])));
}

function planUnary(planning: Planning, { input, output }: NodeProto, op: (typeof unaryOps)[number]): void {
  const x = planning.place(input[0]);
  const y = planning.reserve(x.shape, [x]);
  const code = unaryOps.indexOf(op);
  const count = boundedSizeOf(x.shape);
  planning.step((kernels) => () => kernels.unary(code, x.address, y.address, count));
  planning.define(output[0]!, y);
}

/** The sum (or mean) over the last axes, which are all of the row or one of a few. */
function planSum(planning: Planning, node: NodeProto, isMean: boolean): void {
  const x = planning.place(node.input[0]);
  const rank = x.shape.length;
  const axes = (planning.integers(node.input[1]) ?? []).map((axis) => (axis < 0 ? axis + rank : axis));
  const count = axes.reduce((size, axis) => size * x.shape[axis]!, 1);
  const outerCount = boundedSizeOf(x.shape) / count;
  // What is summed must lie together: no axis longer than 1 stands behind a summed one.
  const firstSummed = Math.min(...axes.filter((axis) => x.shape[axis] !== 1), rank);
  const isTogether = x.shape.every((size, axis) => axis < firstSummed || size === 1 || axes.includes(axis));
  if (axes.length === 0 || axes.includes(0) || !isTogether || outerCount > callCountMax) {
    throw new NotByRow(`${node.opType} of ${show(x.shape)} over ${axes.length === 0 ? 'all axes' : axes.join(', ')}`);
  }
  const keeps = integerAttribute(node, 'keepdims', 1) === 1;
  const shape = x.shape.flatMap((size, axis) => (!axes.includes(axis) ? [size] : keeps ? [1] : []));
  planning.countReads(boundedSizeOf(x.shape));
  const total = planning.reserve(shape, [x]);
  for (let i = 0; i < outerCount; i++) {
    planning.step((kernels) => () => kernels.sum(x.address + i * count * 4, total.address + i * 4, count));
  }
  const share = () => planning.constant(Float32Array.of(1 / count), []);
  planning.define(node.output[0]!, isMean ? joined(planning, 'Mul', total, share()) : total);
}

/** The new sizes for one row. A size of -1 is what is left; 0 keeps the old one. */
function reshaped(shape: readonly number[], wanted: readonly number[]): number[] {
  const kept = wanted.map((size, i) => (size === 0 ? shape[i]! : size));
  const given = kept.filter((size) => size !== -1).reduce((total, size) => total * size, 1);
  const sizes = kept.map((size) => (size === -1 ? boundedSizeOf(shape) / given : size));
  if (boundedSizeOf(sizes) !== boundedSizeOf(shape) || !sizes.every(Number.isInteger))
    throw new NotByRow(`Reshape of ${show(shape)} to ${show(wanted)}`);
  return sizes;
}

function planConcat(planning: Planning, node: NodeProto): void {
  if (node.input.every((name) => planning.isInteger(name))) {
    const values = node.input.flatMap((name) => planning.integers(name) ?? []);
    planning.defineIntegers(node.output[0]!, values);
    return;
  }
  const parts = node.input.map((name) => planning.place(name));
  const { shape } = parts[0]!;
  const given = integerAttribute(node, 'axis', 0);
  const axis = given < 0 ? given + shape.length : given;
  // With sizes of 1 before the axis, the parts lie one behind the other.
  if (axis === 0 || shape.slice(0, axis).some((size) => size !== 1)) {
    throw new NotByRow(`Concat of ${show(shape)} over axis ${axis}`);
  }
  const length = parts.reduce((total, part) => total + part.shape[axis]!, 0);
  const y = planning.reserve(
    shape.map((size, i) => (i === axis ? length : size)),
    parts,
  );
  let address = y.address;
  for (const part of parts) {
    const [to, count] = [address, boundedSizeOf(part.shape)];
    planning.step((kernels) => () => kernels.copy(part.address, to, count));
    address += count * 4;
  }
  planning.define(node.output[0]!, y);
}

/** A part of the last axis: the same values, further on. */
function planSlice(planning: Planning, { input, output }: NodeProto): void {
  const x = planning.place(input[0]);
  const rank = x.shape.length;
  const size = x.shape[rank - 1] ?? 1;
  const [starts, ends, axes, steps] = input.slice(1).map((name) => planning.integers(name));
  const axis = axes?.[0] ?? 0;
  const onlyLast =
    starts?.length === 1 && ends?.length === 1 && (axis < 0 ? axis + rank : axis) === rank - 1 && rank > 1;
  if (!onlyLast || (steps?.[0] ?? 1) !== 1 || size !== boundedSizeOf(x.shape))
    throw new NotByRow(`Slice of ${show(x.shape)}`);
  const within = (at: number) => Math.min(Math.max(at < 0 ? at + size : at, 0), size);
  const from = within(starts[0]!);
  const to = Math.max(from, within(ends[0]!));
  const shape = [...x.shape.slice(0, -1), to - from];
  planning.define(output[0]!, { address: x.address + from * 4, shape, hasRows: x.hasRows });
}
