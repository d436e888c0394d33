/**
 * Checks a model file before it is opened: anybody who can write to a store may have made it. Refused are graphs whose run may not end,
 * since nobody can stop a run: how long they take depends on values that they compute. Refused, too, are weights that are not finite:
 * they spoil the answers to some inputs, and the probes need not have these.
 */

import { HyperpolicyError, invalidArgument } from '../contract/errors.ts';
import { fields, messagesOf } from './model-messages.ts';

/** Operators that repeat a graph for as long as that graph says. `Scan` ends with the rows of its input. */
const endless: ReadonlySet<string> = new Set(['Loop']);

/** Graphs within graphs; those of networks have none. */
const depthMax = 16;
/** Those of networks have some hundred. */
const nodeCountMax = 2 ** 16;

type Place = { readonly name: string; readonly depth: number; readonly nodes: { count: number } };

/**
 * Nothing is copied, so that a large model takes little time.
 * @throws HyperpolicyError invalid_argument: a run may have no end, or a weight is not finite (the node or the tensor is named), or the
 *   bytes are no model
 */
export function checkForeign(model: Uint8Array, name: string): void {
  const place = { name, depth: 0, nodes: { count: 0 } };
  try {
    for (const [field, bytes] of messagesOf(model)) {
      if (field === fields.model.graph) checkGraph(bytes, fields.graph, place);
      if (field === fields.model.functions) checkFunction(bytes, place);
    }
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw invalidArgument({ where: name, expected: 'an ONNX model', actual: (cause as Error).message, cause });
  }
}

function checkFunction(bytes: Uint8Array, place: Place): void {
  checkGraph(bytes, fields.function, place);
  for (const [field, attribute] of messagesOf(bytes)) {
    if (field === fields.function.attribute) checkAttribute(attribute, place);
  }
}

function checkGraph(graph: Uint8Array, { node, tensor }: { node: number; tensor?: number | undefined }, place: Place) {
  if (place.depth > depthMax) throw refusal(place, `graphs within graphs, ${depthMax} deep`);
  for (const [field, bytes] of messagesOf(graph)) {
    if (field === node) checkNode(bytes, place);
    if (field === tensor) checkTensor(bytes, place);
  }
}

function checkNode(node: Uint8Array, place: Place): void {
  if (++place.nodes.count > nodeCountMax) throw refusal(place, `more than ${nodeCountMax} nodes`);
  let [opType, nodeName] = ['', ''];
  for (const [field, bytes] of messagesOf(node)) {
    if (field === fields.node.opType) opType = new TextDecoder().decode(bytes);
    if (field === fields.node.name) nodeName = new TextDecoder().decode(bytes);
    if (field === fields.node.attribute) checkAttribute(bytes, place);
  }
  if (endless.has(opType)) throw refusal(place, `a node "${nodeName.slice(0, 100)}" of type ${opType}`);
}

function checkAttribute(attribute: Uint8Array, place: Place): void {
  const { tensor, graph, graphs } = fields.attribute;
  for (const [field, bytes] of messagesOf(attribute)) {
    if (field === tensor) checkTensor(bytes, place);
    if (field === graph || field === graphs) checkGraph(bytes, fields.graph, { ...place, depth: place.depth + 1 });
  }
}

const refusal = ({ name }: Place, actual: string) =>
  invalidArgument({
    where: name,
    expected: 'a graph whose runs end, without Loop',
    actual,
    remedy: 'Export the network with its steps unrolled, or with GRU or Scan',
  });

/** Bytes of a value, and the bits of its first two that are all set where it is not finite, by ONNX's numbers of types. */
const floatTypes: Readonly<Record<number, readonly [width: number, exponent: number]>> = {
  1: [4, 0x7f80],
  10: [2, 0x7c00],
  11: [8, 0x7ff0],
  16: [2, 0x7f80],
};

function checkTensor(tensor: Uint8Array, { name }: Place): void {
  const { dataType, floats, name: nameField, raw, doubles } = fields.tensor;
  let tensorName = '';
  let type = 0;
  const values: [field: number, bytes: Uint8Array][] = [];
  for (const [field, bytes, number] of messagesOf(tensor)) {
    if (field === dataType) type = number;
    if (field === nameField) tensorName = new TextDecoder().decode(bytes);
    if (field === raw || field === floats || field === doubles) values.push([field, bytes]);
  }
  for (const [field, bytes] of values) {
    const kind = floatTypes[field === floats ? 1 : field === doubles ? 11 : type];
    const at = kind === undefined ? -1 : nonFiniteAt(bytes, ...kind);
    if (at === -1) continue;
    const actual = `one that is not, at ${at} of "${tensorName.slice(0, 100)}"`;
    throw invalidArgument({
      where: name,
      expected: 'finite weights',
      actual,
      remedy: 'The training diverged, or the file is damaged',
    });
  }
}

/** A single value may be infinite: where nothing is to be clipped, or as what a mask puts in. @returns -1 where all are finite */
function nonFiniteAt(bytes: Uint8Array, width: number, exponent: number): number {
  if (bytes.length <= width) return -1;
  for (let high = width - 1; high < bytes.length; high += width) {
    if ((((bytes[high]! << 8) | bytes[high - 1]!) & exponent) === exponent) return (high + 1) / width - 1;
  }
  return -1;
}
