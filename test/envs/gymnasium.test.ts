/** Our environments against recordings of Gymnasium with native MuJoCo: compiled models, free runs and single transitions. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Env, EnvState } from '../../src/envs/env.ts';
import { halfCheetahModel } from '../../src/envs/models/half-cheetah.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { openSimulator } from '../../src/envs/simulator.ts';
import { type Recording, readRecording } from '../golden/envs/read.ts';

const cases: readonly { readonly name: string; readonly model: () => string }[] = [
  { name: 'HalfCheetah-v5', model: halfCheetahModel },
];

/** Gymnasium's word for a reward term, as ours. */
const termNames: Readonly<Record<string, string>> = {
  'info.reward_forward': 'rewardForward',
  'info.reward_ctrl': 'rewardControl',
  'info.reward_survive': 'rewardSurvive',
  'info.reward_contact': 'rewardContact',
  'info.x_velocity': 'xVelocity',
  'info.x_position': 'xPosition',
};

/** Largest |a - b| / (1 + |b|). */
function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    const gap = Math.abs(a[i]! - b[i]!) / (1 + Math.abs(b[i]!));
    if (!(gap <= largest)) largest = gap;
  }
  return largest;
}

/** The environment's state before a recorded row. */
function stateAt(env: Env, recording: Recording, row: number): EnvState {
  const like = env.save();
  const recorded = Object.fromEntries(
    Object.keys(like.arrays)
      .filter((key) => recording.columnNames.includes(key) && key !== 'observation')
      .map((key) => [key, recording.at(row, key)]),
  );
  return { env: env.name, stepCount: 0, ended: false, arrays: { ...like.arrays, ...recorded } };
}

describe.each(cases)('$name', ({ name, model }) => {
  const recording = readRecording(name);
  let env: Env;

  beforeAll(async () => {
    env = await createEnvironment(name);
    env.reset(0);
  });
  afterAll(() => env.dispose());

  it('compiles to the reference model, field by field, within 1e-12', async () => {
    const simulator = await openSimulator(model());
    const read = (field: string): ArrayLike<number> => {
      const [group, key] = field.includes('.') ? (field.split('.') as [string, string]) : ['', field];
      const holder = group === '' ? simulator.model : simulator.model[group as 'opt' | 'stat'];
      const value = (holder as unknown as Record<string, number | ArrayLike<number>>)[key]!;
      return typeof value === 'number' ? [value] : value;
    };
    const gaps = Object.entries(recording.model).map(
      ([field, expected]) => [field, difference(read(field), expected)] as const,
    );
    expect(gaps.filter(([, gap]) => !(gap <= 1e-12))).toEqual([]);
    simulator.dispose();
  });

  it('runs freely for 10 steps as the reference does, within 1e-9', () => {
    env.restore(stateAt(env, recording, 0));
    const end = Math.min(10, recording.episodeStarts[1] ?? 10);
    for (let row = 0; row < end; row++) {
      const result = env.step(recording.at(row, 'action'));
      expect(difference(result.observation, recording.at(row, 'observation'))).toBeLessThan(1e-9);
      expect(difference([result.reward], recording.at(row, 'reward'))).toBeLessThan(1e-9);
    }
  });

  it('makes each of 200 recorded transitions, within 1e-9', () => {
    expect(recording.rowCount).toBe(200);
    const terms = Object.entries(termNames).filter(([term]) => recording.columnNames.includes(term));
    const gaps: Record<string, number> = {};
    const note = (what: string, actual: ArrayLike<number>, expected: ArrayLike<number>) => {
      gaps[what] = Math.max(gaps[what] ?? 0, difference(actual, expected));
    };
    for (let row = 0; row < recording.rowCount; row++) {
      env.restore(stateAt(env, recording, row));
      const result = env.step(recording.at(row, 'action'));
      note('observation', result.observation, recording.at(row, 'observation'));
      note('reward', [result.reward], recording.at(row, 'reward'));
      note('terminated', [Number(result.terminated)], recording.at(row, 'terminated'));
      for (const [term, ours] of terms) note(ours, [result.info[ours]!], recording.at(row, term));
    }
    expect(Object.entries(gaps).filter(([, gap]) => !(gap < 1e-9))).toEqual([]);
  });

  it('has the reference time limit', () => {
    expect(env.episodeStepCountMax).toBe(recording.episodeStepCountMax);
  });
});
