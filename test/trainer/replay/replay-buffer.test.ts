import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { createBatch } from '../../../trainer/replay/batch.ts';
import { createReplayBuffer, type Transition } from '../../../trainer/replay/replay-buffer.ts';

const sizes = { capacity: 5, observationSize: 2, actionSize: 1 };

/** A transition whose every value tells its number. */
const transition = (i: number): Transition => ({
  observation: [i, i + 0.25],
  action: [-i],
  reward: 10 * i,
  nextObservation: [i + 1, i + 1.25],
  terminated: i % 2 === 1,
});

/** Numbers of the transitions in a sample, each checked field by field. */
function sampled(buffer: ReturnType<typeof createReplayBuffer>, size: number, seed = 1): number[] {
  const batch = createBatch({ size, observationSize: 2, actionSize: 1 });
  buffer.sample(createRandom(seed), batch);
  return Array.from({ length: size }, (_, b) => {
    const i = batch.observation[2 * b]!;
    expect(batch.observation[2 * b + 1]).toBe(i + 0.25);
    expect(batch.action[b]).toBe(-i);
    expect(batch.reward[b]).toBe(10 * i);
    expect([...batch.nextObservation.subarray(2 * b, 2 * b + 2)]).toEqual([i + 1, i + 1.25]);
    expect(batch.terminated[b]).toBe(i % 2);
    return i;
  });
}

