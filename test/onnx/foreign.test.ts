/** Graphs whose runs may have no end, and weights that are no numbers, are found wherever they are in a model. */

import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from 'vitest';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from '../../src/gen/onnx/onnx_pb.ts';
import { type Builder, createBuilder, dense } from '../../src/onnx/builder.ts';
import { encode } from '../../src/onnx/encode.ts';
import { checkForeign } from '../../src/onnx/foreign.ts';
import { add, unary } from '../../src/onnx/ops/elementwise.ts';
import { readModel } from '../../src/onnx/rows/read-model.ts';
import { isBounded } from '../../src/onnx/small-network.ts';

const node = (opType: string, inner?: Parameters<typeof create<typeof GraphProtoSchema>>[1]) =>
  create(NodeProtoSchema, {
    name: `a ${opType}`,
    opType,
    attribute:
      inner === undefined ? [] : [create(AttributeProtoSchema, { name: 'body', g: create(GraphProtoSchema, inner) })],
  });
const model = (...nodes: ReturnType<typeof node>[]) =>
  toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 8n, graph: { node: nodes } }));

const refusal = /^p\.onnx: expected a graph whose runs end, without Loop, got a node "a Loop" of type Loop\. Export/;

test('a loop is found beside others and inside of them', () => {
  expect(() => checkForeign(model(node('MatMul'), node('Scan', { node: [node('Add')] })), 'p.onnx')).not.toThrow();
  expect(() => checkForeign(model(node('MatMul'), node('Loop')), 'p.onnx')).toThrow(refusal);
  expect(() => checkForeign(model(node('If', { node: [node('If', { node: [node('Loop')] })] })), 'p.onnx')).toThrow(
    refusal,
  );
});

test('a loop in a function of the model is found', () => {
  const body = new BinaryWriter()
    .tag(7, WireType.LengthDelimited)
    .bytes(toBinary(NodeProtoSchema, node('Loop')))
    .finish();
  const bytes = new BinaryWriter().tag(25, WireType.LengthDelimited).bytes(body).finish();
  expect(() => checkForeign(Buffer.concat([model(node('Add')), bytes]), 'p.onnx')).toThrow(refusal);
});

test('a loop in the default of an attribute of a function is found', () => {
  const [attribute] = node('If', { node: [node('Loop')] }).attribute;
  const encoded = toBinary(AttributeProtoSchema, attribute!);
  const body = new BinaryWriter().tag(11, WireType.LengthDelimited).bytes(encoded).finish();
  const bytes = new BinaryWriter().tag(25, WireType.LengthDelimited).bytes(body).finish();
  expect(() => checkForeign(Buffer.concat([model(node('Add')), bytes]), 'p.onnx')).toThrow(refusal);
});

test('bytes that cannot be read to their end are refused, not passed', () => {
  const whole = model(node('MatMul'), node('Loop'));
  for (const end of [whole.length - 1, whole.length - 8]) {
    expect(() => checkForeign(whole.subarray(0, end), 'p.onnx')).toThrow(/^p\.onnx: expected an ONNX model, got/);
  }
  let deep = node('Add');
  for (let i = 0; i < 20; i++) deep = node('If', { node: [deep] });
  expect(() => checkForeign(model(deep), 'p.onnx')).toThrow('graphs within graphs, 16 deep');
});

describe('weights', () => {
  const weights = (values: number[], fields: object = {}) =>
    create(TensorProtoSchema, {
      name: 'w',
      dims: [BigInt(values.length)],
      dataType: 1,
      rawData: new Uint8Array(Float32Array.from(values).buffer),
      ...fields,
    });
  const holding = (tensor: ReturnType<typeof weights>) =>
    toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 8n, graph: { initializer: [tensor] } }));
  /** IEEE half precision: 1 and infinity. */
  const halves = { dataType: 10, rawData: Uint8Array.of(0, 0x3c, 0, 0x7c) };

  test.each([
    ['no number', weights([0, 1, Number.NaN]), 2],
    ['infinite', weights([Number.NEGATIVE_INFINITY, 1]), 0],
    ['infinite in half precision', weights([1, 1], halves), 1],
  ])('that are %s are refused', (_, tensor, at) => {
    const message = `p.onnx: expected finite weights, got one that is not, at ${at} of "w". The training diverged, or the file is damaged`;
    expect(() => checkForeign(holding(tensor), 'p.onnx')).toThrow(message);
    const constant = create(AttributeProtoSchema, { name: 'value', t: tensor });
    const inNode = create(NodeProtoSchema, { opType: 'Constant', attribute: [constant] });
    expect(() => checkForeign(model(inNode), 'p.onnx')).toThrow(message);
  });

  test('that are finite pass, and a single bound that is infinite', () => {
    const largest = 2 ** 127 * (2 - 2 ** -23);
    expect(() => checkForeign(holding(weights([largest, -largest, 0, 1e-45])), 'p.onnx')).not.toThrow();
    expect(() => checkForeign(holding(weights([Number.POSITIVE_INFINITY])), 'p.onnx')).not.toThrow();
  });
});

