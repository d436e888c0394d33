/** Between the layouts of the reference's tensors and ours. */

/** How a row of a weight head's output is reshaped: the reference's critics and PEARL policy [out, in], its MAML policy [in, out]. */
export type HeadLayout = 'out-in' | 'in-out';

/** A weight head's generated layer, whose rows need another order. */
export type HeadRows = { readonly inputSize: number; readonly outputSize: number };

/** For each element of the reference's tensor, its place in ours. */
export type Placement = (i: number) => number;

/**
 * Linear weights are [out, in] there and [in, out] here. Where the reference reshapes a head's output to [out, in], the rows
 * of its linear map are in that order too, in weight and bias.
 * @param shape the reference's
 */
export function placement(shape: readonly number[], headRows: HeadRows | undefined): Placement {
  const [rows, columns] = [shape[0]!, shape[1] ?? 1];
  const rowPlace = (row: number) =>
    headRows === undefined
      ? row
      : (row % headRows.inputSize) * headRows.outputSize + Math.floor(row / headRows.inputSize);
  return (i) => (i % columns) * rows + rowPlace(Math.floor(i / columns));
}

export function toOurs(theirs: Float32Array, place: Placement): Float32Array {
  const ours = new Float32Array(theirs.length);
  theirs.forEach((value, i) => {
    ours[place(i)] = value;
  });
  return ours;
}
