/** A run that goes on after its metrics were cut: it says how many are lost, and events that were whole stay. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readMetrics } from '../../../trainer/run/metrics.ts';
import { train } from '../../../trainer/train.ts';

const runDirectory = mkdtempSync(join(tmpdir(), 'lost-metrics-'));
afterAll(() => rmSync(runDirectory, { recursive: true }));

async function run(stepCount: number, resume = false): Promise<string> {
  const config = {
    environment: 'Pendulum-v1',
    algorithm: { name: 'td3', critic: { architecture: 'mlp-small' }, actorHiddenSizes: [16], batchSize: 16 },
    loop: { stepCount, warmUpStepCount: 100, evaluationInterval: 100, evaluationEpisodeCount: 1, replayCapacity: 1000 },
    threadCount: 1,
  };
  const shown: string[] = [];
  await train({ config, runDirectory, stream: { write: (text) => shown.push(text) > 0 }, resume });
  return shown.join('');
}

test('records that the checkpoint counts and metrics.jsonl lacks are told of, and their events stay', async () => {
  await run(200);
  const whole = readMetrics(runDirectory);
  const metrics = join(runDirectory, 'metrics.jsonl');
  truncateSync(metrics, readFileSync(metrics, 'utf8').indexOf('\n') + 5);
  const warning = `metrics.jsonl has 1 of the ${whole.length} records that checkpoint 200 counts`;
  expect(whole.length).toBeGreaterThan(2);
  expect(await run(220, true)).toContain(`warning: ${warning}`);
  expect(readFileSync(join(runDirectory, 'train.log'), 'utf8')).toContain(warning);
  expect(readMetrics(runDirectory)[0]).toEqual(whole[0]);
  const tensorBoard = join(runDirectory, 'tensorboard');
  const events = readFileSync(join(tensorBoard, readdirSync(tensorBoard).sort()[1]!));
  // Field 2, the step, is 201; field 7, the log of the session, has its start.
  expect(events.includes(Buffer.from([0x10, 0xc9, 0x01, 0x3a, 2, 0x08, 1]))).toBe(true);

  // Nothing is said of a run that has all of its records.
  expect(await run(240, true)).not.toContain('metrics.jsonl has');
});
