/** What the runtime's webgpu provider cannot compute and ends the whole process for: refused before it is opened there. */

import { failedPrecondition } from '../contract/errors.ts';
import { fields, messagesOf } from './model-messages.ts';

const text = new TextDecoder();

/**
 * @throws HyperpolicyError failed_precondition: a product (`Gemm`) adds a constant without dimensions
 */
export function checkForWebgpu(model: Uint8Array, name: string): void {
  const scalars = new Set<string>();
  const biases: { readonly node: string; readonly bias: string }[] = [];
  for (const [field, graph] of messagesOf(model)) {
    if (field !== fields.model.graph) continue;
    for (const [part, bytes] of messagesOf(graph)) {
      if (part === fields.graph.tensor) addScalar(bytes, scalars);
      if (part === fields.graph.node) biases.push(...biasOf(bytes));
    }
  }
  const found = biases.find(({ bias }) => scalars.has(bias));
  if (found === undefined) return;
  throw failedPrecondition({
    where: `${name} on webgpu`,
    expected: 'products whose bias has a dimension',
    actual: `a Gemm "${found.node.slice(0, 100)}" that adds the number "${found.bias.slice(0, 100)}"`,
    remedy: 'Publish the policy again with this version, or serve it with --device cpu',
  });
}

function addScalar(tensor: Uint8Array, scalars: Set<string>): void {
  let name = '';
  for (const [field, bytes] of messagesOf(tensor)) {
    if (field === fields.tensor.dims) return;
    if (field === fields.tensor.name) name = text.decode(bytes);
  }
  scalars.add(name);
}

function biasOf(node: Uint8Array) {
  const inputs: string[] = [];
  let [opType, name] = ['', ''];
  for (const [field, bytes] of messagesOf(node)) {
    if (field === fields.node.input) inputs.push(text.decode(bytes));
    if (field === fields.node.opType) opType = text.decode(bytes);
    if (field === fields.node.name) name = text.decode(bytes);
  }
  return opType === 'Gemm' && inputs[2] ? [{ node: name, bias: inputs[2] }] : [];
}
