/** Row programs: the kernels bit for bit, graphs against ONNX Runtime, rows that do not depend on each other, and graphs that are refused. */

import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { plainSpec } from '../../src/contract/tensor-spec.ts';
import { ModelProtoSchema } from '../../src/gen/onnx/onnx_pb.ts';
import { actionScaling } from '../../src/nn/action-scaling.ts';
import { type Builder, createBuilder, dense, fill } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import type { Value } from '../../src/onnx/graph.ts';
import { add, cast, comparison, mul, unary, where } from '../../src/onnx/ops/elementwise.ts';
import { matMul } from '../../src/onnx/ops/matmul.ts';
import { reduce } from '../../src/onnx/ops/reduce.ts';
import { concat, reshape, transpose } from '../../src/onnx/ops/shape.ts';
import { optimise } from '../../src/onnx/passes/index.ts';
import { firstAddress, instantiateRowKernels } from '../../src/onnx/rows/kernels.ts';
import { NotByRow } from '../../src/onnx/rows/planning.ts';
import {
  openRowNetwork,
  type RowNetwork,
  type RowResults,
  type RowRun,
  type RowWeights,
} from '../../src/onnx/rows/row-network.ts';
import { floatTensor, indexTensor, openSession, type Session, type TensorMap } from '../../src/onnx/session.ts';
import { createSmallNetwork } from '../../src/onnx/small-network.ts';
import { exportCritic } from '../../trainer/export/critic.ts';
import type { NetworkFiles } from '../../trainer/export/graphs.ts';
import { exportPolicy } from '../../trainer/export/policy.ts';
import { type RandomSizes, randomCritic, randomPolicy } from '../../trainer/export/random-package.ts';

const scalingOf = ({ actionSize }: RandomSizes) => actionScaling(plainSpec('action', actionSize, { low: -1, high: 1 }));
type PolicyOptions = Parameters<typeof randomPolicy>[2];
type Files<Kind> = Extract<NetworkFiles, { readonly kind: Kind }>;

const policyFiles = <Kind extends 'plain' | 'hyper'>(kind: Kind, sizes: RandomSizes, options: PolicyOptions) =>
  exportPolicy({ ...randomPolicy(kind, sizes, options), scaling: scalingOf(sizes) }) as Files<Kind>;
const criticFiles = (sizes: RandomSizes, seed: number) =>
  exportCritic({ ...randomCritic('hyper', sizes, seed), scaling: scalingOf(sizes) }) as Files<'hyper'>;

/** A session, and how often it has run. */
function countedSession(model: Uint8Array) {
  const own = openSession(model, { threadCount: 1 });
  let runCount = 0;
  const run: Session['run'] = (...given) => {
    runCount++;
    return own.run(...given);
  };
  return { session: { ...own, run }, runCount: () => runCount };
}

/** Twins of one hidden layer, observation [B, 17] and action [B, 6], with their gradients written out. */
function plainTwins(seed: number): Uint8Array {
  const generator = createRandom(seed);
  const draw = (shape: [number, number]) =>
    dense(
      Float32Array.from({ length: shape[0] * shape[1] }, () => 0.2 * generator.normal()),
      'float32',
      shape,
    );
  const g = createBuilder(new Map([[rows, 'B']]));
  const observation = g.input('observation', 'float32', [rows, 17]);
  const action = g.input('action', 'float32', [rows, 6]);
  const twins = [0, 1].map(() => {
    const [left, right, last] = [draw([17, 64]), draw([6, 64]), draw([64, 1])];
    const before = add(g, add(g, matMul(g, observation, left), draw([1, 64])), matMul(g, action, right));
    const open = cast(g, comparison(g, 'Greater', before, fill(0, 'float32', [])), 'float32');
    const gradient = matMul(g, mul(g, open, reshape(g, last, [64])), right, { transposeB: true });
    return { q: matMul(g, unary(g, 'Relu', before), last), gradient: reshape(g, gradient, [rows, 1, 6]) };
  });
  const q = concat(
    g,
    twins.map((twin) => twin.q),
    1,
  );
  const gradients = concat(
    g,
    twins.map((twin) => twin.gradient),
    1,
  );
  const outputs = [
    { name: 'q', value: q },
    { name: 'dq_da', value: gradients },
  ];
  return encode(optimise(g.finish('critic', outputs)));
}

/** Every row of a run. */
function runRows(network: RowNetwork, rowCount: number, rows: RowRun['rows'], weights?: RowWeights): RowResults {
  const results = network.results(rowCount);
  network.compute({ rowCount, rows, weights }, 0, rowCount, results);
  return results;
}

