/** How named tensors lie in one flat float32 array. Knows nothing of what they mean or how they are initialised. */

import { aligned } from './arena.ts';

export type LayoutEntry = {
  readonly name: string;
  readonly shape: readonly number[];
  /** First value in the flat array, a multiple of 16. */
  readonly offset: number;
  /** Values: the product of the shape, 1 for a scalar. */
  readonly size: number;
};

export type Layout = {
  /** In the order of the shapes. */
  readonly entries: readonly LayoutEntry[];
  /** Values of the flat array, a multiple of 16. The padding between tensors stays zero. */
  readonly length: number;
};

/**
 * Places tensors one after the other, each at a multiple of 16 values.
 * @param shapes by name; sizes are positive integers
 * @throws RangeError where there is no tensor or a size is not a positive integer
 */
export function createLayout(shapes: Readonly<Record<string, readonly number[]>>): Layout {
  const entries: LayoutEntry[] = [];
  let length = 0;
  for (const [name, shape] of Object.entries(shapes)) {
    if (!shape.every((size) => Number.isSafeInteger(size) && size > 0)) {
      throw new RangeError(`createLayout: expected positive integer sizes for "${name}", got [${shape.join(', ')}]`);
    }
    const size = shape.reduce((product, factor) => product * factor, 1);
    entries.push({ name, shape: [...shape], offset: length, size });
    length += aligned(size);
  }
  if (length === 0) throw new RangeError('createLayout: expected at least one tensor, got none');
  return { entries, length };
}

/**
 * One view per tensor, by name, of a flat array of that layout; writing to a view writes to the array.
 * @throws RangeError where the array has another length
 */
export function viewsOf(layout: Layout, data: Float32Array): Record<string, Float32Array> {
  if (data.length !== layout.length) {
    throw new RangeError(`viewsOf: expected ${layout.length} values, as the layout has, got ${data.length}`);
  }
  return Object.fromEntries(
    layout.entries.map(({ name, offset, size }) => [name, data.subarray(offset, offset + size)]),
  );
}
