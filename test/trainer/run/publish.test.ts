/** The record of the training in a version that a run publishes. */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { readPackage } from '../../../src/package/package.ts';
import { loadAlgorithm } from '../../../trainer/algorithms/registry.ts';
import { createEngine } from '../../../trainer/engine/choose.ts';
import { completeConfig } from '../../../trainer/run/complete-config.ts';
import { openEnvironment } from '../../../trainer/run/environment/open.ts';
import { environmentPlace } from '../../../trainer/run/environment-place.ts';
import { publishRun } from '../../../trainer/run/publish.ts';

test('of more evaluations than a manifest holds it has some at equal distances, the best and the last', async () => {
  const runDirectory = await mkdtemp(join(tmpdir(), 'publish-test-'));
  onTestFinished(() => rm(runDirectory, { recursive: true }));
  const publish = { store: join(runDirectory, 'store'), model: 'm', which: 'last' as const };
  const algorithm = await loadAlgorithm('td3');
  const config = completeConfig(algorithm, {
    environment: 'Pendulum-v1',
    algorithm: { name: 'td3', critic: { architecture: 'mlp-small' }, actorHiddenSizes: [4] },
    loop: { evaluationEpisodeCount: 1 },
    ...{ threadCount: 1, publish },
  });
  const environment = await openEnvironment(environmentPlace(config), { signal: undefined, tell() {} });
  onTestFinished(() => environment.dispose());
  const engine = await createEngine('traced', { threadCount: 1, device: 'cpu' });
  const training = await algorithm.open({ config, environment, engine });
  onTestFinished(() => training.dispose());
  const of = async (count: number) => {
    const evaluations = Array.from({ length: count }, (_, i) => ({
      ...{ step: 10 * i, meanReturn: i === 3_001 ? 5 : -1 - i, standardDeviation: 1, episodeCount: 1 },
    }));
    const { published } = await publishRun({
      ...{ training, config, publish, runDirectory, engine, resume: false, specs: environment.specs },
      run: { step: 10 * count, best: evaluations[3_001], evaluations },
      log: { info() {}, warn() {} },
    });
    const { manifest } = await readPackage(published!.directory);
    expect(manifest.training.lastEvaluationReturn).toBe(-count);
    return { evaluations, recorded: manifest.training.evaluations };
  };

  const few = await of(4_096);
  expect(few.recorded).toEqual(few.evaluations);

  const { evaluations, recorded } = await of(40_000);
  // 40,000 of at most 4,094 at equal distances: each tenth, 4,000 of them.
  const tenths = evaluations.filter((_, i) => i % 10 === 0);
  expect(recorded).toEqual([...tenths.slice(0, 301), evaluations[3_001], ...tenths.slice(301), evaluations[39_999]]);
});
