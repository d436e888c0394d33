/**
 * Matrices in float64 with reverse-mode gradients, to compute an update a second time without tfjs, ONNX or float32. Plain loops;
 * nothing here is fast.
 */

export type Matrix = {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array; // row-major
  /** d loss / d this, after {@link differentiate}. */
  readonly gradient: Float64Array;
  readonly parents: readonly Matrix[];
  /** Adds this matrix's part to the gradients of its parents. */
  readonly back: () => void;
};

type Fill = (data: Float64Array) => void;

function make(
  rows: number,
  columns: number,
  fill: Fill,
  parents: readonly Matrix[],
  back: (out: Matrix) => void,
): Matrix {
  const data = new Float64Array(rows * columns);
  fill(data);
  const out: Matrix = {
    rows,
    columns,
    data,
    gradient: new Float64Array(data.length),
    parents,
    back: () => back(out),
  };
  return out;
}

/** A leaf; vectors are rows. */
export const matrix = (values: ArrayLike<number>, shape: readonly number[]): Matrix => {
  const columns = shape.at(-1) ?? 1;
  return make(
    values.length / columns,
    columns,
    (data) => data.set(values),
    [],
    () => {},
  );
};

export const constant = (value: number): Matrix => matrix([value], [1, 1]);

/** Gradients of a loss [1, 1] in everything that it was computed from. */
export function differentiate(loss: Matrix): void {
  const order: Matrix[] = [];
  const seen = new Set<Matrix>();
  const visit = (node: Matrix) => {
    if (seen.has(node)) return;
    seen.add(node);
    for (const parent of node.parents) visit(parent);
    order.push(node);
  };
  visit(loss);
  for (const node of order) node.gradient.fill(0);
  loss.gradient[0] = 1;
  for (const node of order.reverse()) node.back();
}

export function matMul(a: Matrix, b: Matrix): Matrix {
  const [rows, inner, columns] = [a.rows, a.columns, b.columns];
  if (inner !== b.rows) throw new Error(`matMul: [${rows}, ${inner}] x [${b.rows}, ${columns}]`);
  const fill: Fill = (data) => {
    for (let i = 0; i < rows; i++) {
      for (let k = 0; k < inner; k++) {
        const value = a.data[i * inner + k]!;
        if (value === 0) continue;
        for (let j = 0; j < columns; j++) data[i * columns + j]! += value * b.data[k * columns + j]!;
      }
    }
  };
  return make(rows, columns, fill, [a, b], ({ gradient }) => {
    for (let i = 0; i < rows; i++) {
      for (let k = 0; k < inner; k++) {
        const value = a.data[i * inner + k]!;
        let sum = 0;
        for (let j = 0; j < columns; j++) {
          const g = gradient[i * columns + j]!;
          sum += g * b.data[k * columns + j]!;
          b.gradient[k * columns + j]! += value * g;
        }
        a.gradient[i * inner + k]! += sum;
      }
    }
  });
}

/** One row vector-matrix product per row: x [B, I], w [B, I O] -> [B, O]. */
export function rowMatMul(x: Matrix, w: Matrix): Matrix {
  const [rows, inputs] = [x.rows, x.columns];
  const outputs = w.columns / inputs;
  const each = (f: (from: number, weight: number, to: number) => void) => {
    for (let b = 0; b < rows; b++) {
      for (let i = 0; i < inputs; i++) {
        for (let o = 0; o < outputs; o++) f(b * inputs + i, (b * inputs + i) * outputs + o, b * outputs + o);
      }
    }
  };
  const fill: Fill = (data) =>
    each((from, weight, to) => {
      data[to]! += x.data[from]! * w.data[weight]!;
    });
  return make(rows, outputs, fill, [x, w], ({ gradient }) =>
    each((from, weight, to) => {
      x.gradient[from]! += gradient[to]! * w.data[weight]!;
      w.gradient[weight]! += gradient[to]! * x.data[from]!;
    }),
  );
}

type Slope = (x: number, y: number) => number;

/** Elementwise; a side of one row or one column serves all. */
function binary(a: Matrix, b: Matrix, f: Slope, slopeOfA: Slope, slopeOfB: Slope): Matrix {
  const [rows, columns] = [Math.max(a.rows, b.rows), Math.max(a.columns, b.columns)];
  const stridesOf = (m: Matrix) => [m.rows === 1 ? 0 : m.columns, m.columns === 1 ? 0 : 1] as const;
  const [[aRow, aColumn], [bRow, bColumn]] = [stridesOf(a), stridesOf(b)];
  const each = (g: (from: number, other: number, to: number) => void) => {
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++) g(i * aRow + j * aColumn, i * bRow + j * bColumn, i * columns + j);
    }
  };
  const fill: Fill = (data) =>
    each((from, other, to) => {
      data[to] = f(a.data[from]!, b.data[other]!);
    });
  return make(rows, columns, fill, [a, b], ({ gradient }) =>
    each((from, other, to) => {
      const [x, y, g] = [a.data[from]!, b.data[other]!, gradient[to]!];
      a.gradient[from]! += slopeOfA(x, y) * g;
      b.gradient[other]! += slopeOfB(x, y) * g;
    }),
  );
}

