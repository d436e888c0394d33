/**
 * MAML's objective in float64, apart from tfjs: matrices with reverse-mode gradients, the policies written once more, adaptation by
 * their gradients. For finite differences of the whole adapt-then-evaluate objective.
 */

import type { InnerSteps } from '../../../../trainer/algorithms/maml/inner-step.ts';
import type { TaskArrays } from '../../../../trainer/algorithms/maml/steps.ts';

/** [rows, columns], row-major, with the way back to what it was made of. */
export type Matrix = {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
  slope: Float64Array;
  readonly back: () => void;
  readonly from: readonly Matrix[];
};

export type Values = Readonly<Record<string, Matrix>>;

export function matrix(rows: number, columns: number, data: ArrayLike<number>): Matrix {
  return make(rows, columns, Float64Array.from(data), [], () => () => {});
}

function make(
  rows: number,
  columns: number,
  data: Float64Array,
  from: readonly Matrix[],
  backOf: (out: Matrix) => () => void,
): Matrix {
  const out = { rows, columns, data, from, slope: new Float64Array(data.length), back: () => {} };
  out.back = backOf(out);
  return out;
}

function product(a: Matrix, b: Matrix): Matrix {
  const [n, m, k] = [a.rows, b.columns, a.columns];
  const data = new Float64Array(n * m);
  for (let i = 0; i < n; i++)
    for (let l = 0; l < k; l++) for (let j = 0; j < m; j++) data[i * m + j]! += a.data[i * k + l]! * b.data[l * m + j]!;
  return make(n, m, data, [a, b], (out) => () => {
    for (let i = 0; i < n; i++)
      for (let l = 0; l < k; l++)
        for (let j = 0; j < m; j++) {
          a.slope[i * k + l]! += out.slope[i * m + j]! * b.data[l * m + j]!;
          b.slope[l * m + j]! += out.slope[i * m + j]! * a.data[i * k + l]!;
        }
  });
}

/** Elementwise; b may be one row for all rows of a. */
function combine(
  a: Matrix,
  b: Matrix,
  f: (x: number, y: number) => number,
  slopes: (x: number, y: number) => readonly [number, number],
): Matrix {
  const place = (i: number) => i % b.data.length;
  const data = a.data.map((x, i) => f(x, b.data[place(i)]!));
  return make(a.rows, a.columns, data, [a, b], (out) => () => {
    a.data.forEach((x, i) => {
      const [dx, dy] = slopes(x, b.data[place(i)]!);
      a.slope[i]! += out.slope[i]! * dx;
      b.slope[place(i)]! += out.slope[i]! * dy;
    });
  });
}

const add = (a: Matrix, b: Matrix) =>
  combine(
    a,
    b,
    (x, y) => x + y,
    () => [1, 1],
  );
const times = (a: Matrix, b: Matrix) =>
  combine(
    a,
    b,
    (x, y) => x * y,
    (x, y) => [y, x],
  );

function each(a: Matrix, f: (x: number) => number, slope: (x: number) => number): Matrix {
  return make(a.rows, a.columns, a.data.map(f), [a], (out) => () => {
    a.data.forEach((x, i) => {
      a.slope[i]! += out.slope[i]! * slope(x);
    });
  });
}

const relu = (a: Matrix) =>
  each(
    a,
    (x) => Math.max(x, 0),
    (x) => (x > 0 ? 1 : 0),
  );

/** The same values in other rows and columns. */
const reshape = (a: Matrix, rows: number, columns: number): Matrix =>
  make(rows, columns, a.data, [a], (out) => () => {
    out.slope.forEach((value, i) => {
      a.slope[i]! += value;
    });
  });

/** d total / d each of the values, where total is [1, 1]. */
function gradientsOf(total: Matrix, values: Values): Record<string, Float64Array> {
  const order: Matrix[] = [];
  const seen = new Set<Matrix>();
  const visit = (node: Matrix) => {
    if (seen.has(node)) return;
    seen.add(node);
    node.from.forEach(visit);
    order.push(node);
  };
  visit(total);
  for (const node of order) node.slope.fill(0);
  total.slope[0] = 1;
  for (const node of order.reverse()) node.back();
  return Object.fromEntries(Object.entries(values).map(([name, { slope }]) => [name, slope.slice()]));
}

export type Flat = Readonly<Record<string, Float64Array>>;
export type Shapes = Readonly<Record<string, readonly number[]>>;

const matricesOf = (flat: Flat, shapes: Shapes): Values =>
  Object.fromEntries(
    Object.entries(flat).map(([name, data]) => {
      const shape = shapes[name]!;
      return [name, shape.length === 2 ? matrix(shape[0]!, shape[1]!, data) : matrix(1, data.length, data)];
    }),
  );

const linear = (p: Values, name: string, x: Matrix): Matrix =>
  add(product(x, p[`${name}.weight`]!), p[`${name}.bias`]!);

/** Mean of the action, [N, A]. */
function mean(p: Values, observation: Matrix, context: readonly number[]): Matrix {
  return 'mlp.layer0.weight' in p ? mlpMean(p, observation, context) : hyperMean(p, observation, context);
}

