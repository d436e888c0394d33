/**
 * One case per kernel of the registry: how to call it, on which values, and how far it is smooth. Shapes are drawn anew for
 * every trial.
 */

import * as tf from '@tensorflow/tfjs-core';
import type { Random } from '../../src/contract/random.ts';

export type Shape = number[];

export type OperatorCase = {
  /** Shapes of the inputs `x`, `y`, ... for one trial. */
  readonly shapes: (random: Random) => Shape[];
  /** Built per trial, since attributes may depend on shapes. */
  readonly f: (shapes: readonly Shape[], random: Random) => (...x: tf.Tensor[]) => tf.Tensor;
  /** A standard normal draw to a value in the domain, away from kinks. */
  readonly domain?: (draw: number) => number;
  /** `values` only: the result is bool or int, or jumps. */
  readonly check?: 'values' | 'gradients';
};

const sizeUpTo = (random: Random, max: number) => 1 + Math.floor(random.uniform() * max);

/** A shape of rank `low` to `high` with sizes 1 to 4. */
export const anyShape =
  (low = 0, high = 3) =>
  (random: Random): Shape =>
    Array.from({ length: low + Math.floor(random.uniform() * (high - low + 1)) }, () => sizeUpTo(random, 4));

/** Two shapes that broadcast: each has some dimensions at size 1, and one may lack leading ones. */
function broadcastPair(random: Random): Shape[] {
  const full = anyShape(1, 3)(random);
  const thin = (shape: Shape) => shape.map((size) => (random.uniform() < 0.3 ? 1 : size));
  const pair = [thin(full), thin(full).slice(Math.floor(random.uniform() * (full.length + 1)))];
  return random.uniform() < 0.5 ? pair : pair.reverse();
}

const one =
  (low = 0, high = 3) =>
  (random: Random) => [anyShape(low, high)(random)];

const pick = <T>(random: Random, values: readonly T[]): T => values[Math.floor(random.uniform() * values.length)]!;

const axisOf = (shape: Shape, random: Random): number => {
  const axis = Math.floor(random.uniform() * shape.length);
  return random.uniform() < 0.5 ? axis : axis - shape.length;
};

/** Some axes, perhaps all. */
const axesOf = (shape: Shape, random: Random): number[] => {
  const axes = shape.map((_, i) => i).filter(() => random.uniform() < 0.6);
  return axes.length === 0 ? [0] : axes;
};

/** Away from zero by at least `gap`. */
export const awayFromZero =
  (gap = 0.2) =>
  (draw: number) =>
    draw + Math.sign(draw || 1) * gap;
const positive = (draw: number) => 0.4 + Math.abs(draw);
const inside = (draw: number) => 0.8 * Math.tanh(draw);
/** Away from integers and halves, for what rounds. */
const betweenSteps = (draw: number) => Math.floor(draw * 2) / 2 + 0.25;

const unary = (f: (x: tf.Tensor) => tf.Tensor, domain?: OperatorCase['domain']): OperatorCase => ({
  shapes: one(),
  f: () => f,
  ...(domain && { domain }),
});
const binary = (f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor, domain?: OperatorCase['domain']): OperatorCase => ({
  shapes: broadcastPair,
  f: () => f,
  ...(domain && { domain }),
});
const truth = (f: (a: tf.Tensor, b: tf.Tensor) => tf.Tensor): OperatorCase => ({
  ...binary((a, b) => tf.cast(f(a, b), 'float32')),
  check: 'values',
});
const valuesOnly = (base: OperatorCase): OperatorCase => ({ ...base, check: 'values' });
const reduction = (f: (x: tf.Tensor, axes: number[], keepDims: boolean) => tf.Tensor): OperatorCase => ({
  shapes: one(1),
  f: ([shape], random) => {
    const axes = axesOf(shape!, random);
    const keepDims = random.uniform() < 0.5;
    return (x) => f(x, axes, keepDims);
  },
});
const integersBelow = (bound: number, count: number, random: Random): number[] =>
  Array.from({ length: count }, () => Math.floor(random.uniform() * bound));

