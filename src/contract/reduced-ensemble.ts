/** How the value functions of a critic become one value per row, with its gradient: the same in the server and in analyses. */

import type { ReductionName } from './words.ts';

/** Values [B, Q] and action-gradients [B, Q, A] of an ensemble; [B] and [B, A] after the reduction. */
export type Gradients = { readonly q: Float32Array; readonly dqDa: Float32Array };

export type ReductionOptions = {
  readonly reduction: ReductionName;
  readonly rowCount: number;
  /** Q, 1 or 2. */
  readonly ensembleSize: number;
  readonly actionSize: number;
};

/** Reduces an ensemble to one value per row, with its gradient: that of the first, of the smaller (the first at a tie), or the mean. */
export function reduceEnsemble(
  { q, dqDa }: Gradients,
  { reduction, rowCount, ensembleSize, actionSize }: ReductionOptions,
): Gradients {
  if (ensembleSize === 1) return { q, dqDa };
  const values = new Float32Array(rowCount);
  const gradients = new Float32Array(rowCount * actionSize);
  for (let row = 0; row < rowCount; row++) {
    const q1 = q[2 * row]!;
    const q2 = q[2 * row + 1]!;
    const from = 2 * row * actionSize;
    const to = row * actionSize;
    if (reduction === 'mean') {
      values[row] = (q1 + q2) / 2;
      for (let a = 0; a < actionSize; a++) {
        gradients[to + a] = (dqDa[from + a]! + dqDa[from + actionSize + a]!) / 2;
      }
      continue;
    }
    const second = reduction === 'min' && q2 < q1;
    values[row] = second ? q2 : q1;
    for (let a = 0; a < actionSize; a++) gradients[to + a] = dqDa[from + (second ? actionSize : 0) + a]!;
  }
  return { q: values, dqDa: gradients };
}