describe('replay buffer', () => {
  test('samples whole transitions, and only those added', () => {
    const buffer = createReplayBuffer(sizes);
    for (const i of [1, 2, 3]) buffer.add(transition(i));
    expect(buffer.count).toBe(3);
    expect(new Set(sampled(buffer, 100))).toEqual(new Set([1, 2, 3]));
  });

  test('keeps the newest once it is full', () => {
    const buffer = createReplayBuffer(sizes);
    for (let i = 1; i <= 12; i++) buffer.add(transition(i));
    expect(buffer.count).toBe(5);
    expect(new Set(sampled(buffer, 200))).toEqual(new Set([8, 9, 10, 11, 12]));
  });

  test('knows the largest reward, whatever its sign, also of what it restored', () => {
    const buffer = createReplayBuffer(sizes);
    expect(buffer.largestReward).toBe(0);
    for (const reward of [2, -70, 30]) buffer.add({ ...transition(1), reward });
    expect(buffer.largestReward).toBe(70);
    const other = createReplayBuffer(sizes);
    other.add({ ...transition(1), reward: 1000 });
    other.restore(buffer.save());
    expect(other.largestReward).toBe(70);
    buffer.clear();
    expect(buffer.largestReward).toBe(0);
  });

  test('samples uniformly with replacement', () => {
    const buffer = createReplayBuffer(sizes);
    for (let i = 1; i <= 5; i++) buffer.add(transition(i));
    const counts = new Map<number, number>();
    for (const i of sampled(buffer, 10_000)) counts.set(i, (counts.get(i) ?? 0) + 1);
    // Standard deviation sqrt(10000 x .2 x .8) = 40 around 2000; 5 of them.
    for (let i = 1; i <= 5; i++) expect(Math.abs(counts.get(i)! - 2_000)).toBeLessThan(200);
  });

  test('draws depend on seed and position alone', () => {
    const buffer = createReplayBuffer(sizes);
    for (let i = 1; i <= 5; i++) buffer.add(transition(i));
    expect(sampled(buffer, 20, 7)).toEqual(sampled(buffer, 20, 7));
    expect(sampled(buffer, 20, 7)).not.toEqual(sampled(buffer, 20, 8));
  });

  test.each([3, 5, 8])('restores after %i transitions to the same samples, now and later', (added) => {
    const buffer = createReplayBuffer(sizes);
    for (let i = 1; i <= added; i++) buffer.add(transition(i));
    const saved = buffer.save();
    expect(saved.arrays.rows).toHaveLength(Math.min(added, 5) * 7); // a row: 2 + 1 + 2 + 1 + 1
    const copied = { state: saved.state, arrays: { rows: saved.arrays.rows.slice() } };
    const restored = createReplayBuffer(sizes);
    restored.add(transition(99));
    restored.restore(copied);
    expect(sampled(restored, 40)).toEqual(sampled(buffer, 40));
    for (const i of [20, 21, 22]) {
      buffer.add(transition(i));
      restored.add(transition(i));
    }
    expect(sampled(restored, 40)).toEqual(sampled(buffer, 40));
  });

  test('refuses values that are not finite in float32, and stays as it was', () => {
    const buffer = createReplayBuffer(sizes);
    buffer.add(transition(1));
    const refuse = (bad: Partial<Transition>, message: string) =>
      expect(() => buffer.add({ ...transition(2), ...bad })).toThrow(message);
    refuse(
      { observation: [0, Number.NaN] },
      'ReplayBuffer.add: observation[1]: expected a finite float32, got NaN. The simulation or the policy diverged',
    );
    refuse({ action: [1e39] }, 'ReplayBuffer.add: action[0]: expected a finite float32, got 1e+39');
    refuse({ nextObservation: [Number.NEGATIVE_INFINITY, 0] }, 'nextObservation[0]: expected a finite float32');
    refuse({ reward: Number.NaN }, 'ReplayBuffer.add: reward: expected a finite float32, got NaN');
    refuse({ action: [1, 2] }, 'ReplayBuffer.add: action: expected 1 values, got 2');
    expect(new Set(sampled(buffer, 10))).toEqual(new Set([1]));
  });

  test('refuses misuse', () => {
    expect(() => createReplayBuffer({ ...sizes, capacity: 0 })).toThrow(
      'replay buffer capacity: expected a positive integer, got 0',
    );
    const buffer = createReplayBuffer(sizes);
    const batch = createBatch({ size: 4, observationSize: 2, actionSize: 1 });
    expect(() => buffer.sample(createRandom(0), batch)).toThrow(
      'ReplayBuffer.sample: expected at least one transition in the buffer, got none. Of a step in which the simulator diverged nothing is kept',
    );
    buffer.add(transition(1));
    expect(() => buffer.sample(createRandom(0), createBatch({ size: 4, observationSize: 3, actionSize: 1 }))).toThrow(
      'ReplayBuffer.sample: expected a batch of 2 observation and 1 action values a row, got 3 and 1',
    );
    const saved = buffer.save();
    const other = createReplayBuffer({ ...sizes, capacity: 6 });
    expect(() => other.restore(saved)).toThrow('saved replay buffer: capacity: expected 6, got 5');
    expect(() => buffer.restore({ ...saved, arrays: { rows: new Float32Array(6) } })).toThrow(
      'saved replay buffer: rows: expected 7 values, got 6',
    );
    expect(() => buffer.restore({ ...saved, state: { ...saved.state, next: 4 } })).toThrow(
      'saved replay buffer: count and next: expected positions within 5, got 1 and 4',
    );
  });

  test('keeps the task of each transition, and refuses one that does not fit', () => {
    const tasks = { ...sizes, contextSize: 2 };
    const buffer = createReplayBuffer(tasks);
    for (const i of [1, 2, 3]) buffer.add({ ...transition(i), context: [i + 0.5, -i] });
    const batch = createBatch({ size: 50, observationSize: 2, actionSize: 1, contextSize: 2 });
    const sample = () => {
      buffer.sample(createRandom(1), batch);
      return Array.from({ length: 50 }, (_, b) => [
        batch.observation[2 * b]!,
        ...batch.context.subarray(2 * b, 2 * b + 2),
      ]);
    };
    for (const [i, first, second] of sample()) expect([first, second]).toEqual([i! + 0.5, -i!]);
    const restored = createReplayBuffer(tasks);
    restored.restore(buffer.save());
    restored.sample(createRandom(1), batch);
    expect(sample().map(([i]) => i)).toEqual(Array.from({ length: 50 }, (_, b) => batch.observation[2 * b]));
    expect(() => buffer.add(transition(4))).toThrow('ReplayBuffer.add: context: expected 2 values, got 0');
    expect(() => buffer.add({ ...transition(4), context: [1, Number.NaN] })).toThrow(
      'context[1]: expected a finite float32',
    );
    expect(() => buffer.sample(createRandom(1), createBatch({ size: 1, observationSize: 2, actionSize: 1 }))).toThrow(
      'ReplayBuffer.sample: expected a batch of 2 context values a row, got 0',
    );
    expect(() => createReplayBuffer(sizes).restore(buffer.save())).toThrow(
      'saved replay buffer: contextSize: expected 0, got 2',
    );
    expect(() => createReplayBuffer({ ...sizes, contextSize: -1 })).toThrow(
      'replay buffer contextSize: expected an integer of at least 0, got -1',
    );
  });

  test('names the memory that it cannot have', () => {
    expect(() => createReplayBuffer({ capacity: 1e12, observationSize: 17, actionSize: 6 })).toThrow(
      /^replay buffer: expected \d+ MiB of memory, got Invalid typed array length: .*\. Lower the capacity$/,
    );
  });
});
