/** Slots for what is kept of items: filled once an epoch, used again in the next, and bounded. */

import { expect, test } from 'vitest';
import { createKeptSlots } from '../../../trainer/engine/kept-slots.ts';

function counting(countMax: number) {
  const log: string[] = [];
  let created = 0;
  const slots = createKeptSlots(() => created++, countMax);
  const take = (key: number, epoch: number) => slots.take(key, epoch, (slot) => log.push(`${key} into ${slot}`));
  return { log, take };
}

test('a slot is filled once an epoch, and is free for any key in the next', () => {
  const { log, take } = counting(2);
  expect([take(5, 0), take(6, 0), take(5, 0), take(6, 0)]).toEqual([0, 1, 0, 1]);
  expect(log).toEqual(['5 into 0', '6 into 1']);
  expect([take(7, 1), take(5, 1), take(7, 1)]).toEqual([1, 0, 1]);
  expect(log.slice(2)).toEqual(['7 into 1', '5 into 0']);
});

test('keys beyond the bound take over the slot that was filled last, the others stay, and no further slot is made', () => {
  const { log, take } = counting(2);
  expect([take(5, 0), take(6, 0), take(7, 0), take(6, 0), take(6, 0), take(5, 0)]).toEqual([0, 1, 1, 1, 1, 0]);
  expect(log).toEqual(['5 into 0', '6 into 1', '7 into 1', '6 into 1']);
});

test('a bound of no slot is refused, as there would be nothing to run in', () => {
  expect(() => createKeptSlots(() => 0, 0)).toThrow('kept slots: expected at least one, got 0');
});

test("a slot whose filling failed is nobody's", () => {
  const slots = createKeptSlots(() => ({ value: 0 }), 1);
  const fail = () => {
    throw new Error('no');
  };
  expect(() => slots.take(1, 0, fail)).toThrow('no');
  const fill = (slot: { value: number }) => {
    slot.value = 3;
  };
  expect(slots.take(1, 0, fill).value).toBe(3);
});
