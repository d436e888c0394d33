/** How named tensors lie in one flat float32 array. Knows nothing of what they mean or how they are initialised. */

import { aligned } from './arena.ts';

type LayoutEntry = {
  readonly name: string;
  readonly shape: readonly number[];
  /** First value in the flat array; a multiple of 16 but within a stack. */
  readonly offset: number;
  /** Values: the product of the shape, 1 for a scalar. */
  readonly size: number;
};

export type Layout = {
  /** In the order of the shapes, but stacks together where their first member is. */
  readonly entries: readonly LayoutEntry[];
  /** Values of the flat array, a multiple of 16. The padding between tensors stays zero. */
  readonly length: number;
};

/** Name of a stack -> tensors of one shape that lie one after the other without padding, and so are one tensor as well. */
export type Stacks = Readonly<Record<string, readonly string[]>>;

/**
 * Places tensors one after the other, each at a multiple of 16 values; those of a stack beside each other, the first at such a multiple.
 * @param shapes by name; sizes are positive integers
 * @throws RangeError if there is no tensor, a size is not a positive integer, or a stack's shapes differ
 */
export function createLayout(shapes: Readonly<Record<string, readonly number[]>>, stacks: Stacks = {}): Layout {
  const stackOf = new Map(Object.values(stacks).flatMap((names) => names.map((name) => [name, names] as const)));
  const entries: LayoutEntry[] = [];
  const placed = new Set<string>();
  let length = 0;
  for (const first of Object.keys(shapes)) {
    if (placed.has(first)) continue;
    for (const name of stackOf.get(first) ?? [first]) {
      const shape = shapes[name];
      if (shape === undefined) {
        throw new RangeError(`createLayout: expected a shape for "${name}" of the stack of "${first}", got none`);
      }
      checkShape(name, shape);
      if (String(shape) !== String(shapes[first])) {
        throw new RangeError(
          `createLayout: expected [${shapes[first]!.join(', ')}] for "${name}" as for "${first}", got [${shape.join(', ')}]`,
        );
      }
      const size = shape.reduce((product, factor) => product * factor, 1);
      entries.push({ name, shape: [...shape], offset: length, size });
      length += size;
      placed.add(name);
    }
    length = aligned(length);
  }
  if (length === 0) throw new RangeError('createLayout: expected at least one tensor, got none');
  return { entries, length };
}

function checkShape(name: string, shape: readonly number[]): void {
  if (shape.every((size) => Number.isSafeInteger(size) && size > 0)) return;
  throw new RangeError(`createLayout: expected positive integer sizes for "${name}", got [${shape.join(', ')}]`);
}

/**
 * One view per tensor, by name, of a flat array of that layout; writing to a view writes to the array.
 * @throws RangeError if the array has another length
 */
export function viewsOf(layout: Layout, data: Float32Array): Record<string, Float32Array> {
  if (data.length !== layout.length) {
    throw new RangeError(`viewsOf: expected ${layout.length} values, as the layout has, got ${data.length}`);
  }
  return Object.fromEntries(
    layout.entries.map(({ name, offset, size }) => [name, data.subarray(offset, offset + size)]),
  );
}

/**
 * One view per stack, by name: all its tensors.
 * @param stacks those of the layout
 */
export function stackViewsOf({ entries }: Layout, stacks: Stacks, data: Float32Array): Record<string, Float32Array> {
  return Object.fromEntries(
    Object.entries(stacks).map(([stack, names]) => {
      const { offset, size } = entries.find(({ name }) => name === names[0])!;
      return [stack, data.subarray(offset, offset + names.length * size)];
    }),
  );
}
