/** Reads the bytes of an ONNX model as far as a row program needs: nodes, constants, and the sizes of inputs. */

import { type DescMessage, fromBinary, ScalarType } from '@bufbuild/protobuf';
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { sizeOf } from '../../contract/counts.ts';
import {
  TensorProto_DataType as DataType,
  ModelProtoSchema,
  type NodeProto,
  type TensorProto,
  type ValueInfoProto,
} from '../../gen/onnx/onnx_pb.ts';
import { opsetVersion } from '../encode.ts';
import { fields } from '../model-messages.ts';
import { NotByRow } from './planning.ts';

type ReadConstant =
  | { readonly kind: 'float'; readonly shape: readonly number[]; readonly values: Float32Array }
  | { readonly kind: 'int'; readonly shape: readonly number[]; readonly values: readonly number[] };

export type ReadInput = {
  readonly name: string;
  readonly isFloat: boolean;
  /** The name of the first dimension: `B` rows or `K` contexts. */
  readonly symbol: string | undefined;
  /** Sizes for one row and one context: a symbolic dimension is 1. */
  readonly shape: readonly number[];
};

export type ReadModel = {
  readonly inputs: readonly ReadInput[];
  readonly outputs: readonly string[];
  readonly constants: ReadonlyMap<string, ReadConstant>;
  /** In topological order. */
  readonly nodes: readonly NodeProto[];
};

/** `NodeProto.domain`, which our subset of the schema leaves out, as it does functions: operators of the standard domain have none. */
const domainField = 7;

/**
 * Fields and packed numbers of a model without its raw data: networks have some thousand. Decoding takes a microsecond and some hundred
 * bytes for each, on the thread that others need.
 */
const fieldCountMax = 2 ** 17;

/**
 * Constants in another form than raw float32 or int64 are left out: a node that reads one cannot be planned.
 * @throws Error if the bytes are not an ONNX model; NotByRow if it has other operators than those of the known set, or more
 *   fields than a network
 */
export function readModel(bytes: Uint8Array): ReadModel {
  countFields(ModelProtoSchema, bytes);
  const { graph, opsetImport, $unknown } = fromBinary(ModelProtoSchema, bytes);
  if (graph === undefined) throw new Error('an ONNX model: expected a graph, got none');
  const opset = opsetImport.find(({ domain }) => domain === '')?.version;
  // Operators of the same name mean other things in other sets.
  if (opset !== BigInt(opsetVersion)) throw new NotByRow(`operator set ${opset}`);
  // One of them may have the name of an operator.
  if ($unknown?.some(({ no }) => no === fields.model.functions)) throw new NotByRow('functions of its own');
  const foreign = graph.node.find(({ $unknown }) => $unknown?.some(({ no }) => no === domainField));
  if (foreign !== undefined) throw new NotByRow(`operator ${foreign.opType} of another domain`);
  return {
    inputs: graph.input.map(readInput),
    outputs: graph.output.map(({ name }) => name),
    constants: new Map(
      graph.initializer.flatMap((tensor) => {
        const constant = readConstant(tensor);
        return constant === undefined ? [] : [[tensor.name, constant] as const];
      }),
    ),
    nodes: graph.node,
  };
}

function readInput({ name, type }: ValueInfoProto): ReadInput {
  const tensor = type?.value.case === 'tensorType' ? type.value.value : undefined;
  const dims = tensor?.shape?.dim ?? [];
  const first = dims[0]?.value;
  return {
    name,
    isFloat: tensor?.elemType === DataType.FLOAT,
    symbol: first?.case === 'dimParam' ? first.value : undefined,
    shape: dims.map(({ value }) => (value.case === 'dimValue' ? Number(value.value) : 1)),
  };
}

function readConstant({ dims, dataType, rawData }: TensorProto): ReadConstant | undefined {
  const shape = dims.map(Number);
  const count = sizeOf(shape);
  // Copied: the bytes may lie anywhere in the message, and typed arrays need alignment. Not `slice`, which a Buffer does not copy with.
  const { buffer } = new Uint8Array(rawData);
  if (dataType === DataType.FLOAT && rawData.length === count * 4) {
    return { kind: 'float', shape, values: new Float32Array(buffer) };
  }
  if (dataType === DataType.INT64 && rawData.length === count * 8) {
    return { kind: 'int', shape, values: Array.from(new BigInt64Array(buffer), Number) };
  }
  return undefined;
}

/** @returns the number of fields up to the end of the message. @throws NotByRow as soon as there are too many */
function countFields(schema: DescMessage, bytes: Uint8Array, before = 0): number {
  const reader = new BinaryReader(bytes);
  let count = before;
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    count++;
    if (wireType === WireType.LengthDelimited) {
      const value = reader.bytes();
      const field = schema.fields.find((one) => one.number === number);
      if (field?.message !== undefined) count = countFields(field.message, value, count);
      // Packed: an integer may have a single byte.
      else if (field?.fieldKind === 'list' && field.scalar !== ScalarType.STRING) count += value.length;
    } else {
      reader.skip(wireType, number);
    }
    if (count > fieldCountMax) throw new NotByRow(`more than ${fieldCountMax} fields`);
  }
  return count;
}
