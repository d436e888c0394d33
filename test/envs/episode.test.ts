/** Misuse with its full message, and simulators that diverge. */

import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Env, EnvState } from '../../src/envs/env.ts';
import { halfCheetahModel } from '../../src/envs/models/half-cheetah.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { openSimulator } from '../../src/envs/simulator.ts';

let env: Env;
beforeEach(async () => {
  env = await createEnvironment('HalfCheetah-v5');
  env.reset(1);
});
afterEach(() => env.dispose());

const zero = new Float32Array(6);

/** A state with the torso's forward velocity replaced. */
function withSpeed(state: EnvState, speed: number) {
  const copy = structuredClone(state);
  copy.arrays.qvel![0] = speed;
  return copy;
}

it('names the environment, the size expected and the size given', () => {
  expect(() => env.step([0, 0, 0, 0, 0])).toThrow('HalfCheetah-v5.step: expected 6 action values, got 5');
});

it('names the action value that is not finite', () => {
  expect(() => env.step([0, 0, Number.NaN, 0, 0, 0])).toThrow(
    'HalfCheetah-v5.step: expected a finite action value 2 (back-foot.torque), got NaN',
  );
});

it('says how long the episode was that has ended', () => {
  for (let i = 0; i < 999; i++) expect(env.step(zero).truncated).toBe(false);
  expect(env.step(zero)).toMatchObject({ truncated: true, terminated: false, diverged: false });
  expect(() => env.step(zero)).toThrow(
    'HalfCheetah-v5.step: expected an episode in progress, got one that ended after 1000 steps. Call reset first',
  );
});

it('is terminated only where the task ends in the last step of its time limit', async () => {
  const pendulum = await createEnvironment('InvertedPendulum-v5');
  pendulum.reset(1);
  const state = pendulum.save();
  state.arrays.qpos![1] = 0.5; // rad; the limit is 0.2
  pendulum.restore({ ...state, stepCount: 999 });
  expect(pendulum.step([0])).toMatchObject({ terminated: true, truncated: false });
  expect(() => pendulum.step([0])).toThrow('one that ended after 1000 steps');
  pendulum.dispose();
});

it.each([1e200, 1e11, Number.NaN])('flags a truncation where the simulator becomes unstable (velocity %d)', (speed) => {
  env.restore(withSpeed(env.save(), speed));
  const before = env.save().arrays.observation!;
  const result = env.step(zero);
  expect(result).toMatchObject({ reward: 0, terminated: false, truncated: true, diverged: true });
  expect(result.observation).toEqual(before);
  expect(() => env.step(zero)).toThrow('one that ended after 1 steps');
});

it('runs normally again after a reset or a restore', () => {
  const good = env.save();
  const expected = env.step(zero).observation.slice();
  env.restore(withSpeed(good, 1e200));
  expect(env.step(zero).diverged).toBe(true);
  env.restore(good);
  expect(env.step(zero).observation).toEqual(expected);
  env.reset(1);
  expect(env.step(zero).observation).toEqual(expected);
  env.restore(withSpeed(good, 1e200));
  expect(env.step(zero).diverged).toBe(true);
});

it('gives its memory back when disposed', async () => {
  const memoryAfter = async (count: number) => {
    for (let i = 0; i < count; i++) (await openSimulator(halfCheetahModel(), { ownModel: true })).dispose();
    const simulator = await openSimulator(halfCheetahModel());
    const { byteLength } = simulator.qpos.buffer;
    simulator.dispose();
    return byteLength;
  };
  const early = await memoryAfter(10);
  expect(await memoryAfter(60)).toBe(early);
});

it('keeps its views when the simulator memory grows in the middle of an episode', async () => {
  const actions = Array.from({ length: 12 }, (_, i) => zero.map((_, j) => Math.sin(i + j)));
  const alone = actions.map((action) => env.step(action).observation.slice());
  env.reset(1);
  const others: Env[] = [];
  for (const [i, action] of actions.entries()) {
    for (let k = 0; k < 3; k++) others.push(await createEnvironment('HalfCheetah-v5'));
    expect(env.step(action).observation).toEqual(alone[i]);
  }
  for (const other of others) other.dispose();
});