export const operatorCases: Readonly<Record<string, OperatorCase>> = {
  Abs: unary(tf.abs, awayFromZero()),
  Acos: unary(tf.acos, inside),
  Acosh: unary(tf.acosh, (draw) => 1.5 + Math.abs(draw)),
  Asin: unary(tf.asin, inside),
  Asinh: unary(tf.asinh),
  Atan: unary(tf.atan),
  Atanh: unary(tf.atanh, inside),
  Ceil: unary(tf.ceil, betweenSteps),
  Cos: unary(tf.cos),
  Cosh: unary(tf.cosh),
  Erf: unary(tf.erf),
  Exp: unary(tf.exp),
  Expm1: unary(tf.expm1),
  Floor: unary(tf.floor, betweenSteps),
  Identity: unary((x) => tf.mul(tf.clone(x), x)),
  Cast: unary((x) => tf.mul(x, tf.cast(tf.cast(x, 'int32'), 'float32')), betweenSteps),
  Log: unary(tf.log, positive),
  Log1p: unary(tf.log1p, positive),
  Neg: unary(tf.neg),
  Reciprocal: unary(tf.reciprocal, awayFromZero(0.5)),
  Round: unary(tf.round, betweenSteps),
  Rsqrt: unary(tf.rsqrt, positive),
  Sign: unary(tf.sign, awayFromZero()),
  Sin: unary(tf.sin),
  Sinh: unary(tf.sinh),
  Sqrt: unary(tf.sqrt, positive),
  Square: unary(tf.square),
  Tan: unary(tf.tan, inside),
  Add: binary(tf.add),
  AddN: { shapes: one(), f: () => (x) => tf.addN([x, tf.square(x), x]) },
  FloorDiv: valuesOnly(binary((a, b) => tf.cast(tf.floorDiv(toInt(a), toInt(b)), 'float32'), positive)),
  Maximum: binary(tf.maximum),
  Minimum: binary(tf.minimum),
  // The quotient stays between 2 and 3.
  Mod: binary((a, b) => tf.mod(tf.add(tf.mul(tf.tanh(a), 0.5), 7.6), tf.add(tf.mul(tf.tanh(b), 0.1), 3))),
  Multiply: binary(tf.mul),
  Pow: binary((a, b) => tf.pow(tf.add(tf.square(a), 0.5), b)),
  RealDiv: binary(tf.div, awayFromZero(0.6)),
  SquaredDifference: binary(tf.squaredDifference),
  Sub: binary(tf.sub),

  Elu: unary(tf.elu, awayFromZero()),
  LeakyRelu: unary((x) => tf.leakyRelu(x, 0.3), awayFromZero()),
  Prelu: { shapes: (random) => repeated(anyShape(1, 2)(random)), f: () => tf.prelu, domain: awayFromZero() },
  Relu: unary(tf.relu, awayFromZero()),
  Relu6: unary((x) => tf.relu6(tf.mul(x, 4)), awayFromZero()),
  Sigmoid: unary(tf.sigmoid),
  Softmax: { shapes: one(1), f: () => (x) => tf.softmax(x) },
  Softplus: unary(tf.softplus),
  Step: unary((x) => tf.step(x, 0.3), awayFromZero()),
  Tanh: unary(tf.tanh),

  ClipByValue: unary((x) => tf.square(tf.clipByValue(x, -0.6, 0.65)), betweenSteps),
  Equal: truth((a, b) => tf.equal(tf.round(a), tf.round(b))),
  Greater: truth(tf.greater),
  GreaterEqual: truth(tf.greaterEqual),
  IsFinite: valuesOnly(unary((x) => tf.cast(tf.isFinite(tf.div(1, tf.relu(x))), 'float32'))),
  IsInf: valuesOnly(unary((x) => tf.cast(tf.isInf(tf.div(1, tf.relu(x))), 'float32'))),
  IsNan: valuesOnly(unary((x) => tf.cast(tf.isNaN(tf.log(x)), 'float32'))),
  Less: truth(tf.less),
  LessEqual: truth(tf.lessEqual),
  LogicalAnd: truth((a, b) => tf.logicalAnd(tf.greater(a, 0), tf.greater(b, 0))),
  LogicalNot: valuesOnly(unary((x) => tf.cast(tf.logicalNot(tf.greater(x, 0)), 'float32'))),
  LogicalOr: truth((a, b) => tf.logicalOr(tf.greater(a, 0), tf.greater(b, 0))),
  NotEqual: truth((a, b) => tf.notEqual(tf.round(a), tf.round(b))),
  Select: binary((a, b) => tf.where(tf.greater(a, 0), tf.mul(a, b), tf.square(b)), awayFromZero()),

  All: valuesOnly(reduction((x, axes, keepDims) => tf.cast(tf.all(tf.greater(x, -1), axes, keepDims), 'float32'))),
  Any: valuesOnly(reduction((x, axes, keepDims) => tf.cast(tf.any(tf.greater(x, 1), axes, keepDims), 'float32'))),
  ArgMax: valuesOnly(reduction((x, [axis]) => tf.cast(tf.argMax(x, axis), 'float32'))),
  ArgMin: valuesOnly(reduction((x, [axis]) => tf.cast(tf.argMin(x, axis), 'float32'))),
  Cumsum: {
    shapes: one(1),
    f: ([shape], random) => {
      const axis = Math.abs(axisOf(shape!, random)) % shape!.length;
      const [exclusive, reverse] = [random.uniform() < 0.5, random.uniform() < 0.5];
      return (x) => tf.square(tf.cumsum(x, axis, exclusive, reverse));
    },
  },
  Max: reduction((x, axes, keepDims) => tf.square(tf.max(x, axes, keepDims))),
  Mean: reduction((x, axes, keepDims) => tf.square(tf.mean(x, axes, keepDims))),
  Min: reduction((x, axes, keepDims) => tf.square(tf.min(x, axes, keepDims))),
  Prod: reduction((x, [axis], keepDims) => tf.prod(x, [axis!], keepDims)),
  Sum: reduction((x, axes, keepDims) => tf.square(tf.sum(x, axes, keepDims))),

  BatchMatMul: {
    shapes: productShapes,
    f: ([a, b]) => {
      // Odd inner sizes tell which side was drawn transposed.
      const { transposeA, transposeB } = flagsOf(a!, b!);
      return (x, y) => tf.matMul(x, y, transposeA, transposeB);
    },
  },

  Concat: {
    shapes: one(1),
    f: ([shape], random) => {
      const axis = axisOf(shape!, random);
      return (x) => tf.concat([x, tf.square(x), tf.tanh(x)], axis);
    },
  },
  ExpandDims: {
    shapes: one(1),
    f: ([shape], random) => {
      const axis = axisOf(shape!, random);
      return (x) => tf.square(tf.expandDims(x, axis));
    },
  },
  Pack: {
    shapes: one(1),
    f: ([shape], random) => {
      const axis = Math.floor(random.uniform() * (shape!.length + 1));
      return (x) => tf.stack([x, tf.square(x)], axis);
    },
  },
  PadV2: {
    shapes: one(1, 2),
    f: ([shape], random) => {
      const paddings = shape!.map(() => [sizeUpTo(random, 3) - 1, sizeUpTo(random, 3) - 1] as [number, number]);
      return (x) => tf.square(tf.pad(x, paddings, 0.5));
    },
  },
  Reshape: { shapes: one(1), f: () => (x) => tf.square(tf.reshape(x, [1, -1, 1])) },
  Reverse: {
    shapes: one(1),
    f: ([shape], random) => {
      const axes = axesOf(shape!, random);
      return (x) => tf.mul(x, tf.reverse(x, axes));
    },
  },
  Slice: {
    shapes: one(1),
    f: ([shape], random) => {
      const begin = shape!.map((size) => Math.floor(random.uniform() * size));
      const sizes = shape!.map((size, i) => 1 + Math.floor(random.uniform() * (size - begin[i]!)));
      return (x) => tf.square(tf.slice(x, begin, sizes));
    },
  },
  SplitV: {
    shapes: (random) => [[4, ...anyShape(0, 2)(random)]],
    f: () => (x) => {
      const [a, b] = tf.split(x, [1, 3], 0);
      return tf.mul(a!, b!);
    },
  },
  StridedSlice: {
    shapes: (random) => [[2 + sizeUpTo(random, 3), 2 + sizeUpTo(random, 3)]],
    f: ([shape], random) => {
      const back = random.uniform() < 0.5;
      const first = back ? [shape![0]! - 1, 0, -2] : [0, shape![0]!, 2];
      const columns = random.uniform() < 0.5 ? [1, shape![1]!, 1] : [0, shape![1]! - 1, 3];
      const [rows, [begin, end, stride]] = [first, columns as [number, number, number]];
      return (x) => tf.square(tf.stridedSlice(x, [rows[0]!, begin], [rows[1]!, end], [rows[2]!, stride]));
    },
  },
  Tile: {
    shapes: one(1, 2),
    f: ([shape], random) => {
      const repeats = shape!.map(() => sizeUpTo(random, 3));
      const broadcast = [2, ...shape!];
      return (x) => tf.addN([tf.sum(tf.square(tf.tile(x, repeats))), tf.sum(tf.tanh(tf.broadcastTo(x, broadcast)))]);
    },
  },
  Transpose: {
    shapes: one(2),
    f: ([shape], random) => {
      const order = shape!.map((_, i) => i).reverse();
      if (random.uniform() < 0.5) order.unshift(order.pop()!);
      return (x) => tf.square(tf.transpose(x, order));
    },
  },
  Unpack: {
    shapes: one(1),
    f: ([shape], random) => {
      const axis = axisOf(shape!, random);
      return (x) => tf.addN(tf.unstack(tf.square(x), axis));
    },
  },

  GatherNd: {
    shapes: (random) => [[3, 2, ...anyShape(0, 1)(random)]],
    f: (_shapes, random) => {
      const rows = integersBelow(3, 4, random).map((row) => [row, row % 2]);
      return (x) => tf.square(tf.gatherND(x, tf.tensor2d(rows, undefined, 'int32')));
    },
  },
  GatherV2: {
    shapes: one(1),
    f: ([shape], random) => {
      if (shape!.length > 1 && random.uniform() < 0.5) return gatherInBatches(shape!, random);
      const axis = Math.floor(random.uniform() * shape!.length);
      const places = integersBelow(shape![axis]!, 6, random);
      const rows = pick(random, [[6], [2, 3]]);
      return (x) => tf.square(tf.gather(x, tf.tensor(places, rows, 'int32'), axis));
    },
  },
  OneHot: valuesOnly(
    unary((x) => tf.cast(tf.oneHot(tf.cast(tf.clipByValue(tf.abs(x), 0, 3), 'int32'), 4, 0.8, -0.1), 'float32')),
  ),
  ScatterNd: {
    shapes: (random) => [[4, ...anyShape(0, 1)(random)]],
    f: ([shape], random) => {
      const rows = integersBelow(5, 4, random).map((row) => [row]);
      return (x) => tf.square(tf.scatterND(tf.tensor2d(rows, undefined, 'int32'), x, [5, ...shape!.slice(1)]));
    },
  },
  UnsortedSegmentSum: {
    shapes: (random) => [[5, ...anyShape(0, 2)(random)]],
    f: (_shapes, random) => {
      const rows = integersBelow(3, 5, random);
      return (x) => tf.square(tf.unsortedSegmentSum(x, tf.tensor1d(rows, 'int32'), 3));
    },
  },

  Fill: unary((x) => tf.mul(x, tf.fill(x.shape, 2.5))),
  OnesLike: unary((x) => tf.mul(x, tf.onesLike(x))),
  Range: { shapes: () => [[4]], f: () => (x) => tf.mul(x, tf.range(0.5, 4.5)) },
  ZerosLike: unary((x) => tf.add(tf.square(x), tf.zerosLike(x))),
};

