/** Numbers on the command line, as people write them; the same for every flag. */

import { expect, test } from 'vitest';
import { integerIn, numberIn, parseRows } from '../../clients/cli/options.ts';

test.each([
  ['1e6', 1_000_000],
  ['2.5e3', 2500],
  ['1E+2', 100],
  ['1_000_000', 1_000_000],
  [' 7 ', 7],
  ['10.0', 10],
])('%s is the integer %d', (text, value) => {
  expect(integerIn(1, 1e6)(text)).toBe(value);
});

test.each(['', ' ', '1.5', '1e-3', '1e7', '0', '0x10', '10k', '1__0', '_1', '1_', 'NaN', 'Infinity', '1e999'])(
  'no integer from 1 to 1000000: "%s"',
  (text) => {
    expect(() => integerIn(1, 1e6)(text)).toThrow('Expected an integer from 1 to 1000000');
  },
);

test('numbers may begin or end with the point', () => {
  expect(['.5', '5.', '1e-2', '-.25'].map(numberIn(-10, 10))).toEqual([0.5, 5, 0.01, -0.25]);
});

test('rows are numbers with commas, or JSON', () => {
  expect(parseRows('1e-3, -1E0,.5')).toEqual([[0.001, -1, 0.5]]);
  expect(parseRows('[[1,2],[3,4e0]]')).toEqual([
    [1, 2],
    [3, 4],
  ]);
  for (const text of ['', '1,,2', '1,x', '[1,"2"]', '[]', '[1e999]', '[[1],2]', 'Infinity']) {
    expect(() => parseRows(text), text).toThrow('Expected numbers: 1,2,3');
  }
});