const one = () => 1;
const negativeOne = () => -1;
const first: Slope = (x) => x;
const second: Slope = (_, y) => y;

export const add = (a: Matrix, b: Matrix) => binary(a, b, (x, y) => x + y, one, one);
export const sub = (a: Matrix, b: Matrix) => binary(a, b, (x, y) => x - y, one, negativeOne);
export const mul = (a: Matrix, b: Matrix) => binary(a, b, (x, y) => x * y, second, first);
export const div = (a: Matrix, b: Matrix) =>
  binary(
    a,
    b,
    (x, y) => x / y,
    (_, y) => 1 / y,
    (x, y) => -x / y ** 2,
  );
export const min = (a: Matrix, b: Matrix) =>
  binary(
    a,
    b,
    Math.min,
    (x, y) => (x < y ? 1 : 0),
    (x, y) => (x < y ? 0 : 1),
  );

function unary(a: Matrix, f: (x: number) => number, slope: (x: number) => number): Matrix {
  return make(
    a.rows,
    a.columns,
    (data) =>
      a.data.forEach((x, i) => {
        data[i] = f(x);
      }),
    [a],
    ({ gradient }) =>
      gradient.forEach((g, i) => {
        a.gradient[i]! += g * slope(a.data[i]!);
      }),
  );
}

export const scale = (a: Matrix, factor: number) =>
  unary(
    a,
    (x) => x * factor,
    () => factor,
  );
export const shift = (a: Matrix, offset: number) =>
  unary(
    a,
    (x) => x + offset,
    () => 1,
  );
export const relu = (a: Matrix) =>
  unary(
    a,
    (x) => Math.max(x, 0),
    (x) => (x > 0 ? 1 : 0),
  );
export const tanh = (a: Matrix) => unary(a, Math.tanh, (x) => 1 - Math.tanh(x) ** 2);
export const exp = (a: Matrix) => unary(a, Math.exp, Math.exp);
export const square = (a: Matrix) =>
  unary(
    a,
    (x) => x * x,
    (x) => 2 * x,
  );
export const sqrt = (a: Matrix) => unary(a, Math.sqrt, (x) => 0.5 / Math.sqrt(x));
export const clip = (a: Matrix, low: number, high: number) =>
  unary(
    a,
    (x) => Math.min(Math.max(x, low), high),
    (x) => (x >= low && x <= high ? 1 : 0),
  );
export const softplus = (a: Matrix) =>
  unary(
    a,
    (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))),
    (x) => 1 / (1 + Math.exp(-x)),
  );

const ones = (rows: number, columns: number) => matrix(new Float64Array(rows * columns).fill(1), [rows, columns]);

/** [R, C] -> [R, 1]. */
export const sumOfRows = (a: Matrix) => matMul(a, ones(a.columns, 1));
/** [R, C] -> [1, C]. */
export const sumOfColumns = (a: Matrix) => matMul(ones(1, a.rows), a);
/** [R, C] -> [1, 1]. */
export const mean = (a: Matrix) => scale(sumOfRows(sumOfColumns(a)), 1 / a.data.length);
/** [1, C] -> [rows, C]. */
export const repeat = (a: Matrix, rows: number) => matMul(ones(rows, 1), a);

/** Columns `from` until `to`. */
export function columnsOf(a: Matrix, from: number, to: number): Matrix {
  const width = to - from;
  const place = (i: number) => Math.floor(i / width) * a.columns + from + (i % width);
  return make(
    a.rows,
    width,
    (data) =>
      data.forEach((_, i) => {
        data[i] = a.data[place(i)]!;
      }),
    [a],
    ({ gradient }) =>
      gradient.forEach((g, i) => {
        a.gradient[place(i)]! += g;
      }),
  );
}

/** Side by side. */
export function concat(...parts: readonly Matrix[]): Matrix {
  const columns = parts.reduce((sum, part) => sum + part.columns, 0);
  const each = (f: (part: Matrix, from: number, to: number) => void) => {
    let start = 0;
    for (const part of parts) {
      for (let i = 0; i < part.data.length; i++) {
        f(part, i, Math.floor(i / part.columns) * columns + start + (i % part.columns));
      }
      start += part.columns;
    }
  };
  const fill: Fill = (data) =>
    each((part, from, to) => {
      data[to] = part.data[from]!;
    });
  return make(parts[0]!.rows, columns, fill, parts, ({ gradient }) =>
    each((part, from, to) => {
      part.gradient[from]! += gradient[to]!;
    }),
  );
}
