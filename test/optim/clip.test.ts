import { describe, expect, test } from 'vitest';
import { createRandom } from '../../src/contract/random.ts';
import { createArena } from '../../src/optim/arena.ts';
import { clipByGlobalNorm } from '../../src/optim/clip.ts';
import { fill, processorMs, sumOfSquaresReference } from './reference.ts';

function arrayOf(values: readonly number[]) {
  const arena = createArena(values.length);
  const array = arena.allocate(values.length);
  array.set(values);
  return { arena, array };
}

describe('clipByGlobalNorm', () => {
  test('scales arrays together by their common norm', () => {
    const gradients = [arrayOf([3, 0, 0]), arrayOf([0, 4])]; // norm 5
    expect(clipByGlobalNorm({ gradients, normMax: 2.5 })).toBe(5);
    const factor = Math.fround(2.5 / (5 + 1e-6));
    expect([...gradients[0]!.array]).toEqual([Math.fround(3 * factor), 0, 0]);
    expect([...gradients[1]!.array]).toEqual([0, Math.fround(4 * factor)]);
    expect(clipByGlobalNorm({ gradients, normMax: 1e9 })).toBeCloseTo(2.5, 5);
  });

  test('leaves small and zero gradients as they are', () => {
    const gradients = [arrayOf([0.1, -0.2, 0, 0, 0.3])];
    const before = gradients[0]!.array.slice();
    clipByGlobalNorm({ gradients, normMax: 1 });
    expect(gradients[0]!.array).toEqual(before);
    expect(clipByGlobalNorm({ gradients: [arrayOf([0, 0])], normMax: 1 })).toBe(0);
  });

  test.each([1, 3, 4, 5, 16, 1003])('the norm equals the plain float64 program bit for bit, %i values', (length) => {
    const random = createRandom(length);
    const part = arrayOf(Array.from({ length }, () => random.normal()));
    const norm = clipByGlobalNorm({ gradients: [part], normMax: 1e9 });
    expect(norm).toBe(Math.sqrt(sumOfSquaresReference(part.array)));
  });

  test('squares that overflow float32 do not overflow the norm', () => {
    expect(clipByGlobalNorm({ gradients: [arrayOf([2 ** 100, 0, 0, 0, 0])], normMax: 1 })).toBe(2 ** 100);
  });

  test('gives a norm that is not finite and scales nothing', () => {
    const gradients = [arrayOf([Number.POSITIVE_INFINITY, 1])];
    expect(clipByGlobalNorm({ gradients, normMax: 1 })).toBe(Number.POSITIVE_INFINITY);
    expect([...gradients[0]!.array]).toEqual([Number.POSITIVE_INFINITY, 1]);
  });

  test('refuses misuse', () => {
    const { arena } = arrayOf([1]);
    expect(() => clipByGlobalNorm({ gradients: [], normMax: 0 })).toThrow(
      'clipByGlobalNorm: normMax: expected a number above 0, got 0',
    );
    expect(() => clipByGlobalNorm({ gradients: [{ arena, array: new Float32Array(1) }], normMax: 1 })).toThrow(
      'clipByGlobalNorm: gradients: expected an array of the arena, got one of another memory. Allocate it there',
    );
  });

  test('a pass over 8.5 million gradients', () => {
    const arena = createArena(8_500_000);
    const array = arena.allocate(8_500_000);
    fill(array, () => 0.5);
    const times = Array.from({ length: 11 }, () => {
      const start = processorMs();
      arena.kernels.sumOfSquares(array.byteOffset, array.length);
      return processorMs() - start;
    }).sort((a, b) => a - b);
    console.log(`norm, 8.5 M values: best ${times[0]!.toFixed(2)} ms, median ${times[5]!.toFixed(2)} ms`);
    expect(times[0]).toBeLessThan(40);
  });
});
