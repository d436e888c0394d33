/** Studies take from a model what it says of its training: the range of its tasks, and what its steps count. */

import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { drawParameters, shapesOf } from '../../../src/nn/parameters.ts';
import { mlpPolicy } from '../../../src/nn/policies/mlp.ts';
import { publishPackage, readPackage } from '../../../src/package/package.ts';
import { generatedLayers } from '../../../trainer/analysis/dynamic-weights.ts';
import { accuracyPanels, studyGradients, type VersionAccuracy } from '../../../trainer/analysis/gradient-study.ts';
import type { ModelVersion } from '../../../trainer/analysis/model-versions.ts';
import { studyWeights, weightPanels } from '../../../trainer/analysis/weight-study.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { exportModel } from '../../../trainer/export/package.ts';
import { publishRandomPackage } from '../../random-package.ts';
import { temporaryStore } from '../../server/fixtures.ts';

const goals = [3, -3] as const;
const inputCount = 4;

/** A plain policy, and two versions of one that is generated: of the same networks, but trained in other tasks, all near (g, g). */
async function publishedModels(): Promise<{ plain: ModelVersion; hyper: ModelVersion[] }> {
  const store = await temporaryStore();
  const { specs, name, dispose } = await createEnvironment('Point-Robot');
  dispose();
  const environment = { name, ...specs };
  const [model, sizes] = ['hyper', { hiddenSize: 8, trunkSizes: [8] }];
  const hyper: ModelVersion[] = [];
  for (const [i, goal] of goals.entries()) {
    const random = { store, model, environment, ...sizes };
    const published = await publishRandomPackage({ ...random, policy: 'hyper', critic: 'plain' });
    const path = join(published.directory, 'manifest.json');
    const manifest = JSON.parse(await readFile(path, 'utf8'));
    Object.assign(manifest, { algorithm: 'pearl' });
    const taskRange = { low: [goal, goal], high: [goal + 1e-3, goal + 1e-3] };
    Object.assign(manifest.training, { steps: 15 * (i + 1), taskRange });
    await writeFile(path, JSON.stringify(manifest));
    hyper.push({ model, ...published });
  }
  const policy = mlpPolicy('mlp', 'deterministic', { observationSize: 2, actionSize: 2, contextSize: 2 }, [8]);
  const parameters = { views: drawParameters(policy.specs, createRandom(4)), shapes: shapesOf(policy.specs) };
  const content = exportModel({
    ...{ model: 'plain', algorithm: 'random', environment: name, specs, rewardScale: 1, critic: null },
    policy: { policy, parameters, scaling: actionScaling(specs.action) },
    training: { config: {}, seed: 1, steps: 0, evaluations: [], sourceRevision: 'test' },
    engine: createTracedEngine({ threadCount: 1 }),
  });
  return { hyper, plain: { model: 'plain', ...(await publishPackage({ store, model: 'plain', ...content })) } };
}

test('weights are generated for tasks of the range that the model was trained in', async () => {
  const { plain, hyper } = await publishedModels();
  const study = await studyWeights({
    ...{ versions: hyper, against: plain, network: 'policy', inputCount, binCount: 10, seed: 0 },
  });
  const env = await createEnvironment('Point-Robot');
  for (const [i, goal] of goals.entries()) {
    const tasks = {
      ...env.tasks!,
      sample: () => Array.from({ length: inputCount }, () => Float64Array.of(goal, goal)),
    };
    const content = await readPackage(hyper[i]!.directory);
    const [layer] = generatedLayers(content, 'policy', { env: { ...env, tasks }, inputCount, seed: 0 });
    const expected = layer!.weights.reduce((sum, value) => sum + value, 0) / layer!.weights.length;
    expect(study.generated[i]!.parts[0]!.mean).toBeCloseTo(expected, 3);
  }
  env.dispose();
  const [first, second] = study.generated.map(({ parts }) => parts[0]!.mean);
  expect(first).not.toBeCloseTo(second!, 2);
  expect(weightPanels(study)[0]!.curves.map(({ label }) => label)).toEqual([
    'hyper@1, hyper, iteration 15',
    'hyper@2, hyper, iteration 30',
    'plain@1, mlp, step 0',
  ]);
});

test('gradients are of tasks of the range that each version was trained in', async () => {
  const { hyper } = await publishedModels();
  const returns = { discount: 0.9, holdStepCount: 1, bootstraps: false };
  const settings = { ...returns, stateCount: 3, actionCount: 4, noise: 0.3, reduction: 'q1', seed: 0 } as const;
  const studied = async (versions: readonly ModelVersion[]) => {
    const records: VersionAccuracy[] = [];
    for await (const record of studyGradients({ versions, settings, thresholds: [] })) records.push(record);
    return records;
  };
  const both = await studied(hyper);
  expect(both[0]!.cosines).not.toEqual(both[1]!.cosines);
  expect(await studied([hyper[1]!])).toEqual([both[1]]);
  expect(accuracyPanels(both, [])[0]!.stepTitle).toBe('training iterations');
  expect(accuracyPanels([...both, { ...both[0]!, model: 'td3', stepUnit: 'steps' }], [])[0]!.stepTitle).toBe(
    'training iterations or steps',
  );
});
