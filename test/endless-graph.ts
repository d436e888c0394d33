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
export const makeEndless = (directory: string, file: string): Promise<void> =>
  changeGraph(directory, file, withEndlessLoop);

/** Changes a file of a package, and its entry in the manifest. */
export async function changeGraph(
  directory: string,
  file: string,
  change: (model: Uint8Array) => Uint8Array,
): Promise<void> {
  const bytes = change(await readFile(join(directory, file)));
  await writeFile(join(directory, file), bytes);
  const path = join(directory, 'manifest.json');
  const manifest = JSON.parse(await readFile(path, 'utf8'));
  manifest.files[file] = { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
  await writeFile(path, JSON.stringify(manifest));
}

/**
 * The model, with work before its nodes that depends on the largest value of an input: none where that is below 1, and 2 x 400 x 512^2
 * operations (about 5 ms) for each whole one. So no file tells that a run of it may take hours.
 * @param always added to that value: first runs, over zeros, are slow too
 */
export function withSlowRuns(model: Uint8Array, input: string, always = 0): Uint8Array {
  const proto = fromBinary(ModelProtoSchema, model);
  const { node, initializer } = proto.graph!;
  const integers = (name: string, dims: bigint[], ...values: bigint[]) =>
    create(TensorProtoSchema, { name, dims, dataType: 7, rawData: new Uint8Array(BigInt64Array.from(values).buffer) });
  initializer.push(integers('slow zero', [1n], 0n), integers('slow size', [1n], 512n));
  const rawData = new Uint8Array(new Float32Array(512 * 512).buffer);
  initializer.push(create(TensorProtoSchema, { name: 'slow matrix', dims: [512n, 512n], dataType: 1, rawData }));
  const more = new Uint8Array(Float32Array.of(always).buffer);
  initializer.push(create(TensorProtoSchema, { name: 'slow always', dims: [], dataType: 1, rawData: more }));
  const nodes: NodeProto[] = [];
  const add = (opType: string, inputs: string[], attributes: Record<string, bigint> = {}): string => {
    const output = `slow ${nodes.length}`;
    const attribute = Object.entries(attributes).map(([name, i]) =>
      create(AttributeProtoSchema, { name, i, type: AttributeProto_AttributeType.INT }),
    );
    nodes.push(create(NodeProtoSchema, { opType, input: inputs, output: [output], attribute }));
    return output;
  };
  const largest = add('Relu', [add('Add', [add('ReduceMax', [input], { keepdims: 0n }), 'slow always'])]);
  const count = add('Unsqueeze', [add('Cast', [largest], { to: 7n }), 'slow zero']);
  let values = add('ConstantOfShape', [add('Concat', [count, 'slow size'], { axis: 0n })]);
  for (let i = 0; i < 400; i++) values = add('MatMul', [values, 'slow matrix']);
  const same = add('Add', [input, add('ReduceSum', [values], { keepdims: 0n })]);
  for (const one of node) one.input = one.input.map((name) => (name === input ? same : name));
  node.unshift(...nodes);
  return toBinary(ModelProtoSchema, proto);
}
