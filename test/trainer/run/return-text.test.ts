import { expect, test } from 'vitest';
import { returnTexts } from '../../../trainer/run/return-text.ts';

test.each([
  [[950.3], ['950.3']],
  [[9.5], ['9.50']],
  [[0.72], ['0.720']],
  [[0.0123], ['0.0123']],
  [
    [-0.72, 0.02],
    ['-0.720', '0.020'],
  ],
  // The largest decides.
  [
    [0.5, 120],
    ['0.5', '120.0'],
  ],
  [
    [0, 0],
    ['0.0', '0.0'],
  ],
  [
    [Number.NaN, 0.5],
    ['NaN', '0.500'],
  ],
  [
    [-Infinity, 20],
    ['-Infinity', '20.0'],
  ],
  [[1e-17], ['0.000000000000']],
])('returns %j have the decimals that the largest needs', (returns, texts) => {
  expect(returnTexts(...returns)).toEqual(texts);
});
