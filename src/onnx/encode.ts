/** Writes a graph as the bytes of an ONNX model. Standard-domain operators only. */

import { create, toBinary } from '@bufbuild/protobuf';
import { sizeOf } from '../contract/counts.ts';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataType as DataType,
  type GraphProto,
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
import { type Attribute, arrayTypes, type Data, type Dtype, type Graph, type NamedValue, type Value } from './graph.ts';

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
 * @throws Error if an output has the name of an input
 */
export function encode(graph: Graph): Uint8Array {
  const shared = graph.outputs.find(({ name }) => graph.inputs.some((input) => input.name === name))?.name;
  if (shared !== undefined) {
    throw new Error(
      `graph "${graph.name}": expected outputs with names of their own, got "${shared}", also an input. Rename the output`,
    );
  }
  const model = create(ModelProtoSchema, {
    irVersion: BigInt(irVersion),
    producerName: 'hyperpolicy',
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: BigInt(opsetVersion) })],
    graph: graphProto(graph, { names: new Map(), count: 0 }),
  });
  return toBinary(ModelProtoSchema, model);
}

/** Names of one model: those of a graph inside another are apart from all around it, whose values it may read. */
type Scope = { readonly names: Map<Value, string>; count: number };

function graphProto(graph: Graph, scope: Scope): GraphProto {
  const named = nameValues(graph, scope);
  const nameOf = (value: Value | undefined): string => (value === undefined ? '' : scope.names.get(value)!);
  return create(GraphProtoSchema, {
    name: graph.name,
    input: graph.inputs.map((input) => valueInfo(input, graph)),
    output: graph.outputs.map((output) => valueInfo(output, graph)),
    initializer: named.flatMap((value) => (value.constant ? [initializer(value, nameOf(value))] : [])),
    node: [
      ...graph.nodes.map((node) =>
        create(NodeProtoSchema, {
          opType: node.op,
          input: node.inputs.map(nameOf),
          output: node.outputs.map(nameOf),
          attribute: Object.entries(node.attributes).map(([name, value]) => attribute(name, value, scope)),
        }),
      ),
      // An output that is an input, a constant, or another output needs a node that makes it.
      ...graph.outputs
        .filter(({ name, value }) => nameOf(value) !== name)
        .map(({ name, value }) =>
          create(NodeProtoSchema, { opType: 'Identity', input: [nameOf(value)], output: [name] }),
        ),
    ],
  });
}

/** Names what has no name yet. @returns the values that it named, in order */
function nameValues({ inputs, outputs, nodes }: Graph, scope: Scope): Value[] {
  const { names } = scope;
  const named: Value[] = [];
  const nameIt = (value: Value, name: string) => {
    names.set(value, name);
    named.push(value);
  };
  for (const { name, value } of inputs) nameIt(value, name);
  const produced = new Set(nodes.flatMap((node) => node.outputs));
  for (const { name, value } of outputs) if (produced.has(value) && !names.has(value)) nameIt(value, name);
  const nameNext = (value: Value | undefined) => {
    if (value !== undefined && !names.has(value)) nameIt(value, `%${scope.count++}`);
  };
  for (const node of nodes) {
    node.inputs.forEach(nameNext);
    node.outputs.forEach(nameNext);
  }
  for (const { value } of outputs) nameNext(value);
  return named;
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

function attribute(name: string, value: Attribute, scope: Scope): AttributeProto {
  if ('int' in value) return create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value.int) });
  if ('float' in value) return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  if ('ints' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.ints.map(BigInt) });
  }
  if ('graph' in value) {
    return create(AttributeProtoSchema, { name, type: AttributeType.GRAPH, g: graphProto(value.graph, scope) });
  }
  return create(AttributeProtoSchema, { name, type: AttributeType.STRING, s: new TextEncoder().encode(value.string) });
}
