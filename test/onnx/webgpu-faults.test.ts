/** Biases for which the webgpu provider ends the process are found in every form that a constant has. */

import { create, type MessageInitShape, toBinary } from '@bufbuild/protobuf';
import { expect, test } from 'vitest';
import {
  AttributeProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  TensorProtoSchema,
} from '../../src/gen/onnx/onnx_pb.ts';
import { checkForWebgpu } from '../../src/onnx/webgpu-faults.ts';

const product = create(NodeProtoSchema, { name: 'head', opType: 'Gemm', input: ['x', 'w', 'b'], output: ['y'] });
const bias = (...dims: bigint[]) =>
  create(TensorProtoSchema, { name: 'b', dims, dataType: 1, rawData: new Uint8Array(4) });
const constant = (attribute: MessageInitShape<typeof AttributeProtoSchema>) =>
  create(NodeProtoSchema, { opType: 'Constant', output: ['b'], attribute: [create(AttributeProtoSchema, attribute)] });
const model = (graph: NonNullable<MessageInitShape<typeof ModelProtoSchema>['graph']>) =>
  toBinary(ModelProtoSchema, create(ModelProtoSchema, { irVersion: 8n, graph }));

test.each([
  ['a weight', model({ node: [product], initializer: [bias()] })],
  ['a constant', model({ node: [constant({ name: 'value', t: bias() }), product] })],
  ['a number', model({ node: [constant({ name: 'value_float', f: 1 }), product] })],
])('%s without dimensions is refused', (_, bytes) => {
  expect(() => checkForWebgpu(bytes, 'p.onnx')).toThrow(
    'p.onnx on webgpu: expected products whose bias has a dimension, got a Gemm "head" that adds the number "b"',
  );
});

test.each([
  ['a weight', model({ node: [product], initializer: [bias(1n)] })],
  ['a constant', model({ node: [constant({ name: 'value', t: bias(1n) }), product] })],
  ['numbers', model({ node: [constant({ name: 'value_floats', floats: [1] }), product] })],
])('%s with a dimension passes', (_, bytes) => {
  checkForWebgpu(bytes, 'p.onnx');
});
