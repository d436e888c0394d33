/**
 * Whether the runs of a graph end. A model file may come from anybody who can write to a store, and a run cannot be stopped once it has
 * begun: a graph whose work depends on values that it computes would hold its thread for ever.
 */

import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { HyperpolicyError, invalidArgument } from '../contract/errors.ts';

/** Fields of onnx.proto that lead from a model to its nodes, and to the graphs in their attributes. */
const fields = {
  model: { graph: 7, functions: 25 },
  graph: { node: 1 },
  function: { node: 7, attribute: 11 },
  node: { name: 3, opType: 4, attribute: 5 },
  attribute: { graph: 6, graphs: 11 },
} as const;

/** Operators that repeat a graph for as long as that graph says. `Scan` ends with the rows of its input. */
const endless: ReadonlySet<string> = new Set(['Loop']);

/** Graphs within graphs; those of networks have none. */
const depthMax = 16;

/**
 * Reads past tensors, so that a large model takes little time.
 * @throws HyperpolicyError invalid_argument: a run may have no end (the node is named), or the bytes are no model
 */
export function refuseEndless(model: Uint8Array, name: string): void {
  try {
    for (const [field, bytes] of messagesOf(model)) {
      if (field === fields.model.graph) checkNodes(bytes, fields.graph.node, { name, depth: 0 });
      if (field === fields.model.functions) checkFunction(bytes, { name, depth: 0 });
    }
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw invalidArgument({ where: name, expected: 'an ONNX model', actual: (cause as Error).message, cause });
  }
}

function checkFunction(bytes: Uint8Array, place: Place): void {
  checkNodes(bytes, fields.function.node, place);
  for (const [field, attribute] of messagesOf(bytes)) {
    if (field === fields.function.attribute) checkAttribute(attribute, place);
  }
}

type Place = { readonly name: string; readonly depth: number };

function checkNodes(graph: Uint8Array, nodeField: number, place: Place): void {
  if (place.depth > depthMax) throw refusal(place, `graphs within graphs, ${depthMax} deep`);
  for (const [field, node] of messagesOf(graph)) if (field === nodeField) checkNode(node, place);
}

function checkNode(node: Uint8Array, place: Place): void {
  let [opType, nodeName] = ['', ''];
  for (const [field, bytes] of messagesOf(node)) {
    if (field === fields.node.opType) opType = new TextDecoder().decode(bytes);
    if (field === fields.node.name) nodeName = new TextDecoder().decode(bytes);
    if (field === fields.node.attribute) checkAttribute(bytes, place);
  }
  if (endless.has(opType)) throw refusal(place, `a node "${nodeName.slice(0, 100)}" of type ${opType}`);
}

function checkAttribute(attribute: Uint8Array, place: Place): void {
  for (const [field, graph] of messagesOf(attribute)) {
    if (field !== fields.attribute.graph && field !== fields.attribute.graphs) continue;
    checkNodes(graph, fields.graph.node, { ...place, depth: place.depth + 1 });
  }
}

const refusal = ({ name }: Place, actual: string) =>
  invalidArgument({
    where: name,
    expected: 'a graph whose runs end, without Loop',
    actual,
    remedy: 'Export the network with its steps unrolled, or with GRU or Scan',
  });

/** The fields of a message that have bytes, in order; nothing is copied. @throws Error where the message does not parse */
function* messagesOf(message: Uint8Array): Generator<readonly [number, Uint8Array]> {
  const reader = new BinaryReader(message);
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (wireType === WireType.LengthDelimited) yield [field, reader.bytes()];
    else reader.skip(wireType, field);
  }
}
