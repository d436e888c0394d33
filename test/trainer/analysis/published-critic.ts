/** A package for Point-Robot with twin critics of any kind, which read the task, and a small policy beside them. */

import { createRandom } from '../../../src/contract/random.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import { drawParameters, shapesOf } from '../../../src/nn/parameters.ts';
import { type ModelPackage, publishPackage, readPackage } from '../../../src/package/package.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { exportModel } from '../../../trainer/export/package.ts';
import { randomPolicy } from '../../../trainer/export/random-package.ts';
import { temporaryStore } from '../../server/fixtures.ts';

export const rewardScale = 5;

export async function publishCritic(config: Parameters<typeof createCritic>[0]): Promise<ModelPackage> {
  const env = await createEnvironment('Point-Robot');
  const { specs, name } = env;
  env.dispose();
  const sizes = { observationSize: 2, actionSize: 2, contextSize: 2 };
  const critic = createCritic(config, { ...sizes, ensembleSize: 2 });
  const parameters = { views: drawParameters(critic.specs, createRandom(4)), shapes: shapesOf(critic.specs) };
  const policy = randomPolicy('plain', { ...sizes, hiddenSize: 8, trunkSizes: [8] }, { stochastic: false, seed: 5 });
  const scaling = actionScaling(specs.action);
  const content = exportModel({
    ...{ model: 'm', algorithm: 'random', environment: name, specs, rewardScale },
    policy: { ...policy, scaling },
    critic: { critic, parameters, scaling },
    training: { config: {}, seed: 1, steps: 0, evaluations: [], sourceRevision: 'test' },
    engine: createTracedEngine({ threadCount: 1 }),
  });
  const { directory } = await publishPackage({ store: await temporaryStore(), model: 'm', ...content });
  return readPackage(directory);
}
