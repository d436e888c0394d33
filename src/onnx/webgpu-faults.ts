/** What the runtime's webgpu provider cannot compute and ends the whole process for: refused before it is opened there. */

import { failedPrecondition } from '../contract/errors.ts';
import { fields, messagesOf } from './model-messages.ts';
import { type WalkedNode, walkModel } from './model-walk.ts';

/**
 * @throws HyperpolicyError failed_precondition: a product (`Gemm`) adds a constant without dimensions
 */
export function checkForWebgpu(model: Uint8Array, name: string): void {
  const scalars = new Set<string>();
  const products: WalkedNode[] = [];
  walkModel(model, {
    tensor(tensor) {
      if (!hasDimensions(tensor)) scalars.add(tensorName(tensor));
    },
    node(node) {
      if (node.opType === 'Constant' && node.attributes.some(isScalar)) scalars.add(node.outputs[0] ?? '');
      if (node.opType === 'Gemm' && node.inputs[2]) products.push(node);
    },
  });
  const fault = products.find(({ inputs }) => scalars.has(inputs[2]!));
  if (fault === undefined) return;
  throw failedPrecondition({
    where: `${name} on webgpu`,
    expected: 'products whose bias has a dimension',
    actual: `a Gemm "${fault.name.slice(0, 100)}" that adds the number "${fault.inputs[2]!.slice(0, 100)}"`,
    remedy: 'Publish the policy again with this version, or serve it with --device cpu',
  });
}

function hasDimensions(tensor: Uint8Array): boolean {
  for (const [field] of messagesOf(tensor)) if (field === fields.tensor.dims) return true;
  return false;
}

function tensorName(tensor: Uint8Array): string {
  for (const [field, bytes] of messagesOf(tensor)) if (field === fields.tensor.name) return textOf(bytes);
  return '';
}

/** Whether an attribute of a `Constant` is one number. */
function isScalar(attribute: Uint8Array): boolean {
  for (const [field, bytes] of messagesOf(attribute)) {
    if (field === fields.attribute.name && textOf(bytes) === 'value_float') return true;
    if (field === fields.attribute.tensor) return !hasDimensions(bytes);
  }
  return false;
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);
