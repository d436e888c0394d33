import { expect, test } from 'vitest';
import { AskedBefore } from '../../../server/weights/asked-before.ts';

test('a key is known from the second time on', () => {
  const asked = new AskedBefore();
  expect(asked.note('')).toBe(false);
  expect([asked.note('a'), asked.note('b'), asked.note('a'), asked.note('a')]).toEqual([false, false, true, true]);
  expect(asked.note('')).toBe(true);
});

test('what was asked for last is remembered, and its memory does not grow', () => {
  const asked = new AskedBefore();
  for (let i = 0; i < 100_000; i++) asked.note(`early ${i}`);
  const late = Array.from({ length: 256 }, (_, i) => `late ${i}`);
  // Bytes of observations: most keys differ in a few of them.
  expect(late.filter((key) => asked.note(key))).toEqual([]);
  // Of 256 keys in 16384 places about two pairs have one place: 256^2 / 2 / 16384. Both keys of a pair are forgotten by turns.
  expect(late.filter((key) => asked.note(key)).length).toBeGreaterThan(245);
});
