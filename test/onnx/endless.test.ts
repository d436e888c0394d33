/** Graphs whose runs may have no end are found wherever they are in a model. */

import { create, toBinary } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { expect, test } from 'vitest';
import {
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
} from '../../src/gen/onnx/onnx_pb.ts';
import { refuseEndless } from '../../src/onnx/endless.ts';

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
  expect(() => refuseEndless(model(node('MatMul'), node('Scan', { node: [node('Add')] })), 'p.onnx')).not.toThrow();
  expect(() => refuseEndless(model(node('MatMul'), node('Loop')), 'p.onnx')).toThrow(refusal);
  expect(() => refuseEndless(model(node('If', { node: [node('If', { node: [node('Loop')] })] })), 'p.onnx')).toThrow(
    refusal,
  );
});

test('a loop in a function of the model is found', () => {
  const body = new BinaryWriter()
    .tag(7, WireType.LengthDelimited)
    .bytes(toBinary(NodeProtoSchema, node('Loop')))
    .finish();
  const bytes = new BinaryWriter().tag(25, WireType.LengthDelimited).bytes(body).finish();
  expect(() => refuseEndless(Buffer.concat([model(node('Add')), bytes]), 'p.onnx')).toThrow(refusal);
});

test('a loop in the default of an attribute of a function is found', () => {
  const [attribute] = node('If', { node: [node('Loop')] }).attribute;
  const encoded = toBinary(AttributeProtoSchema, attribute!);
  const body = new BinaryWriter().tag(11, WireType.LengthDelimited).bytes(encoded).finish();
  const bytes = new BinaryWriter().tag(25, WireType.LengthDelimited).bytes(body).finish();
  expect(() => refuseEndless(Buffer.concat([model(node('Add')), bytes]), 'p.onnx')).toThrow(refusal);
});

test('bytes that cannot be read to their end are refused, not passed', () => {
  const whole = model(node('MatMul'), node('Loop'));
  for (const end of [whole.length - 1, whole.length - 8]) {
    expect(() => refuseEndless(whole.subarray(0, end), 'p.onnx')).toThrow(/^p\.onnx: expected an ONNX model, got/);
  }
  let deep = node('Add');
  for (let i = 0; i < 20; i++) deep = node('If', { node: [deep] });
  expect(() => refuseEndless(model(deep), 'p.onnx')).toThrow('graphs within graphs, 16 deep');
});
