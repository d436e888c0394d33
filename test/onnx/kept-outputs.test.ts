import { describe, expect, test } from 'vitest';
import { createOutputMemory, keepOutputs } from '../../src/onnx/kept-outputs.ts';
import { floatTensor, openSession, type TensorInfo } from '../../src/onnx/session.ts';
import { exponential, smallAndLarge } from './graphs.ts';

const float = (name: string, ...shape: (number | string)[]): TensorInfo => ({ name, dtype: 'float32', shape });
const rows = (count: number) => ({ x: floatTensor(new Float32Array(count * 3), [count, 3]) });

describe('kept outputs', () => {
  test('have the shapes that the feeds give them, side by side in memory that is used again', () => {
    const outputsFor = keepOutputs({ inputs: [float('x', 'K', 3)], outputs: [float('w', 'K', 2, 2), float('b', 'K')] });
    const first = outputsFor(rows(5))!;
    expect([first.w!.dims, first.b!.dims]).toEqual([[5, 2, 2], [5]]);
    const second = outputsFor(rows(4))!;
    expect([second.w!.dims, second.b!.dims]).toEqual([[4, 2, 2], [4]]);
    const places = [first.w!, second.w!, second.b!].map(({ data }) => data as Float32Array);
    expect(new Set(places.map(({ buffer }) => buffer)).size).toBe(1);
    expect(places.map(({ byteOffset }) => byteOffset)).toEqual([0, 0, 4 * 16]);
  });

  test('of sessions that run by turns lie in the same memory', () => {
    const memory = createOutputMemory();
    const shape = { inputs: [float('x', 'K', 3)], outputs: [float('y', 'K')] };
    const [first, second] = [keepOutputs(shape, memory), keepOutputs(shape, memory)];
    for (const outputsFor of [first, second]) {
      const { data } = outputsFor(rows(5))!.y!;
      expect((data as Float32Array).buffer).toBe(memory.floats.buffer);
    }
  });

  test('are not kept where a size is not known beforehand, where they are no floats, and where they are large', () => {
    const inputs = [float('x', 'K', 3)];
    expect(keepOutputs({ inputs, outputs: [float('y', 'found')] })(rows(1))).toBeUndefined();
    // Sizes without a name are nothing alike.
    expect(keepOutputs({ inputs: [float('x', '', 3)], outputs: [float('y', '')] })(rows(1))).toBeUndefined();
    expect(keepOutputs({ inputs, outputs: [{ ...float('y', 'K'), dtype: 'int64' }] })(rows(1))).toBeUndefined();
    const large = keepOutputs({ inputs, outputs: [float('y', 'K', 2 ** 20)] });
    expect(large(rows(4))!.y!.size).toBe(2 ** 22);
    expect(large(rows(5))).toBeUndefined();
  });

  test.each([
    ['small', exponential(2), 3],
    ['large', exponential(2), 20_000],
  ])('of a %s run hold what a run into fresh memory gives', (_, model, rowCount) => {
    const session = openSession(model, { threadCount: 1 });
    const outputsFor = keepOutputs(session);
    for (const shift of [0, 1]) {
      const values = Float32Array.from({ length: rowCount * 2 }, (_, i) => Math.sin(i + shift));
      const feeds = { x: floatTensor(values, [rowCount, 2]) };
      expect(session.run(feeds, outputsFor(feeds)).y!.data).toEqual(session.run(feeds).y!.data);
    }
    session.dispose();
  });

  test('of several sizes too', () => {
    const session = openSession(smallAndLarge(20_000), { threadCount: 1 });
    const feeds = {
      x: floatTensor(
        Float32Array.from({ length: 20_000 }, (_, i) => i),
        [20_000],
      ),
    };
    const fresh = session.run(feeds);
    const kept = session.run(feeds, keepOutputs(session)(feeds));
    expect([kept.mean!.data, kept.more!.data]).toEqual([fresh.mean!.data, fresh.more!.data]);
    session.dispose();
  });
});
