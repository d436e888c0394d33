/** Reads what is needed of a model's bytes without copying or decoding the rest: its weights may be many. */

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

/** Fields of onnx.proto that lead from a model to its nodes and tensors, and to the graphs in attributes. */
export const fields = {
  model: { graph: 7, functions: 25 },
  graph: { node: 1, tensor: 5 },
  function: { node: 7, attribute: 11, tensor: undefined },
  node: { input: 1, output: 2, name: 3, opType: 4, attribute: 5 },
  attribute: { name: 1, tensor: 5, graph: 6, graphs: 11 },
  tensor: { dims: 1, dataType: 2, floats: 4, name: 8, raw: 9, doubles: 10 },
} as const;

const nothing = new Uint8Array();

/** The fields of a message that have bytes or a number, in order; nothing is copied. @throws Error if the message does not parse */
export function* messagesOf(
  message: Uint8Array,
): Generator<readonly [field: number, bytes: Uint8Array, number: number]> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType === WireType.LengthDelimited) yield [field, reader.bytes(), 0];
    else if (wireType === WireType.Varint) yield [field, nothing, Number(reader.int64())];
    else reader.skip(wireType, field);
  }
}
