import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createArena } from '../../src/optim/arena.ts';
import { polyak } from '../../src/optim/polyak.ts';
import { fill, polyakReference } from './reference.ts';

describe('polyak', () => {
  test('moves the target a fraction of the way', () => {
    const arena = createArena(32);
    const target = arena.allocate(2);
    const source = arena.allocate(2);
    target.set([0, 8]);
    source.set([4, 0]);
    polyak({ arena, target, source, tau: 0.25 }); // 0 + .25 x 4; 8 - .25 x 8
    expect([...target]).toEqual([1, 6]);
    expect([...source]).toEqual([4, 0]);
  });

  test.each([1, 3, 4, 6, 64, 1001])('equals the plain float32 program bit for bit, %i values', (length) => {
    const arena = createArena(2 * length + 32);
    const target = arena.allocate(length);
    const source = arena.allocate(length);
    const random = createRandom(5);
    fill(target, () => random.normal());
    const plain = target.slice();
    for (let step = 0; step < 10; step++) {
      fill(source, () => random.normal());
      polyak({ arena, target, source, tau: 0.005 });
      polyakReference(plain, source, 0.005);
    }
    expect(target).toEqual(plain);
  });

  test('leaves the neighbouring array alone', () => {
    const arena = createArena(96);
    const target = arena.allocate(17);
    const next = arena.allocate(3);
    const source = arena.allocate(17).fill(1);
    polyak({ arena, target, source, tau: 1 });
    expect([...target]).toEqual(Array.from({ length: 17 }, () => 1));
    expect([...next]).toEqual([0, 0, 0]);
  });

  test('refuses misuse', () => {
    const arena = createArena(64);
    const target = arena.allocate(16);
    const source = arena.allocate(16);
    expect(() => polyak({ arena, target, source, tau: 1.5 })).toThrow(
      'polyak: tau: expected a number at least 0 and at most 1, got 1.5',
    );
    expect(() => polyak({ arena, target, source: source.subarray(4), tau: 0.5 })).toThrow(
      'polyak: source: expected 16 values, got 12',
    );
    expect(() => polyak({ arena, target, source: new Float32Array(16), tau: 0.5 })).toThrow(
      'polyak: source: expected an array of the arena, got one of another memory. Allocate it there',
    );
  });
});
