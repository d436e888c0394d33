/** A published critic in process gives what the trainer computed. */

import { describe, expect, test } from 'vitest';
import { createPackageCritic } from '../../../trainer/analysis/package-critic.ts';
import { publishCritic, rewardScale } from './published-critic.ts';

const configs = {
  'mlp-small': { architecture: 'mlp-small', hiddenSizes: [16] },
  'sa-hyper': { architecture: 'sa-hyper', trunkSizes: [16], dynamicHiddenSizes: [16], initialisation: 'default' },
} as const;

describe.each(Object.entries(configs))('%s', (_, config) => {
  test('has the values and gradients of its probe, with the task', async () => {
    const content = await publishCritic(config);
    const { inputs, outputs } = content.manifest.probes.find(({ target }) => target === 'critic')!;
    const critic = createPackageCritic(content);
    expect(critic.rewardScale).toBe(rewardScale);
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
