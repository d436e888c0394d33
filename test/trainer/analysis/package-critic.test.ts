/** A published critic in process gives what the trainer computed. */

import { describe, expect, test } from 'vitest';
import { createRandom } from '../../../src/contract/random.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { actionScaling } from '../../../src/nn/action-scaling.ts';
import { createCritic } from '../../../src/nn/critics/registry.ts';
import { drawParameters, shapesOf } from '../../../src/nn/parameters.ts';
import { type ModelPackage, publishPackage, readPackage } from '../../../src/package/package.ts';
import { createPackageCritic } from '../../../trainer/analysis/package-critic.ts';
import { createTracedEngine } from '../../../trainer/engine/traced.ts';
import { exportModel } from '../../../trainer/export/package.ts';
import { temporaryStore } from '../../server/fixtures.ts';

/** Twins for Point-Robot, whose tasks they read. */
async function publish(architecture: 'mlp-small' | 'sa-hyper'): Promise<ModelPackage> {
  const env = await createEnvironment('Point-Robot');
  const { specs, name } = env;
  env.dispose();
  const config =
    architecture === 'sa-hyper'
      ? { architecture, trunkSizes: [16], dynamicHiddenSizes: [16], initialisation: 'default' as const }
      : { architecture, hiddenSizes: [16] };
  const critic = createCritic(config, { observationSize: 2, actionSize: 2, contextSize: 2, ensembleSize: 2 });
  const parameters = { views: drawParameters(critic.specs, createRandom(4)), shapes: shapesOf(critic.specs) };
  const content = exportModel({
    ...{ model: 'm', algorithm: 'random', environment: name, specs, rewardScale: 5, policy: null },
    critic: { critic, parameters, scaling: actionScaling(specs.action) },
    training: { config: {}, seed: 1, steps: 0, evaluations: [], sourceRevision: 'test' },
    engine: createTracedEngine({ threadCount: 1 }),
  });
  const { directory } = await publishPackage({ store: await temporaryStore(), model: 'm', ...content });
  return readPackage(directory);
}

describe.each(['mlp-small', 'sa-hyper'] as const)('%s', (architecture) => {
  test('has the values and gradients of its probe, with the task', async () => {
    const content = await publish(architecture);
    const { inputs, outputs } = content.manifest.probes.find(({ target }) => target === 'critic')!;
    const critic = createPackageCritic(content);
    expect(critic.rewardScale).toBe(5);
    const rows = {
      observations: Float32Array.from(inputs.observation!.values),
      actions: Float32Array.from(inputs.action!.values),
      contexts: Float64Array.from(inputs.context!.values),
    };
    const [q, dqDa] = [outputs.q!.values, outputs.dq_da!.values];
    const rowCount = inputs.observation!.shape[0]!;
    const first = critic.evaluate(rows, 'q1');
    const smaller = critic.evaluate(rows, 'min');
    for (let row = 0; row < rowCount; row++) {
      const [q1, q2] = [q[2 * row]!, q[2 * row + 1]!];
      expect(first.q[row]).toBeCloseTo(q1, 4);
      expect(smaller.q[row]).toBeCloseTo(Math.min(q1, q2), 4);
      for (const i of [0, 1]) {
        expect(first.dqDa[2 * row + i]).toBeCloseTo(dqDa[4 * row + i]!, 4);
        expect(smaller.dqDa[2 * row + i]).toBeCloseTo(dqDa[4 * row + (q2 < q1 ? 2 : 0) + i]!, 4);
      }
    }
    // It is the task that makes the difference.
    const other = critic.evaluate({ ...rows, contexts: rows.contexts.map((value) => -value) }, 'q1');
    expect(other.q).not.toEqual(first.q);
    critic.dispose();
  });
});
