/** Buffers of several tasks: apart from each other, the encoder's apart from the updates', sequences from the begin of an episode. */

import { expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { createBatch, partsOf } from '../../../trainer/replay/batch.ts';
import { createTaskReplay } from '../../../trainer/replay/task-replay.ts';

const sizes = { observationSize: 1, actionSize: 1 };
const options = { taskCount: 2, capacity: 8, contextCapacity: 6, ...sizes };
const create = () => createTaskReplay(options);
const createWithoutEncoder = () => createTaskReplay({ ...options, contextCapacity: undefined });
const transition = (value: number) => ({
  observation: [value],
  action: [0],
  reward: 0,
  nextObservation: [value + 1],
  terminated: false,
});
const episode = (from: number, length: number) => Array.from({ length }, (_, i) => transition(from + i));

test('each task has transitions of its own, and those of the encoder are a part of them', () => {
  const [first, second] = create().tasks;
  first!.addEpisode(episode(0, 3));
  first!.add(transition(100));
  second!.addEpisode(episode(50, 2));
  const batch = createBatch({ size: 64, ...sizes });
  const [a, b] = partsOf(batch, 2);
  first!.sample(createRandom(1), a!);
  second!.sample(createRandom(1), b!);
  expect(new Set(batch.observation.subarray(0, 32))).toEqual(new Set([0, 1, 2, 100]));
  expect(new Set(batch.observation.subarray(32))).toEqual(new Set([50, 51]));
  first!.context!.sample(createRandom(2), a!);
  expect(new Set(a!.observation)).toEqual(new Set([0, 1, 2]));
});

test('updates may learn from another reward than the encoder sees', () => {
  const rewardOf = (task: number, { nextObservation }: { nextObservation: ArrayLike<number> }) =>
    100 * task + nextObservation[0]!;
  const [, task] = createTaskReplay({ ...options, rewardOf }).tasks;
  task!.addEpisode(episode(0, 2));
  task!.add(transition(6));
  const batch = createBatch({ size: 64, ...sizes });
  task!.sample(createRandom(1), batch);
  expect(new Set(batch.reward)).toEqual(new Set([101, 102, 107]));
  task!.context!.sample(createRandom(1), batch);
  expect(new Set(batch.reward)).toEqual(new Set([0]));
});

test('recent data: what the encoder saw before is forgotten, what updates see is not', () => {
  const [task] = create().tasks;
  task!.addEpisode(episode(0, 2));
  task!.context!.clear();
  const batch = createBatch({ size: 32, ...sizes });
  expect(() => task!.context!.sample(createRandom(1), batch)).toThrow(
    'at least one transition in the buffer, got none',
  );
  task!.addEpisode(episode(10, 2));
  task!.context!.sample(createRandom(1), batch);
  expect(new Set(batch.observation)).toEqual(new Set([10, 11]));
  expect(task!.count).toBe(4);
});

test('a sequence begins with an episode and goes on in order, also after the oldest were overwritten', () => {
  const [task] = create().tasks;
  for (const from of [0, 10, 20]) task!.addEpisode(episode(from, 3));
  // Six are kept: 10 11 12 20 21 22.
  const batch = createBatch({ size: 4, ...sizes });
  const seen = new Set<string>();
  const random = createRandom(3);
  for (let i = 0; i < 40; i++) {
    task!.context!.sampleSequence(random, batch);
    seen.add([...batch.observation].join(' '));
  }
  expect(seen).toEqual(new Set(['10 11 12 20', '20 21 22 10']));
});

test('what was saved and restored samples the same', () => {
  const from = create();
  from.tasks[0]!.addEpisode(episode(0, 5));
  from.tasks[0]!.addEpisode(episode(10, 4));
  from.tasks[1]!.addEpisode(episode(20, 2));
  const to = create();
  to.restore(from.save());
  const drawn = [from, to].map(({ tasks }) => {
    const batch = createBatch({ size: 16, ...sizes });
    const [sampled, sequence] = partsOf(batch, 2);
    tasks[0]!.sample(createRandom(4), sampled!);
    tasks[0]!.context!.sampleSequence(createRandom(5), sequence!);
    return [...batch.observation];
  });
  expect(drawn[0]).toEqual(drawn[1]);
});

test('without an encoder nothing is kept for one; what a replay with both saved is restored without its part', () => {
  const [from, to] = [create(), createWithoutEncoder()];
  for (const { tasks } of [from, to]) {
    tasks[0]!.addEpisode(episode(0, 3));
    tasks[1]!.add(transition(20));
  }
  expect(to.tasks[0]!.context).toBeUndefined();
  const saved = to.save();
  expect(Object.keys(saved.arrays)).toEqual(['all0', 'all1']);
  const restored = createWithoutEncoder();
  restored.restore(structuredClone(from.save()));
  expect(restored.save()).toEqual(saved);
});

test('the bound counts every row of every buffer', () => {
  // Observation, action, next observation, reward, terminated: 5 floats; 8 + 6 rows of 2 tasks.
  expect(create().byteCountMax).toBe(2 * (8 + 6) * 5 * 4);
  expect(createWithoutEncoder().byteCountMax).toBe(2 * 8 * 5 * 4);
});
