import { describe, expect, test } from 'vitest';
import { createArena } from '../../src/optim/arena.ts';
import { createLayout, viewsOf } from '../../src/optim/layout.ts';

describe('createLayout', () => {
  test('places tensors in order at multiples of 16 values', () => {
    expect(createLayout({ weight: [3, 7], bias: [7], gain: [16], scale: [] })).toEqual({
      entries: [
        { name: 'weight', shape: [3, 7], offset: 0, size: 21 },
        { name: 'bias', shape: [7], offset: 32, size: 7 },
        { name: 'gain', shape: [16], offset: 48, size: 16 },
        { name: 'scale', shape: [], offset: 64, size: 1 },
      ],
      length: 80,
    });
  });

  test('refuses an empty layout and sizes that are not positive integers', () => {
    expect(() => createLayout({})).toThrow('createLayout: expected at least one tensor, got none');
    expect(() => createLayout({ w: [2, 0] })).toThrow(
      'createLayout: expected positive integer sizes for "w", got [2, 0]',
    );
    expect(() => createLayout({ w: [1.5] })).toThrow('got [1.5]');
  });
});

describe('viewsOf', () => {
  test('views share the array', () => {
    const layout = createLayout({ a: [2, 2], b: [3] });
    const arena = createArena(layout.length);
    const data = arena.allocate(layout.length);
    const views = viewsOf(layout, data);
    views.b!.set([1, 2, 3]);
    expect([...data.subarray(16, 20)]).toEqual([1, 2, 3, 0]);
    expect(views.a).toHaveLength(4);
    expect(views.b!.byteOffset % 64).toBe(0);
  });

  test('refuses an array of another length', () => {
    const layout = createLayout({ a: [2] });
    expect(() => viewsOf(layout, new Float32Array(2))).toThrow('viewsOf: expected 16 values, as the layout has, got 2');
  });
});

describe('createArena', () => {
  test('cuts zeroed arrays at multiples of 64 bytes until it is full', () => {
    const arena = createArena(40); // rounds up to 48
    const arrays = [arena.allocate(1), arena.allocate(17)];
    expect(arrays.map((array) => [array.length, array.byteOffset])).toEqual([
      [1, 0],
      [17, 64],
    ]);
    expect([arena.capacity, arena.used]).toEqual([48, 48]);
    expect(() => arena.allocate(1)).toThrow("expected at most 0 of the arena's 48 float32 values, got 1");
  });

  test('is not shared memory, which ONNX Runtime refuses', () => {
    expect(createArena(1).allocate(1).buffer).toBeInstanceOf(ArrayBuffer);
  });

  test('refuses counts and lengths out of range', () => {
    expect(() => createArena(2 ** 30 + 1)).toThrow(
      'createArena: expected 1 to 1073741824 float32 values (4 GiB), got 1073741825',
    );
    expect(() => createArena(0)).toThrow('got 0');
    expect(() => createArena(16).allocate(-1)).toThrow('Arena.allocate: expected a positive integer, got -1');
  });
});