/** An Expand by constant sizes, as other writers of ONNX have it: at two rows it gives [1, 2, 6]. */
const expandTo = (g: Builder, x: Value, sizes: number[]): Value =>
  g.emit('Expand', [x, dense(BigInt64Array.from(sizes, BigInt), 'int64', [sizes.length])], {
    dtype: 'float32',
    shape: [1, rows, 6],
  });

const random = createRandom(11);
const normals = (count: number): Float32Array => Float32Array.from({ length: count }, () => random.normal());

const rows = 10_007;
/** Graphs of one input x [B, 6]. */
const graphOf = (build: (g: Builder, x: Value) => Value): Uint8Array => {
  const g = createBuilder(new Map([[rows, 'B']]));
  const x = g.input('x', 'float32', [rows, 6]);
  return encode(g.finish('graph', [{ name: 'y', value: build(g, x) }]));
};

describe('kernels', () => {
  function memoryWith(values: readonly Float32Array[]) {
    const memory = new WebAssembly.Memory({ initial: 4, maximum: 4 });
    const floats = new Float32Array(memory.buffer);
    let at = firstAddress / 4;
    const addresses = values.map((part) => {
      floats.set(part, at);
      at += part.length;
      return (at - part.length) * 4;
    });
    const result = at * 4;
    const read = (count: number) => floats.slice(result / 4, result / 4 + count);
    return { kernels: instantiateRowKernels(memory), addresses, result, read };
  }

  // Widths and heights that leave every remainder of the vectors and of the groups of four rows.
  test.each([
    [1, 1],
    [3, 5],
    [4, 8],
    [17, 256],
    [18, 7],
    [259, 6],
  ])('a product of %i rows and %i columns has the bits of the plain sum', (inCount, outCount) => {
    const [x, w, start] = [normals(inCount), normals(inCount * outCount), normals(outCount)];
    const { kernels, addresses, result, read } = memoryWith([x, w, start]);
    for (const withStart of [true, false]) {
      kernels.product(addresses[0]!, addresses[1]!, withStart ? addresses[2]! : 0, result, inCount, outCount);
      const expected = withStart ? start.slice() : new Float32Array(outCount);
      for (let i = 0; i < inCount; i++) {
        for (let o = 0; o < outCount; o++) {
          expected[o] = expected[o]! + Math.fround(x[i]! * w[i * outCount + o]!);
        }
      }
      expect(read(outCount)).toEqual(expected);
    }
  });

  test.each([
    [256, 6],
    [7, 3],
    [3, 5],
  ])('a product with a transposed matrix sums %i values in four parts', (inCount, outCount) => {
    const [x, w] = [normals(inCount), normals(inCount * outCount)];
    const { kernels, addresses, result, read } = memoryWith([x, w]);
    kernels.turnedProduct(addresses[0]!, addresses[1]!, result, inCount, outCount);
    const expected = Float32Array.from({ length: outCount }, (_, o) => {
      const product = (i: number) => Math.fround(x[i]! * w[o * inCount + i]!);
      const parts = new Float32Array(4);
      const whole = inCount - (inCount % 4);
      for (let i = 0; i < whole; i++) parts[i % 4] = parts[i % 4]! + product(i);
      let sum = Math.fround(Math.fround(parts[0]! + parts[1]!) + Math.fround(parts[2]! + parts[3]!));
      for (let i = whole; i < inCount; i++) sum = Math.fround(sum + product(i));
      return sum;
    });
    expect(read(outCount)).toEqual(expected);
  });

  test('operators of two operands take a scalar on either side, at every remainder of the vectors', () => {
    const [a, b] = [normals(7), normals(7)];
    const { kernels, addresses, result, read } = memoryWith([a, b]);
    const plain = [
      (l: number, r: number) => l + r,
      (l: number, r: number) => l - r,
      (l: number, r: number) => l * r,
      (l: number, r: number) => l / r,
      Math.min,
      Math.max,
      (l: number, r: number) => (l > r ? 1 : 0),
    ];
    plain.forEach((operator, op) => {
      for (const [left, right] of [
        [4, 4],
        [0, 4],
        [4, 0],
      ] as const) {
        kernels.binary(op, addresses[0]!, left, addresses[1]!, right, result, 7);
        const expected = a.map((_, i) => operator(a[left === 0 ? 0 : i]!, b[right === 0 ? 0 : i]!));
        expect(read(7), `operator ${op}, steps ${left} and ${right}`).toEqual(expected);
      }
    });
  });

  test('operators of one operand are right to float32 rounding, far out too', () => {
    const x = Float32Array.of(-40, -3, -0.5, -1e-4, 0, 1e-4, 0.5, 3, 40);
    const { kernels, addresses, result, read } = memoryWith([x]);
    const plain: ((value: number) => number)[] = [
      (v) => -v,
      Math.abs,
      Math.sqrt,
      Math.exp,
      Math.log,
      Math.tanh,
      (v) => 1 / (1 + Math.exp(-v)),
      (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v))),
    ];
    plain.forEach((operator, op) => {
      kernels.unary(op, addresses[0]!, result, x.length);
      read(x.length).forEach((value, i) => {
        const expected = Math.fround(operator(x[i]!));
        if (!Number.isFinite(expected)) expect(value).toBe(expected);
        else
          expect(Math.abs(value - expected), `operator ${op} of ${x[i]}`).toBeLessThanOrEqual(
            2e-7 * Math.abs(expected),
          );
      });
    });
  });
});

