/** A version for every evaluation of a run: each is the policy of its step, and the run is the same as without. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readPackage } from '../../src/package/package.ts';
import { readMetrics } from '../../trainer/run/metrics.ts';
import { train } from '../../trainer/train.ts';
import { forgetCheckpoints } from './killed-run.ts';

const scratch = mkdtempSync(join(tmpdir(), 'publish-every-'));
afterAll(() => rmSync(scratch, { recursive: true }));

function run(
  name: string,
  which: 'every' | 'last',
  stepCount: number,
  { resume = false, evaluationInterval = 100, checkpointInterval = 1000 } = {},
) {
  const config = {
    environment: 'Pendulum-v1',
    algorithm: { name: 'td3', critic: { architecture: 'mlp-small' }, actorHiddenSizes: [16], batchSize: 16 },
    loop: {
      ...{ stepCount, warmUpStepCount: 100, evaluationInterval, evaluationEpisodeCount: 1 },
      ...{ checkpointInterval, replayCapacity: 1000, seed: 3 },
    },
    threadCount: 1,
    publish: { store: join(scratch, 'store'), model: name, which },
  };
  return train({ config, runDirectory: join(scratch, name), stream: { write: () => true }, resume });
}

const policyOf = async (model: string, version: number) => {
  const { manifest } = await readPackage(join(scratch, 'store', model, String(version)));
  return { training: manifest.training, hash: manifest.files['policy.onnx']!.sha256 };
};

const metricsOf = (name: string) => readMetrics(join(scratch, name)).map((record) => ({ ...record, seconds: 0 }));

test('each version after the warm-up is what a run of so many steps gives', async () => {
  const every = await run('every', 'every', 300);
  // What is there already is not published again at the end.
  expect(every).toMatchObject({ published: undefined, publishedBefore: { model: 'every', version: 2, step: 300 } });
  await run('short', 'last', 200);
  await run('whole', 'last', 300);
  const [first, second] = [await policyOf('every', 1), await policyOf('every', 2)];
  expect([first.training.steps, second.training.steps]).toEqual([200, 300]);
  expect(first.training.evaluations.map(({ step }) => step)).toEqual([0, 100, 200]);
  expect(first.hash).toBe((await policyOf('short', 1)).hash);
  expect(second.hash).toBe((await policyOf('whole', 1)).hash);
  expect(metricsOf('every')).toEqual(metricsOf('whole'));
  // Nothing was chosen; the last evaluation is named.
  expect(second.training.bestEvaluationReturn).toBeUndefined();
  expect(second.training.lastEvaluationReturn).toBe(second.training.evaluations.at(-1)!.meanReturn);
});

test('a run that goes on from an earlier checkpoint publishes the evaluations that it did not have, and no other', async () => {
  await run('again', 'every', 400, { evaluationInterval: 200, checkpointInterval: 200 });
  rmSync(join(scratch, 'again', 'checkpoints', '400'), { recursive: true });
  await run('again', 'every', 400, { evaluationInterval: 100, checkpointInterval: 200, resume: true });
  const steps = [1, 2, 3].map(async (version) => (await policyOf('again', version)).training.steps);
  expect(await Promise.all(steps)).toEqual([200, 400, 300]);
  await expect(policyOf('again', 4)).rejects.toThrow();
});

test('a run that begins again because it has no checkpoint does not publish its evaluations twice', async () => {
  await run('early', 'every', 200);
  forgetCheckpoints(join(scratch, 'early'));
  const { published, publishedBefore } = await run('early', 'every', 300, { resume: true });
  expect([published, publishedBefore?.version, publishedBefore?.step]).toEqual([undefined, 2, 300]);
  expect((await policyOf('early', 1)).training.steps).toBe(200);
});

test('a run whose checkpoints are gone is not begun again: that would remove what it has learnt', async () => {
  await run('lost', 'every', 200);
  const kept = metricsOf('lost');
  rmSync(join(scratch, 'lost', 'checkpoints'), { recursive: true });
  for (const resume of [true, false]) {
    await expect(run('lost', 'every', 300, { resume })).rejects.toThrow(
      'expected the checkpoints of the run in it, got none, though train.log tells of some. Put them back to go on; to train anew name another directory with --run',
    );
  }
  expect(metricsOf('lost')).toEqual(kept);
});
