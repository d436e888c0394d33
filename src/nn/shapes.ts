/** Shapes at the boundary of a network or a loss, with errors that name both sides. */

import * as tf from '@tensorflow/tfjs-core';
import { invalidArgument } from '../contract/errors.ts';

/** Columns that each input of a network has; 0 if it takes none. */
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

/** The context of each row: [1, C] is that of all rows. */
export const contextRows = (context: tf.Tensor2D, { shape }: tf.Tensor): tf.Tensor2D =>
  context.shape[0] === shape[0] ? context : tf.broadcastTo(context, [shape[0]!, context.shape[1]]);

/** A size, or a letter that stands for the same size wherever it occurs. */
export type Dimension = number | string;

/**
 * Every tensor has the rank and the sizes that are named for it; one that is not named is not looked at.
 * @param expected name -> dimensions, e.g. `{ reward: ['B'], action: ['B', 6] }`; `undefined` where there must be no tensor
 * @throws HyperpolicyError invalid_argument naming every expected and actual shape
 */
export function checkShapes(
  where: string,
  expected: Readonly<Record<string, readonly Dimension[] | undefined>>,
  tensors: Readonly<Record<string, tf.Tensor | undefined>>,
): void {
  const sizes = new Map<string, number>();
  const sizeOf = (dimension: Dimension, actual: number) => {
    if (typeof dimension === 'number') return dimension;
    if (!sizes.has(dimension)) sizes.set(dimension, actual);
    return sizes.get(dimension);
  };
  const fits = Object.entries(expected).every(([name, dimensions]) => {
    const shape = tensors[name]?.shape;
    if (dimensions === undefined || shape === undefined) return dimensions === shape;
    return (
      shape.length === dimensions.length &&
      dimensions.every((dimension, i) => sizeOf(dimension, shape[i]!) === shape[i])
    );
  });
  if (fits) return;
  const text = (shapeOf: (name: string) => readonly Dimension[] | undefined) =>
    Object.keys(expected)
      .map((name) => [name, shapeOf(name)] as const)
      .map(([name, shape]) => (shape === undefined ? `no ${name}` : `${name} [${shape.join(', ')}]`))
      .join(', ');
  throw invalidArgument({
    where,
    expected: text((name) => expected[name]),
    actual: text((name) => tensors[name]?.shape),
  });
}