/** Rows along any axis after the first, each part of the first dimension with its own indices. */
function gatherInBatches(shape: Shape, random: Random): (x: tf.Tensor) => tf.Tensor {
  const axis = 1 + Math.floor(random.uniform() * (shape.length - 1));
  const rows = [shape[0]!, ...pick(random, [[3], [2, 2]])];
  const places = integersBelow(shape[axis]!, tf.util.sizeFromShape(rows), random);
  return (x) => tf.square(tf.gather(x, tf.tensor(places, rows, 'int32'), axis, 1));
}

const toInt = (x: tf.Tensor) => tf.cast(tf.ceil(x), 'int32');

const repeated = (shape: Shape): Shape[] => [shape, shape];

/** Rows 2 (or 4), inner 3, columns 5: so a side's shape says whether it is transposed. Batches broadcast both ways. */
function productShapes(random: Random): Shape[] {
  const [transposeA, transposeB] = [random.uniform() < 0.5, random.uniform() < 0.5];
  const a = transposeA ? [3, 2] : [2, 3];
  const b = transposeB ? [5, 3] : [3, 5];
  const batches = pick<[Shape, Shape]>(random, [
    [[], []],
    [[2], [2]],
    [[2], [1]],
    [[1], [2]],
    [
      [2, 2],
      [2, 2],
    ],
  ]);
  const lift = (batch: Shape, rank: number) => [...Array<number>(rank - batch.length).fill(1), ...batch];
  const rank = Math.max(batches[0].length, batches[1].length);
  return [
    [...lift(batches[0], rank), ...a],
    [...lift(batches[1], rank), ...b],
  ];
}

const flagsOf = (a: Shape, b: Shape) => ({ transposeA: a.at(-2) === 3, transposeB: b.at(-2) === 5 });
