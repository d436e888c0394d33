/** Copying in slices: the same bytes, and turns of the event loop between. */

import { expect, test } from 'vitest';
import { shareInSlices } from '../../src/pacing/in-slices.ts';

const bytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => (i * 31) % 251);

test.each([0, 1, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 1_300_000])(
  '%i bytes: a copy of the whole',
  async (size) => {
    const all = bytes(size);
    const shared = await shareInSlices(all);
    expect(shared).toBeInstanceOf(SharedArrayBuffer);
    expect(Buffer.compare(new Uint8Array(shared), all)).toBe(0);
  },
);

test('others have their turn between slices', async () => {
  let turns = 0;
  const count = () => {
    turns++;
    timer = setImmediate(count);
  };
  let timer = setImmediate(count);
  await shareInSlices(bytes(4 * 512 * 1024));
  clearImmediate(timer);
  expect(turns).toBeGreaterThanOrEqual(3);
});
