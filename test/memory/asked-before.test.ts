import { expect, test } from 'vitest';
import { AskedBefore } from '../../src/memory/asked-before.ts';

const bits = (...values: number[]) => new Int32Array(Float32Array.from(values).buffer);

test('values are known from the second time on', () => {
  const asked = new AskedBefore();
  const rows = bits(1, 2, 3, 1, 2, 3.0000002);
  expect([asked.note(rows, 0, 3), asked.note(rows, 3, 6), asked.note(rows, 0, 3)]).toEqual([false, false, true]);
  // No values are a context too: that of a policy without one.
  expect([asked.note(rows, 0, 0), asked.note(rows, 2, 2)]).toEqual([false, true]);
});

test('what was asked for last is remembered, and its memory does not grow', () => {
  const asked = new AskedBefore();
  for (let i = 0; i < 100_000; i++) asked.note(bits(-1, i), 0, 2);
  // Observations often differ in a few values only.
  const late = Array.from({ length: 256 }, (_, i) => bits(0.5, 0.25, i));
  expect(late.filter((row) => asked.note(row, 0, 3))).toEqual([]);
  // Of 256 rows in 16384 places about two pairs have one place: 256^2 / 2 / 16384. Both rows of a pair are forgotten by turns.
  expect(late.filter((row) => asked.note(row, 0, 3)).length).toBeGreaterThan(245);
});
