/**
 * Checks a model file before it is opened: anybody who can write to a store may have made it. Refused are graphs whose run may not end,
 * since nobody can stop a run: how long they take depends on values that they compute. Refused, too, are weights that are not finite:
 * they spoil the answers to some inputs, and the probes need not have these.
 */

import { HyperpolicyError, invalidArgument } from '../contract/errors.ts';
import { fields, messagesOf } from './model-messages.ts';
import { walkModel } from './model-walk.ts';

/** Operators that repeat a graph for as long as that graph says. `Scan` ends with the rows of its input. */
const endless: ReadonlySet<string> = new Set(['Loop']);

/**
 * Nothing is copied, so that a large model takes little time.
 * @throws HyperpolicyError invalid_argument: a run may have no end, or a weight is not finite (the node or the tensor is named), or the
 *   bytes are no model or hold more graphs or nodes than any network has
 */
export function checkForeign(model: Uint8Array, name: string): void {
  try {
    walkModel(model, {
      tensor: (tensor) => checkTensor(tensor, name),
      node({ opType, name: nodeName }) {
        if (!endless.has(opType)) return;
        throw invalidArgument({
          where: name,
          expected: 'a graph whose runs end, without Loop',
          actual: `a node "${nodeName.slice(0, 100)}" of type ${opType}`,
          remedy: 'Export the network with its steps unrolled, or with GRU or Scan',
        });
      },
    });
  } catch (cause) {
    if (cause instanceof HyperpolicyError) throw cause;
    throw invalidArgument({ where: name, expected: 'an ONNX model', actual: (cause as Error).message, cause });
  }
}

/** Bytes of a value, and the bits of its first two that are all set where it is not finite, by ONNX's numbers of types. */
const floatTypes: Readonly<Record<number, readonly [width: number, exponent: number]>> = {
  1: [4, 0x7f80],
  10: [2, 0x7c00],
  11: [8, 0x7ff0],
  16: [2, 0x7f80],
};

function checkTensor(tensor: Uint8Array, name: string): void {
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
