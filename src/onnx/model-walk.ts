/** Visits what a model's bytes hold, also within functions and the graphs in attributes; nothing is copied. */

import { fields, messagesOf } from './model-messages.ts';

/** Graphs within graphs; those of networks have few. */
const depthMax = 16;
/** Those of networks have some hundred. */
const nodeCountMax = 2 ** 16;

export type WalkedNode = {
  readonly name: string;
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: readonly Uint8Array[];
};

/** Gets each in turn, those inside before the node that holds them. */
export type ModelVisitor = {
  readonly node: (node: WalkedNode) => void;
  /** Weights of a graph, and those in attributes. */
  readonly tensor: (tensor: Uint8Array) => void;
};

/** @throws Error: the bytes do not parse, or hold more than any network has */
export function walkModel(model: Uint8Array, visitor: ModelVisitor): void {
  const walk = { visitor, nodeCount: 0 };
  for (const [field, bytes] of messagesOf(model)) {
    if (field === fields.model.graph) walkGraph(bytes, fields.graph, walk, 0);
    if (field === fields.model.functions) walkFunction(bytes, walk);
  }
}

type Walk = { readonly visitor: ModelVisitor; nodeCount: number };
type Places = { readonly node: number; readonly tensor?: number | undefined };

function walkFunction(bytes: Uint8Array, walk: Walk): void {
  walkGraph(bytes, fields.function, walk, 0);
  for (const [field, attribute] of messagesOf(bytes)) {
    if (field === fields.function.attribute) walkAttribute(attribute, walk, 0);
  }
}

function walkGraph(graph: Uint8Array, { node, tensor }: Places, walk: Walk, depth: number): void {
  if (depth > depthMax) throw new Error(`graphs within graphs, ${depthMax} deep`);
  for (const [field, bytes] of messagesOf(graph)) {
    if (field === node) walkNode(bytes, walk, depth);
    if (field === tensor) walk.visitor.tensor(bytes);
  }
}

function walkNode(node: Uint8Array, walk: Walk, depth: number): void {
  if (++walk.nodeCount > nodeCountMax) throw new Error(`more than ${nodeCountMax} nodes`);
  const text = new TextDecoder();
  let [opType, name] = ['', ''];
  const inputs: string[] = [];
  const outputs: string[] = [];
  const attributes: Uint8Array[] = [];
  for (const [field, bytes] of messagesOf(node)) {
    if (field === fields.node.input) inputs.push(text.decode(bytes));
    if (field === fields.node.output) outputs.push(text.decode(bytes));
    if (field === fields.node.name) name = text.decode(bytes);
    if (field === fields.node.opType) opType = text.decode(bytes);
    if (field === fields.node.attribute) attributes.push(bytes);
  }
  for (const attribute of attributes) walkAttribute(attribute, walk, depth);
  walk.visitor.node({ name, opType, inputs, outputs, attributes });
}

function walkAttribute(attribute: Uint8Array, walk: Walk, depth: number): void {
  const { tensor, graph, graphs } = fields.attribute;
  for (const [field, bytes] of messagesOf(attribute)) {
    if (field === tensor) walk.visitor.tensor(bytes);
    if (field === graph || field === graphs) walkGraph(bytes, fields.graph, walk, depth + 1);
  }
}
