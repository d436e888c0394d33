/** Writes a graph as the bytes of an ONNX model. Standard-domain operators only. */

import { create, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  GraphProtoSchema,
  ModelProtoSchema,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  TensorShapeProto_DimensionSchema,
  TensorShapeProtoSchema,
  TypeProto_TensorSchema,
  TypeProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from '../gen/onnx/onnx_pb.ts';
import {
  type Attribute,
  arrayTypes,
  type Data,
  type Dtype,
  type Graph,
  type NamedValue,
  sizeOf,
  type Value,
} from './graph.ts';

/** Operator set of the standard domain, and the IR version that goes with it. */
export const opsetVersion = 18;
const irVersion = 8;

const dataTypes: Record<Dtype, DataType> = {
  float32: DataType.FLOAT,
  int32: DataType.INT32,
  int64: DataType.INT64,
  bool: DataType.BOOL,
};

/**
 * The bytes of an ONNX model. Names are `%0, %1, ...` except for inputs and outputs.
 * @throws Error where an output has the name of an input
 */
export function encode(graph: Graph): Uint8Array {
  const shared = graph.outputs.find(({ name }) => graph.inputs.some((input) => input.name === name))?.name;
  if (shared !== undefined) {
    throw new Error(
      `graph "${graph.name}": expected outputs with names of their own, got "${shared}", also an input. Rename the output`,
    );
  }
  const names = nameValues(graph);
  const named = (value: Value | undefined): string => (value === undefined ? '' : names.get(value)!);
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    producerName: 'hyperpolicy',
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(opsetVersion) })],
    graph: create(GraphProtoSchema, {
      name: graph.name,
      input: graph.inputs.map((input) => valueInfo(input, graph)),
      output: graph.outputs.map((output) => valueInfo(output, graph)),
      initializer: [...names].flatMap(([value, name]) => (value.constant ? [initializer(value, name)] : [])),
      node: [
        ...graph.nodes.map((node) =>
          create(NodeProtoSchema, {
            opType: node.op,
            input: node.inputs.map(named),
            output: node.outputs.map(named),
            attribute: Object.entries(node.attributes).map(([name, value]) => attribute(name, value)),
          }),
        ),
        // An output that is an input, a constant, or another output needs a node that makes it.
        ...graph.outputs
          .filter(({ name, value }) => names.get(value) !== name)
          .map(({ name, value }) =>
            create(NodeProtoSchema, { opType: 'Identity', input: [names.get(value)!], output: [name] }),
          ),
      ],
    }),
  });
  return toBinary(ModelProtoSchema, model);
}

function nameValues({ inputs, outputs, nodes }: Graph): Map<Value, string> {
  const names = new Map<Value, string>();
  for (const { name, value } of inputs) names.set(value, name);
  const produced = new Set(nodes.flatMap((node) => node.outputs));
  for (const { name, value } of outputs) if (produced.has(value) && !names.has(value)) names.set(value, name);
  let count = 0;
  const nameNext = (value: Value | undefined) => {
    if (value !== undefined && !names.has(value)) names.set(value, `%${count++}`);
  };
  for (const node of nodes) {
    node.inputs.forEach(nameNext);
    node.outputs.forEach(nameNext);
  }
  for (const { value } of outputs) nameNext(value);
  return names;
}

function valueInfo({ name, value }: NamedValue, { symbols }: Graph): ValueInfoProto {
  const dim = value.shape.map((size) => {
    const symbol = symbols.get(size);
    return create(TensorShapeProto_DimensionSchema, {
      value: symbol === undefined ? { case: 'dimValue', value: BigInt(size) } : { case: 'dimParam', value: symbol },
    });
  });
  const tensor = create(TypeProto_TensorSchema, {
    elemType: dataTypes[value.dtype],
    shape: create(TensorShapeProtoSchema, { dim }),
  });
  return create(ValueInfoProtoSchema, {
    name,
    type: create(TypeProtoSchema, { value: { case: 'tensorType', value: tensor } }),
  });
}

function initializer(value: Value, name: string): TensorProto {
  const data = constantData(value);
  return create(TensorProtoSchema, {
    name,
    dims: value.shape.map(BigInt),
    dataType: dataTypes[value.dtype],
    rawData: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  });
}

function constantData({ constant, dtype, shape }: Value): Data {
  if (constant!.kind === 'dense') return constant!.data;
  const data = new arrayTypes[dtype](sizeOf(shape));
  return dtype === 'int64'
    ? (data as BigInt64Array).fill(BigInt(constant!.fill))
    : (data as Float32Array).fill(constant!.fill);
}

function attribute(name: string, value: Attribute): AttributeProto {
  if ('int' in value) return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value.int) });
  if ('float' in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  if ('ints' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.ints.map(BigInt) });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: new TextEncoder().encode(value.string) });
}
