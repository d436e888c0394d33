import { describe, expect, test } from 'vitest';
import { createArena } from '../../src/optim/arena.ts';
import { createLayout, stackViewsOf, viewsOf } from '../../src/optim/layout.ts';

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

describe('stacks', () => {
  const stacks = { weights: ['q0.weight', 'q1.weight'], biases: ['q0.bias', 'q1.bias'] };
  const shapes = { 'q0.weight': [2, 3], 'q0.bias': [1], 'q1.weight': [2, 3], 'q1.bias': [1], shared: [5] };

  test('lie together without padding, where their first member is', () => {
    const { entries, length } = createLayout(shapes, stacks);
    expect(entries.map(({ name, offset }) => [name, offset])).toEqual([
      ['q0.weight', 0],
      ['q1.weight', 6],
      ['q0.bias', 16],
      ['q1.bias', 17],
      ['shared', 32],
    ]);
    expect(length).toBe(48);
  });

  test('are views of what their members are views of', () => {
    const layout = createLayout(shapes, stacks);
    const data = new Float32Array(layout.length);
    const members = viewsOf(layout, data);
    const { weights, biases } = stackViewsOf(layout, stacks, data);
    weights!.set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    biases!.set([20, 21]);
    expect([...members['q1.weight']!]).toEqual([6, 7, 8, 9, 10, 11]);
    expect([...members['q1.bias']!]).toEqual([21]);
  });

  test('refuse members of different shapes, and one that is not there', () => {
    expect(() => createLayout({ a: [2, 3], b: [3, 2] }, { ab: ['a', 'b'] })).toThrow(
      'createLayout: expected [2, 3] for "b" as for "a", got [3, 2]',
    );
    expect(() => createLayout({ a: [2] }, { ab: ['a', 'b'] })).toThrow(
      'createLayout: expected a shape for "b" of the stack of "a", got none',
    );
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
