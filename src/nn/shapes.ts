/** Shapes at the boundary of a network, with errors that name both sides. */

import type * as tf from '@tensorflow/tfjs-core';
import { invalidArgument } from '../contract/errors.ts';

/** Columns that each input of a network has; 0 where it takes none. */
export type InputSizes = Readonly<Record<string, number>>;

/**
 * Inputs are [B, size] each, with one B; a context may also be [1, size].
 * @throws HyperpolicyError invalid_argument naming every input's expected and actual shape
 */
export function checkInputs(
  where: string,
  sizes: InputSizes,
  inputs: Readonly<Record<string, tf.Tensor | undefined>>,
): void {
  const rows = Object.entries(inputs).find(([name, tensor]) => tensor !== undefined && name !== 'context')?.[1]
    ?.shape[0];
  const fits = Object.entries(sizes).every(([name, size]) => {
    const shape = inputs[name]?.shape;
    if (size === 0) return shape === undefined;
    const rowsFit = shape?.[0] === rows || (name === 'context' && shape?.[0] === 1);
    return shape?.length === 2 && rowsFit && shape[1] === size;
  });
  if (fits) return;
  const text = (entries: readonly (readonly [string, string | undefined])[]) =>
    entries.map(([name, shape]) => (shape === undefined ? `no ${name}` : `${name} [${shape}]`)).join(', ');
  throw invalidArgument({
    where,
    expected: text(Object.entries(sizes).map(([name, size]) => [name, size === 0 ? undefined : `B, ${size}`])),
    actual: text(Object.keys(sizes).map((name) => [name, inputs[name]?.shape.join(', ')])),
  });
}
