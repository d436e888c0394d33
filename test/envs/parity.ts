/**
 * Compares an environment with a recording of its reference: a free run, single transitions from recorded states, reset
 * moments and the compiled model. Gives the largest differences by name; the caller decides what is too much.
 */

import type { Env, EnvState } from '../../src/envs/env.ts';
import type { Moments, Recording } from '../golden/envs/read.ts';

/** Gymnasium's words for what explains a step, as ours. */
const infoNames: Readonly<Record<string, string>> = {
  'info.reward_forward': 'rewardForward',
  // Older names: Ant-v4 has the first beside the new one, HalfCheetah-v4 has the second alone.
  'info.forward_reward': 'rewardForward',
  'info.reward_run': 'rewardForward',
  'info.reward_ctrl': 'rewardControl',
  'info.reward_survive': 'rewardSurvive',
  'info.reward_contact': 'rewardContact',
  'info.x_velocity': 'xVelocity',
  'info.y_velocity': 'yVelocity',
  'info.x_position': 'xPosition',
  'info.y_position': 'yPosition',
  'info.z_distance_from_origin': 'zDistanceFromOrigin',
  'info.distance_from_origin': 'distanceFromOrigin',
  'info.distance': 'distance',
};

/** Where our step means something else on purpose: v4's Ant gives the lagging frame's position, here it is the coordinate. */
const omitted: Readonly<Record<string, readonly string[]>> = {
  'Ant-v4': ['info.x_position', 'info.y_position', 'info.distance_from_origin'],
};

export type Gaps = Record<string, number>;

/**
 * The recorded columns of `info` that are compared, and our names for them.
 * @throws Error: a column that is neither mapped nor left out on purpose
 */
export function infoColumns(recording: Recording): ReadonlyMap<string, string> {
  const left = omitted[recording.environment] ?? [];
  const columns = recording.columnNames.filter((column) => column.startsWith('info.') && !left.includes(column));
  return new Map(
    columns.map((column) => {
      const ours = infoNames[column];
      if (ours !== undefined) return [column, ours];
      throw new Error(
        `${recording.environment}: expected each info column in infoNames or omitted (test/envs/parity.ts), got "${column}" in neither`,
      );
    }),
  );
}

/** Largest |a - b| / (1 + |b|); infinite where sizes differ or a value is not a number. */
export function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return Infinity;
  let largest = 0;
  for (let i = 0; i < b.length; i++) {
    const gap = Math.abs(a[i]! - b[i]!) / (1 + Math.abs(b[i]!));
    if (Number.isNaN(gap)) return Infinity;
    largest = Math.max(largest, gap);
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

/** Steps once with a recorded action and notes the differences from what the reference gave. */
function compareStep(env: Env, recording: Recording, row: number, gaps: Gaps): void {
  const note = (what: string, actual: ArrayLike<number>, column: string) => {
    gaps[what] = Math.max(gaps[what] ?? 0, difference(actual, recording.at(row, column)));
  };
  const result = env.step(recording.at(row, 'action'));
  note('observation', result.observation, 'observation');
  note('reward', [result.reward], 'reward');
  note('terminated', [Number(result.terminated)], 'terminated');
  for (const [column, ours] of infoColumns(recording)) note(ours, [result.info[ours]!], column);
}

/** From the first recorded state, `stepCount` steps on our own simulator; fewer where the first episode ends. */
export function compareFreeRun(env: Env, recording: Recording, stepCount: number): Gaps {
  const gaps: Gaps = {};
  env.reset(0);
  env.restore(stateAt(env, recording, 0));
  const end = Math.min(stepCount, recording.episodeStarts[1] ?? stepCount);
  for (let row = 0; row < end; row++) compareStep(env, recording, row, gaps);
  return gaps;
}

/** Each recorded transition by itself, from its recorded state. */
export function compareTransitions(env: Env, recording: Recording): Gaps {
  const gaps: Gaps = {};
  env.reset(0);
  for (let row = 0; row < recording.rowCount; row++) {
    env.restore(stateAt(env, recording, row));
    compareStep(env, recording, row, gaps);
  }
  return gaps;
}

/** The recorded fields of a compiled model. */
export function compareModel(model: object, recording: Recording): Gaps {
  const fields = Object.entries(recording.model ?? {});
  return Object.fromEntries(
    fields.map(([field, expected]) => {
      const value = field.split('.').reduce<unknown>((holder, key) => (holder as Record<string, unknown>)[key], model);
      return [field, difference(typeof value === 'number' ? [value] : (value as ArrayLike<number>), expected)];
    }),
  );
}

/** Mean, standard deviation, kurtosis and extremes of pooled values. */
function momentsOf(values: readonly number[]): Moments {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const power = (k: number) => values.reduce((sum, value) => sum + (value - mean) ** k, 0) / values.length;
  const deviation = Math.sqrt(power(2));
  return {
    mean,
    deviation,
    kurtosis: power(4) / deviation ** 4,
    lowest: Math.min(...values),
    highest: Math.max(...values),
  };
}

/** Moments of our own reset noise over `count` seeds, as a recording has those of its reference. */
export function resetMoments(env: Env, recording: Recording, count: number): NonNullable<Recording['resets']> {
  const reference = recording.model?.qpos0;
  const position: number[] = [];
  const velocity: number[] = [];
  for (let seed = 0; seed < count; seed++) {
    env.reset(seed);
    const { qpos, qvel, angle, speed } = env.save().arrays;
    (qpos ?? angle)!.forEach((value, i) => {
      position.push(value - (reference?.[i] ?? 0));
    });
    velocity.push(...(qvel ?? speed)!);
  }
  return { position: momentsOf(position), velocity: momentsOf(velocity) };
}
