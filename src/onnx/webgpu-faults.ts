/** What the runtime's webgpu provider cannot compute and ends the whole process for: refused before it is opened there. */

import { failedPrecondition } from '../contract/errors.ts';
import { fields, messagesOf } from './model-messages.ts';

const text = new TextDecoder();

/** Names of constants without dimensions, and of what products add. */
type Found = { readonly scalars: Set<string>; readonly biases: { readonly node: string; readonly bias: string }[] };

/**
 * @throws HyperpolicyError failed_precondition: a product (`Gemm`) adds a constant without dimensions
 */
export function checkForWebgpu(model: Uint8Array, name: string): void {
  const found: Found = { scalars: new Set(), biases: [] };
  for (const [field, graph] of messagesOf(model)) if (field === fields.model.graph) readGraph(graph, found);
  const fault = found.biases.find(({ bias }) => found.scalars.has(bias));
  if (fault === undefined) return;
  throw failedPrecondition({
    where: `${name} on webgpu`,
    expected: 'products whose bias has a dimension',
    actual: `a Gemm "${fault.node.slice(0, 100)}" that adds the number "${fault.bias.slice(0, 100)}"`,
    remedy: 'Publish the policy again with this version, or serve it with --device cpu',
  });
}

function readGraph(graph: Uint8Array, found: Found): void {
  for (const [part, bytes] of messagesOf(graph)) {
    if (part === fields.graph.tensor) addScalar(bytes, found.scalars);
    if (part === fields.graph.node) readNode(bytes, found);
  }
}

function addScalar(tensor: Uint8Array, scalars: Set<string>): void {
  let name = '';
  for (const [field, bytes] of messagesOf(tensor)) {
    if (field === fields.tensor.dims) return;
    if (field === fields.tensor.name) name = text.decode(bytes);
  }
  scalars.add(name);
}

/** Reads the graphs in its attributes too: those of a second graph behind a first lie there. */
function readNode(node: Uint8Array, found: Found): void {
  const inputs: string[] = [];
  let [opType, name] = ['', ''];
  for (const [field, bytes] of messagesOf(node)) {
    if (field === fields.node.input) inputs.push(text.decode(bytes));
    if (field === fields.node.opType) opType = text.decode(bytes);
    if (field === fields.node.name) name = text.decode(bytes);
    if (field === fields.node.attribute) readAttribute(bytes, found);
  }
  if (opType === 'Gemm' && inputs[2]) found.biases.push({ node: name, bias: inputs[2] });
}

function readAttribute(attribute: Uint8Array, found: Found): void {
  const { graph, graphs } = fields.attribute;
  for (const [field, bytes] of messagesOf(attribute)) if (field === graph || field === graphs) readGraph(bytes, found);
}
