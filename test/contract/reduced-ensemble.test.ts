/** From twin critics to one value and gradient a row. */

import { describe, expect, test } from 'vitest';
import { reduceEnsemble } from '../../src/contract/reduced-ensemble.ts';

describe('reduceEnsemble', () => {
  // Two rows, twins, one action value.
  const outputs = { q: Float32Array.of(1, 2, 4, 3), dqDa: Float32Array.of(10, 20, 40, 30) };
  const reduce = (reduction: 'q1' | 'min' | 'mean') =>
    reduceEnsemble(outputs, { reduction, rowCount: 2, ensembleSize: 2, actionSize: 1 });

  test.each([
    ['q1', [1, 4], [10, 40]],
    ['min', [1, 3], [10, 30]],
    ['mean', [1.5, 3.5], [15, 35]],
  ] as const)('%s', (reduction, q, dqDa) => {
    expect(reduce(reduction)).toEqual({ q: Float32Array.from(q), dqDa: Float32Array.from(dqDa) });
  });

  test('a tie takes the first', () => {
    const tie = { q: Float32Array.of(1, 1), dqDa: Float32Array.of(10, 20) };
    expect(reduceEnsemble(tie, { reduction: 'min', rowCount: 1, ensembleSize: 2, actionSize: 1 }).dqDa[0]).toBe(10);
  });
});