describe('networks', () => {
  const sizes = { observationSize: 17, actionSize: 6, contextSize: 2, hiddenSize: 64, trunkSizes: [32] };
  const feedsOf = (columns: Record<string, Float32Array>, rowCount: number): TensorMap =>
    Object.fromEntries(
      Object.entries(columns).map(([name, values]) => [
        name,
        floatTensor(values, [rowCount, values.length / rowCount]),
      ]),
    );
  /** The weights of each context as one block. */
  const blocksOf = (weights: TensorMap, names: readonly string[]) =>
    Array.from({ length: weights[names[0]!]!.dims[0]! }, (_, k) => ({
      block: Float32Array.from(
        names.flatMap((name) => {
          const { data, dims } = weights[name]!;
          const size = data.length / dims[0]!;
          return [...(data as Float32Array).subarray(k * size, (k + 1) * size)];
        }),
      ),
    }));
  const expectClose = (actual: Record<string, Float32Array>, expected: TensorMap) => {
    expect(Object.keys(actual).sort()).toEqual(Object.keys(expected).sort());
    for (const [name, { data }] of Object.entries(expected)) {
      (data as Float32Array).forEach((value, i) => {
        // The density near the ends of tanh loses digits: it is the logarithm of a small difference.
        const tolerance = name === 'log_prob' ? 1e-4 : 2e-6;
        expect(Math.abs(actual[name]![i]! - value), name).toBeLessThan(tolerance * (1 + Math.abs(value)));
      });
    }
  };

  test.each([
    ['deterministic', 0],
    ['stochastic', 0],
    ['stochastic', 2],
  ] as const)('a plain %s policy with a context of %i gives what ONNX Runtime gives', (kind, contextSize) => {
    const { bytes } = policyFiles(
      'plain',
      { ...sizes, contextSize },
      { seed: 3, stochastic: kind === 'stochastic' },
    ).graph;
    const columns = {
      observation: normals(5 * 17),
      ...(contextSize > 0 && { context: normals(5 * contextSize) }),
      ...(kind === 'stochastic' && { noise: normals(5 * 6) }),
    };
    const session = openSession(bytes, { threadCount: 1 });
    expectClose(runRows(openRowNetwork(bytes), 5, columns), session.run(feedsOf(columns, 5)));
    session.dispose();
  });

  test('a hyper policy takes the weights of each row, and a row has the same bits whatever is beside it', () => {
    const { primary, dynamic } = policyFiles('hyper', sizes, { seed: 4, stochastic: true });
    const names = primary.graph.outputs.map(({ name }) => name);
    const generator = openSession(primary.bytes, { threadCount: 1 });
    const weights = generator.run({ context: floatTensor(normals(3 * 2), [3, 2]) });
    generator.dispose();
    const entries = blocksOf(weights, names);
    const index = Int32Array.of(2, 0, 1, 2);
    const columns = { observation: normals(4 * 17), noise: normals(4 * 6) };
    const network = openRowNetwork(dynamic.bytes, names);
    const together = runRows(network, 4, columns, { entries, index });
    const session = openSession(dynamic.bytes, { threadCount: 1 });
    expectClose(together, session.run({ ...feedsOf(columns, 4), ...weights, index: indexTensor(index) }));
    session.dispose();
    index.forEach((context, row) => {
      const alone = runRows(
        network,
        1,
        {
          observation: columns.observation.subarray(row * 17, row * 17 + 17),
          noise: columns.noise.subarray(row * 6, row * 6 + 6),
        },
        { entries: [entries[context]!], index: undefined },
      );
      expect(alone.action).toEqual(together.action!.slice(row * 6, row * 6 + 6));
      expect(alone.log_prob).toEqual(together.log_prob!.slice(row, row + 1));
    });
    expect(() => runRows(network, 1, columns, { entries: [{ block: new Float32Array(3) }], index: undefined })).toThrow(
      /^row network: expected \d+ generated weights, got 3$/,
    );
  });

  test('critics of both kinds give values and gradients of both members', () => {
    const plain = plainTwins(7);
    const columns = { observation: normals(5 * 17), action: normals(5 * 6) };
    const session = openSession(plain, { threadCount: 1 });
    expectClose(runRows(openRowNetwork(plain), 5, columns), session.run(feedsOf(columns, 5)));
    session.dispose();

    const { primary, dynamic } = criticFiles(sizes, 8);
    const names = primary.graph.outputs.map(({ name }) => name);
    const generator = openSession(primary.bytes, { threadCount: 1 });
    const weights = generator.run({ observation: floatTensor(normals(2 * 17), [2, 17]) });
    generator.dispose();
    const index = Int32Array.of(1, 0, 1, 1, 0);
    const network = openSession(dynamic.bytes, { threadCount: 1 });
    const action = columns.action;
    const expected = network.run({ ...weights, ...feedsOf({ action }, 5), index: indexTensor(index) });
    network.dispose();
    const entries = blocksOf(weights, names);
    expectClose(runRows(openRowNetwork(dynamic.bytes, names), 5, { action }, { entries, index }), expected);
  });

  test('inputs that are left out are zeros, and say nothing of the run before', () => {
    const { bytes } = policyFiles('plain', { ...sizes, contextSize: 0 }, { seed: 5, stochastic: true }).graph;
    const network = openRowNetwork(bytes);
    const observation = normals(17);
    const still = runRows(network, 1, { observation });
    expect(runRows(network, 1, { observation, noise: normals(6) })).not.toEqual(still);
    expect(runRows(network, 1, { observation, noise: new Float32Array(6) })).toEqual(still);
    expect(runRows(network, 1, { observation })).toEqual(still);
  });

  test('a small network runs few rows by row and many with ONNX Runtime, to the same values', async () => {
    const { bytes } = policyFiles('plain', { ...sizes, contextSize: 0 }, { seed: 6, stochastic: false }).graph;
    const { session, runCount } = countedSession(bytes);
    const network = createSmallNetwork({ model: bytes, session });
    const observation = normals(48 * 17);
    // 17 x 64 + 64 x 64 + 64 x 6 = 5,568 multiplications a row; 2^18 / 5,568 = 47.08.
    const { action: few } = await network.run({
      rowCount: 47,
      rows: { observation: observation.subarray(0, 47 * 17) },
    });
    expect(runCount()).toBe(0);
    const { action: many } = await network.run({ rowCount: 48, rows: { observation } });
    expect(runCount()).toBe(1);
    few!.forEach((value, i) => {
      expect(value).toBeCloseTo(many![i]!, 5);
    });
    session.dispose();
  });
});