describe('the event loop', () => {
  const rows = 10007;
  type Input = NonNullable<Parameters<Builder['emit']>[1][number]>;
  const graphOf = (build: (g: Builder, x: Input) => Input, size = 4): Uint8Array => {
    const g = createBuilder(new Map([[rows, 'B']]));
    return encode(g.finish('g', [{ name: 'y', value: build(g, g.input('x', 'float32', [rows, size])) }]));
  };
  const float = (...shape: number[]) => ({ dtype: 'float32', shape }) as const;
  const integers = (...values: number[]) => dense(BigInt64Array.from(values, BigInt), 'int64', [values.length]);
  const ordinary = (g: Builder, x: Input) => add(g, unary(g, 'Exp', x), dense(new Float32Array(4), 'float32', [4]));
  const withFunction = () => {
    const body = new BinaryWriter().tag(1, WireType.LengthDelimited).string('Exp').finish();
    const bytes = new BinaryWriter().tag(25, WireType.LengthDelimited).bytes(body).finish();
    return Buffer.concat([graphOf(ordinary), bytes]);
  };
  const big = 2 ** 40;

  test('takes a graph whose work is known', () => {
    expect(isBounded(graphOf(ordinary), [])).toBe(true);
  });

  test.each<[string, () => Uint8Array]>([
    ['an operator that it has not', () => graphOf((g, x) => g.emit('Scan', [x], float(rows, 4)))],
    ['a branch', () => graphOf((g, x) => g.emit('If', [x], float(rows, 4)))],
    ['a function with the name of an operator', withFunction],
    ['a giant expansion', () => graphOf((g, x) => g.emit('Expand', [x, integers(1, big, 4)], float(rows, big, 4)))],
    ['a giant shape', () => graphOf((g) => g.emit('ConstantOfShape', [integers(big)], float(big)))],
    ['many copies', () => graphOf((g, x) => g.emit('Tile', [x, integers(1, big)], float(rows, big)))],
    ['a giant input', () => graphOf((g, x) => unary(g, 'Exp', x), 2 ** 45)],
    [
      'a few giant sums',
      () =>
        graphOf((g, x) => {
          const wide = g.emit('Expand', [x, integers(1, 2 ** 21)], float(rows, 2 ** 21));
          const sum = () => g.emit('ReduceSum', [wide, integers(1)], float(rows, 1), { keepdims: { int: 1 } });
          return add(g, sum(), add(g, sum(), sum()));
        }, 1),
    ],
    [
      'thousands of nodes',
      () =>
        graphOf((g, x) => {
          let y = x;
          for (let i = 0; i < 5000; i++) y = unary(g, 'Tanh', y);
          return y;
        }),
    ],
    ['bytes that are no model', () => Uint8Array.of(1, 2, 3)],
  ])('does not take %s', (_, bytes) => {
    expect(isBounded(bytes(), [])).toBe(false);
  });

  const many = 2 ** 17;
  const field = (number: number, bytes: Uint8Array) =>
    new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
  const empty = (number: number) => Buffer.alloc(2 * many, field(number, new Uint8Array()));
  test.each([
    ['nodes', empty(1)],
    ['tensors', empty(5)],
    ['inputs', empty(11)],
    ['attributes of a node', field(1, empty(5))],
    ['names of inputs of a node', field(1, empty(1))],
    ['sizes of a tensor', field(5, field(1, new Uint8Array(many)))],
    ['fields that nobody knows', empty(15)],
  ])('does not read on where a graph has too many %s', (_, graph) => {
    const bytes = Buffer.concat([field(8, Uint8Array.of(16, 18)), field(7, graph)]);
    expect(() => readModel(bytes)).toThrow('more than 131072 fields');
    expect(isBounded(bytes, [])).toBe(false);
  });
});
