/** TensorBoard's event files: their bytes, the names of the scalars, and what the real TensorBoard reads. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openRecords } from '../../../trainer/run/records.ts';
import { crc32c, openEventFile } from '../../../trainer/seeing/event-file.ts';
import { createScalars } from '../../../trainer/seeing/scalars.ts';
import { testWith } from '../../requirements.ts';

const python = process.env.HYPERPOLICY_PYTHON ?? 'python3';
const hasTensorBoard = spawnSync(python, ['-c', 'import tensorboard']).status === 0;
const withTensorBoard = testWith(hasTensorBoard, 'TensorBoard', 'Run python3 -m pip install tensorboard');

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tensorboard-test-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

test('the checksum is CRC-32C', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283);
  // RFC 3720, appendix B.4.
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
});

test('a record is length, checksum, event, checksum', () => {
  const file = openEventFile(directory, { wallTimeS: 1.5 });
  file.write(7, 2, [{ tag: 'a/b', value: 0.5 }]);
  file.write(8, 2, []);
  file.close();
  const bytes = readFileSync(join(directory, readdirSync(directory)[0]!));
  // Field 1, double 1.5; field 3, 13 bytes of text.
  const head = Buffer.from([...[0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f], ...[0x1a, 13], ...Buffer.from('brain.Event:2')]);
  expect(bytes.readBigUInt64LE(0)).toBe(BigInt(head.length));
  expect(bytes.subarray(12, 12 + head.length)).toEqual(head);
  // Field 1, double 2; field 2, 7; field 5 with a value: tag, float 0.5.
  const value = [...[0x0a, 3], ...Buffer.from('a/b'), ...[0x15, 0, 0, 0, 0x3f]];
  const event = [
    ...[0x09, 0, 0, 0, 0, 0, 0, 0, 0x40],
    ...[0x10, 7],
    0x2a,
    value.length + 2,
    0x0a,
    value.length,
    ...value,
  ];
  const second = 16 + head.length;
  expect(bytes.readBigUInt64LE(second)).toBe(BigInt(event.length));
  expect([...bytes.subarray(second + 12, second + 12 + event.length)]).toEqual(event);
  // The event without scalars is not there.
  expect(bytes.length).toBe(second + event.length + 16);
});

describe('the scalars of a record', () => {
  test('have the names of Stable-Baselines3, means of the last 100 episodes, and steps a second', () => {
    const scalars = createScalars({ stepsAreEnvironmentSteps: true });
    expect(scalars({ step: 0, seconds: 0, evaluationReturn: -3, evaluationLength: 20, outOfRangeReturn: 1 })).toEqual([
      { tag: 'eval/mean_reward', value: -3 },
      { tag: 'eval/mean_ep_length', value: 20 },
      { tag: 'eval/out_of_range_return', value: 1 },
    ]);
    expect(scalars({ step: 300, seconds: 2, criticLoss: 0.25, alpha: 0.1, targetMean: Number.NaN })).toEqual([
      { tag: 'train/critic_loss', value: 0.25 },
      { tag: 'train/ent_coef', value: 0.1 },
      { tag: 'time/fps', value: 150 },
    ]);
    for (let i = 0; i < 100; i++) scalars({ step: 300, seconds: 2, episodeReturn: 1, episodeLength: 50 });
    // 99 episodes of 1 and one of 101.
    expect(scalars({ step: 301, seconds: 2, episodeReturn: 101, episodeLength: 50 })).toEqual([
      { tag: 'rollout/ep_rew_mean', value: 2 },
      { tag: 'rollout/ep_len_mean', value: 50 },
    ]);
  });

  test('of iterations have the return of training under the name of Stable-Baselines3 too', () => {
    const scalars = createScalars({ stepsAreEnvironmentSteps: false });
    expect(scalars({ step: 1, seconds: 0, preReturn: -5, postReturn: -3 })).toEqual([
      { tag: 'train/pre_return', value: -5 },
      { tag: 'train/post_return', value: -3 },
      { tag: 'rollout/ep_rew_mean', value: -3 },
    ]);
    // Each is the mean of an iteration's episodes: not of the last hundred iterations.
    expect(scalars({ step: 2, seconds: 0, trainReturn: -1 })).toEqual([
      { tag: 'train/train_return', value: -1 },
      { tag: 'rollout/ep_rew_mean', value: -1 },
    ]);
  });

  test('count environment steps where a step is something else', () => {
    const scalars = createScalars({ stepsAreEnvironmentSteps: false });
    scalars({ step: 1, seconds: 10, environmentSteps: 500 });
    // 600 steps in 4 s; the first record begins the time.
    expect(scalars({ step: 2, seconds: 14, environmentSteps: 600 })).toContainEqual({ tag: 'time/fps', value: 150 });
  });
});

withTensorBoard('TensorBoard reads a run that went on from a checkpoint', () => {
  const read = () => {
    const script = join(import.meta.dirname, 'read-events.py');
    const text = execFileSync(python, [script, join(directory, 'tensorboard')], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return JSON.parse(String(text)) as Record<string, [number, number][]>;
  };
  const first = openRecords({ runDirectory: directory, stepUnit: 'steps' }, undefined);
  first.write({ step: 100, seconds: 1, episodeReturn: 5, episodeLength: 100 });
  first.write({ step: 150, seconds: 2, criticLoss: 0.5 });
  first.write({ step: 150, seconds: 2, evaluationReturn: -3 });
  first.write({ step: 200, seconds: 3, episodeReturn: 9, episodeLength: 100 });
  first.close();
  expect(read()).toMatchObject({
    'rollout/ep_rew_mean': [
      [100, 5],
      [200, 7],
    ],
  });
  // The evaluation of step 150 ran until after the checkpoint, and the second episode came after it.
  const resumed = openRecords({ runDirectory: directory, stepUnit: 'steps' }, { step: 150, recordCount: 2 });
  resumed.write({ step: 150, seconds: 2, evaluationReturn: -3 });
  resumed.write({ step: 210, seconds: 3, episodeReturn: 1, episodeLength: 110 });
  resumed.close();
  expect(read()).toEqual({
    'rollout/ep_rew_mean': [
      [100, 5],
      [210, 3],
    ],
    'rollout/ep_len_mean': [
      [100, 100],
      [210, 105],
    ],
    'train/critic_loss': [[150, 0.5]],
    'eval/mean_reward': [[150, -3]],
    'time/fps': [
      [150, 50],
      [210, 55],
    ],
  });
});
