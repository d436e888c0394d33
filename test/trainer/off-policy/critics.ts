/** Every critic a second time, in float64 and from its definition; parameters by the names of src/nn/README.md. */

import {
  add,
  concat,
  div,
  type Matrix,
  matMul,
  matrix,
  mul,
  relu,
  repeat,
  rowMatMul,
  scale,
  shift,
  sqrt,
  square,
  sub,
  sumOfColumns,
  sumOfRows,
} from './float64.ts';

/** Parameters of one Q function; the shared ones under `shared.`. */
export type Named = Readonly<Record<string, Matrix>>;

/** Observation [B, O] and action [B, A] to q [B, 1]. */
export type Q = (parameters: Named, observation: Matrix, action: Matrix) => Matrix;

const has = (parameters: Named, name: string) => `${name}.weight` in parameters;

const linear = (parameters: Named, name: string, x: Matrix): Matrix =>
  add(matMul(x, parameters[`${name}.weight`]!), parameters[`${name}.bias`]!);

export function mlp(parameters: Named, x: Matrix, prefix = ''): Matrix {
  let h = linear(parameters, `${prefix}layer0`, x);
  for (let i = 1; has(parameters, `${prefix}layer${i}`); i++) h = linear(parameters, `${prefix}layer${i}`, relu(h));
  return h;
}

/** x + Lin(ReLU(Lin(ReLU x))). */
const block = (parameters: Named, name: string, x: Matrix): Matrix =>
  add(x, linear(parameters, `${name}.second`, relu(linear(parameters, `${name}.first`, relu(x)))));

function trunk(parameters: Named, meta: Matrix): Matrix {
  let h = meta;
  for (let i = 0; has(parameters, `primary.stage${i}.input`); i++) {
    h = linear(parameters, `primary.stage${i}.input`, h);
    for (const j of [0, 1]) h = block(parameters, `primary.stage${i}.block${j}`, h);
  }
  return h;
}

/** The embedding's weights on the base: y = ReLU((1 + s) (x W) + b) per layer, without ReLU after the last. */
function hyper(parameters: Named, meta: Matrix, base: Matrix): Matrix {
  const embedding = trunk(parameters, meta);
  let h = base;
  for (let i = 0; has(parameters, `head${i}.weight`); i++) {
    const of = (part: string) => repeat1(linear(parameters, `head${i}.${part}`, embedding), base.rows);
    if (i > 0) h = relu(h);
    h = add(mul(shift(of('gain'), 1), rowMatMul(h, of('weight'))), of('bias'));
  }
  return h;
}

/** The only context's values for every row. */
const repeat1 = (x: Matrix, rows: number) => (x.rows === rows ? x : repeat(x, rows));

const plainMlp: Q = (parameters, s, a) => mlp(parameters, concat(s, a));

function layerNorm(parameters: Named, name: string, x: Matrix): Matrix {
  const meanOf = (m: Matrix) => scale(sumOfRows(m), 1 / m.columns);
  const centred = sub(x, meanOf(x));
  const normalised = div(centred, sqrt(shift(meanOf(square(centred)), 1e-5)));
  return add(mul(normalised, parameters[`${name}.scale`]!), parameters[`${name}.shift`]!);
}

const unitRows = (x: Matrix) => div(x, sqrt(shift(sumOfRows(square(x)), 1e-8)));
const unitColumns = (x: Matrix) => div(x, sqrt(shift(sumOfColumns(square(x)), 1e-8)));

export const float64Critics: Readonly<Record<string, Q>> = {
  'mlp-standard': plainMlp,
  'mlp-small': plainMlp,
  'mlp-large': plainMlp,
  'resnet-features': (parameters, s, a) =>
    mlp(parameters, concat(linear(parameters, 'features', trunk(parameters, s)), a), 'mlp.'),
  resnet35(parameters, s, a) {
    let h = linear(parameters, 'input', concat(s, a));
    for (let i = 0; i < 35; i++) h = block(parameters, `block${i}`, h);
    return linear(parameters, 'output', relu(h));
  },
  'q-d2rl'(parameters, s, a) {
    const x = concat(s, a);
    let h = relu(linear(parameters, 'layer0', x));
    for (const i of [1, 2, 3]) h = relu(linear(parameters, `layer${i}`, concat(h, x)));
    return linear(parameters, 'output', h);
  },
  'sa-hyper': (parameters, s, a) => hyper(parameters, s, a),
  'as-hyper': (parameters, s, a) => hyper(parameters, a, s),
  'emb-hyper': (parameters, s, a) => hyper(parameters, parameters['shared.embedding']!, concat(s, a)),
  bronet(parameters, s, a) {
    const dense = (name: string, x: Matrix) => layerNorm(parameters, `${name}.norm`, linear(parameters, name, x));
    let h = relu(dense('input', concat(s, a)));
    for (const i of [0, 1]) h = add(h, dense(`block${i}.second`, relu(dense(`block${i}.first`, h))));
    return linear(parameters, 'output', h);
  },
  'simba-v2'(parameters, s, a) {
    const project = (name: string, x: Matrix) =>
      mul(matMul(x, unitColumns(parameters[`${name}.weight`]!)), parameters[`${name}.scale`]!);
    const threes = matrix(new Float64Array(s.rows).fill(3), [s.rows, 1]);
    let h = unitRows(project('input', unitRows(concat(s, a, threes))));
    for (const i of [0, 1]) {
      const hidden = relu(project(`block${i}.expand`, h));
      const goal = unitRows(matMul(hidden, unitColumns(parameters[`block${i}.contract`]!)));
      h = unitRows(add(h, mul(parameters[`block${i}.step`]!, sub(goal, h))));
    }
    const weight = unitColumns(parameters['output.weight']!);
    return add(matMul(project('hidden', h), weight), parameters['output.bias']!);
  },
};