test('many rows of a dynamic network leave others their turns, and have the bits of a run at once', async () => {
  const { primary, dynamic } = policyFiles(
    'hyper',
    { observationSize: 17, actionSize: 6, contextSize: 2, hiddenSize: 256, trunkSizes: [8] },
    { seed: 9, stochastic: false },
  );
  const weightNames = primary.graph.outputs.map(({ name }) => name);
  const session = openSession(dynamic.bytes, { threadCount: 1 });
  const network = createSmallNetwork({ model: dynamic.bytes, session, weightNames });
  // 17 x 256 + 256 x 6 = 5,888 multiplications a row; a turn has 2^19, which are 89 rows; 500 rows are six turns.
  const rowCount = 500;
  const rows = { observation: normals(rowCount * 17) };
  const weights = {
    entries: [{ block: normals(17 * 256 + 256 * 2 + 256 * 6 + 6 * 2) }],
    index: undefined,
    feeds: () => ({}),
  };
  let turns = 0;
  const count = () => {
    turns++;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  const results = await network.run({ rowCount, rows, weights });
  clearImmediate(timer);
  expect(turns).toBeGreaterThanOrEqual(5);
  expect(results).toEqual(runRows(openRowNetwork(dynamic.bytes, weightNames), rowCount, rows, weights));
  session.dispose();
});

describe('what cannot be computed by row', () => {
  const weight = dense(normals(36), 'float32', [6, 6]);
  test.each([
    [
      'a sum over the rows',
      graphOf((g, x) => reduce(g, 'ReduceSum', x, { axes: [0], keepDims: true })),
      'ReduceSum of [1, 6] over 0',
    ],
    [
      'a transpose of the rows',
      graphOf((g, x) => matMul(g, x, matMul(g, transpose(g, x, [1, 0]), x))),
      'Transpose of [1, 6]',
    ],
    [
      'rows that are put together',
      graphOf((g, x) => unary(g, 'Exp', reshape(g, x, [1, rows * 6]))),
      'Reshape of [1, 6] to [1, -1]',
    ],
    [
      'a mean over rows that a shape of higher rank has moved',
      graphOf((g, x) => reduce(g, 'ReduceMean', expandTo(g, x, [1, 1, 6]), { axes: [1], keepDims: false })),
      'Expand of [1, 6]',
    ],
    [
      'a sum with a constant of higher rank',
      graphOf((g, x) => add(g, x, dense(normals(5), 'float32', [5, 1, 1]))),
      'Add of [1, 6] and [5, 1, 1]',
    ],
    [
      'a product with several matrices beside each other',
      graphOf((g, x) => matMul(g, x, dense(normals(48), 'float32', [2, 6, 4]))),
      'MatMul of [1, 6] and [2, 6, 4]',
    ],
    [
      'rows that become columns of a matrix',
      graphOf((g, x) => matMul(g, x, reshape(g, x, [rows, 6, 1]))),
      'MatMul of [1, 6] and [1, 6, 1]',
    ],
    [
      'rows that are cut into more rows',
      graphOf((g, x) => unary(g, 'Exp', reshape(g, x, [rows * 2, 3]))),
      'Reshape of [1, 6] to [-1, 3]',
    ],
    [
      'a constant of another type',
      graphOf((g, x) => where(g, dense(Uint8Array.of(1, 0, 1, 0, 1, 0), 'bool', [1, 6]), x, x)),
      'operator Where',
    ],
    ['an operator that it lacks', graphOf((g, x) => unary(g, 'Erf', x)), 'operator Erf'],
  ])('%s is refused', (_, bytes, reason) => {
    expect(() => openRowNetwork(bytes)).toThrow(new NotByRow(reason));
    const session = openSession(bytes, { threadCount: 1 });
    expect(createSmallNetwork({ model: bytes, session }).workPerRow).toBe(bytes.byteLength / 4);
    session.dispose();
  });

  test('another set of operators, or another domain, is refused: names mean other things there', () => {
    const bytes = graphOf((g, x) => unary(g, 'Exp', x));
    const model = fromBinary(ModelProtoSchema, bytes);
    model.opsetImport[0]!.version = 10n;
    expect(() => openRowNetwork(toBinary(ModelProtoSchema, model))).toThrow(new NotByRow('operator set 10'));
    const foreign = fromBinary(ModelProtoSchema, bytes);
    // Field 7, length-delimited: the domain `a`.
    foreign.graph!.node[0]!.$unknown = [{ no: 7, wireType: 2, data: Uint8Array.of(1, 97) }];
    expect(() => openRowNetwork(toBinary(ModelProtoSchema, foreign))).toThrow(
      new NotByRow('operator Exp of another domain'),
    );
  });

  test('a large graph that holds its weights is not planned', () => {
    const size = 800;
    const g = createBuilder(new Map([[rows, 'B']]));
    const x = g.input('x', 'float32', [rows, size]);
    const large = matMul(g, x, dense(new Float32Array(size * size), 'float32', [size, size]));
    const bytes = encode(g.finish('large', [{ name: 'y', value: large }]));
    const { session, runCount } = countedSession(bytes);
    const network = createSmallNetwork({ model: bytes, session });
    network.runAtOnce({ rowCount: 1, rows: {} });
    expect(runCount()).toBe(1);
    expect(network.workPerRow).toBeGreaterThan(size * size);
    session.dispose();
  });

  test('the same graph without it is taken', () => {
    const bytes = graphOf((g, x) => add(g, matMul(g, x, weight), mul(g, x, fill(2, 'float32', []))));
    expect(openRowNetwork(bytes).workPerRow).toBe(36);
  });
});
