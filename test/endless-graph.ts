/** Graphs whose runs never end, as files of a store may have them. */

import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  TensorProtoSchema,
  ValueInfoProtoSchema,
} from '../src/gen/onnx/onnx_pb.ts';

/** Element type code of bool. */
const bool = 9;

const condition = (name: string) =>
  create(ValueInfoProtoSchema, { name, type: { value: { case: 'tensorType', value: { elemType: bool, shape: {} } } } });

const constantTrue = create(TensorProtoSchema, { name: 'true', dataType: bool, dims: [], rawData: Uint8Array.of(1) });

/** A loop without a number of trips whose condition stays true. */
function endlessLoop(): NodeProto {
  const body = create(GraphProtoSchema, {
    name: 'body',
    node: [create(NodeProtoSchema, { opType: 'Identity', input: ['inner'], output: ['again'] })],
    input: [
      create(ValueInfoProtoSchema, {
        name: 'trip',
        type: { value: { case: 'tensorType', value: { elemType: 7, shape: {} } } },
      }),
      condition('inner'),
    ],
    output: [condition('again')],
  });
  const attribute = create(AttributeProtoSchema, { name: 'body', g: body, type: AttributeProto_AttributeType.GRAPH });
  return create(NodeProtoSchema, { name: 'for ever', opType: 'Loop', input: ['', 'true'], attribute: [attribute] });
}

/** The model, with a loop before its nodes. */
export function withEndlessLoop(model: Uint8Array): Uint8Array {
  const proto = fromBinary(ModelProtoSchema, model);
  proto.graph!.node.unshift(endlessLoop());
  proto.graph!.initializer.push(constantTrue);
  return toBinary(ModelProtoSchema, proto);
}

/** Puts such a graph into a package, whose manifest lists it as it is. */
export async function makeEndless(directory: string, file: string): Promise<void> {
  const bytes = withEndlessLoop(await readFile(join(directory, file)));
  await writeFile(join(directory, file), bytes);
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  manifest.files[file] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  await writeFile(path, JSON.stringify(manifest));
}