function mlpMean(p: Values, observation: Matrix, context: readonly number[]): Matrix {
  const rows = Array.from({ length: observation.rows }, (_, n) => [
    ...observation.data.slice(n * observation.columns, (n + 1) * observation.columns),
    ...context,
  ]);
  let h = linear(p, 'mlp.layer0', matrix(rows.length, rows[0]!.length, rows.flat()));
  for (let i = 1; `mlp.layer${i}.weight` in p; i++) h = linear(p, `mlp.layer${i}`, relu(h));
  return h;
}

function hyperMean(p: Values, observation: Matrix, context: readonly number[]): Matrix {
  let h = matrix(1, context.length, context);
  for (let i = 0; `primary.stage${i}.input.weight` in p; i++) {
    h = linear(p, `primary.stage${i}.input`, h);
    for (let j = 0; j < 2; j++) {
      const block = `primary.stage${i}.block${j}`;
      h = add(h, linear(p, `${block}.second`, relu(linear(p, `${block}.first`, relu(h)))));
    }
  }
  let y = observation;
  for (let i = 0; `head${i}.bias.bias` in p; i++) {
    const outputs = p[`head${i}.bias.bias`]!.columns;
    const weight = reshape(linear(p, `head${i}.weight`, h), y.columns, outputs);
    const gain = each(
      linear(p, `head${i}.gain`, h),
      (x) => x + 1,
      () => 1,
    );
    const input = i === 0 ? y : relu(y);
    y = add(times(product(input, weight), gain), linear(p, `head${i}.bias`, h));
  }
  return y;
}

type Set = TaskArrays['pre'];

/** Density of each step, as log pi up to a constant, and the parameters of the distribution. */
function outputOf(p: Values, steps: Set, context: readonly number[], sizes: Sizes) {
  const rows = steps.coefficient.length;
  const mu = mean(p, matrix(rows, sizes.observationSize, steps.observation), context);
  return { mu, logStd: p.logStd! };
}

type Sizes = { readonly observationSize: number; readonly actionSize: number };

/** -sum of coefficient x log pi(a). */
function innerLoss(p: Values, steps: Set, context: readonly number[], sizes: Sizes): Matrix {
  const { mu, logStd } = outputOf(p, steps, context, sizes);
  const { rows, columns } = mu;
  const difference = add(
    mu,
    matrix(
      rows,
      columns,
      steps.action.map((a) => -a),
    ),
  );
  const precision = each(
    logStd,
    (s) => Math.exp(-2 * s),
    (s) => -2 * Math.exp(-2 * s),
  );
  const half = each(
    times(times(difference, difference), precision),
    (x) => x / 2,
    () => 0.5,
  );
  const negative = add(half, logStd); // -log pi without its constant, which the coefficients' sum of 0 cancels
  const ones = matrix(columns, 1, new Array(columns).fill(1));
  return product(matrix(1, rows, steps.coefficient), product(negative, ones));
}

export type Objective = {
  readonly shapes: Shapes;
  readonly sizes: Sizes;
  readonly inner: InnerSteps;
  /** Of every value, by name. */
  readonly rates: Flat;
};

/** The parameters after the inner steps. */
export function adapted(flat: Flat, task: TaskArrays, { shapes, sizes, inner, rates }: Objective): Flat {
  let at = flat;
  for (let k = 0; k < inner.stepCount; k++) {
    const values = matricesOf(at, shapes);
    const gradients = gradientsOf(innerLoss(values, task.pre, contextOf(task), sizes), values);
    at = Object.fromEntries(
      Object.entries(at).map(([name, data]) => [
        name,
        data.map((value, i) => value - (rates[name]![i] ?? rates[name]![0]!) * gradients[name]![i]!),
      ]),
    );
  }
  return at;
}

const contextOf = ({ context }: TaskArrays): number[] => [...context];

/** The outer loss before the ratio's constant denominator: its gradient is the outer gradient at the old parameters. */
export const outerLoss = (flat: Flat, task: TaskArrays, objective: Objective): number =>
  innerLoss(matricesOf(adapted(flat, task, objective), objective.shapes), task.post, contextOf(task), objective.sizes)
    .data[0]!;

/** Mean over post steps of KL(adapted new || adapted old). */
export function divergence(next: Flat, old: Flat, task: TaskArrays, objective: Objective): number {
  const at = (flat: Flat) => {
    const values = matricesOf(adapted(flat, task, objective), objective.shapes);
    return outputOf(values, task.post, contextOf(task), objective.sizes);
  };
  const [p, q] = [at(next), at(old)];
  let sum = 0;
  p.mu.data.forEach((mu, i) => {
    const dim = i % p.mu.columns;
    const [s, t] = [p.logStd.data[dim]!, q.logStd.data[dim]!];
    const ratio = (Math.exp(2 * s) + (mu - q.mu.data[i]!) ** 2) / (2 * Math.exp(2 * t));
    sum += task.post.weight[Math.floor(i / p.mu.columns)]! * (t - s + ratio - 0.5);
  });
  return sum;
}
