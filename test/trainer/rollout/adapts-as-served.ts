/** Whether a published model acts and adapts in process as a server has it: the same actions before adaptation and after it. */

import { join } from 'node:path';
import { expect } from 'vitest';
import type { PolicyClient } from '../../../clients/typescript/client.ts';
import { createEnvironment } from '../../../src/envs/registry.ts';
import { readPackage } from '../../../src/package/package.ts';
import type { Transition } from '../../../trainer/replay/replay-buffer.ts';
import { createAdaptingPolicy } from '../../../trainer/rollout/adapting-policy.ts';
import { runEpisode } from '../../../trainer/rollout/pictures/trajectory.ts';

/** @param model whose version 1 the client's server has from that store, for the point robot */
export async function expectAdaptsAsServed(client: PolicyClient, store: string, model: string): Promise<void> {
  const env = await createEnvironment('Point-Robot');
  const content = await readPackage(join(store, model, '1'));
  const policy = createAdaptingPolicy(content, { specs: env.specs, threadCount: 1 });
  const goal = Float64Array.of(0.6, 0.8);
  const play = (seed: number, stepCountMax = 20): Transition[] => {
    const kept: Transition[] = [];
    policy.begin(seed);
    runEpisode({ env, policy, seed, stepCountMax, context: goal, keep: (transition) => kept.push(transition) });
    return kept;
  };
  const episodes = [play(5), play(6, 13)];
  policy.adapt({ context: goal, episodes });
  const after = play(7);
  policy.dispose();
  env.dispose();

  const { adaptation, context, readsNextObservation } = await client.getModel({ model });
  const samples = adaptation === 'weights';
  const task = samples && context !== undefined ? { context: Float32Array.from(goal) } : {};
  const served = async (steps: readonly Transition[], seed: number, given: object) => {
    const asked = { model, observation: rows(steps, 'observation'), ...given, ...(samples && { sample: true, seed }) };
    return (await client.act(asked)).action.values;
  };
  const handleOf = async (steps: readonly Transition[], given: object) => {
    const experience = {
      observation: rows(steps, 'observation'),
      action: rows(steps, 'action'),
      reward: Float32Array.from(steps, ({ reward }) => reward),
      ...(readsNextObservation && { nextObservation: rows(steps, 'nextObservation') }),
    };
    return (await client.adapt({ model, ...(steps.length > 0 && experience), ...given })).contextHandle;
  };
  const start = samples ? task : { contextHandle: await handleOf([], { seed: 5 }) };
  const contextHandle = await handleOf(episodes.flat(), samples ? { ...task, episodeLengths: [20, 13] } : { seed: 7 });
  expect(largestDifference(episodes[0]!, await served(episodes[0]!, 5, start))).toBeLessThan(1e-5);
  expect(largestDifference(after, await served(after, 7, { contextHandle }))).toBeLessThan(1e-5);
  // The same draws without adaptation are other actions.
  const unadapted = samples ? task : { contextHandle: await handleOf([], { seed: 7 }) };
  expect(largestDifference(after, await served(after, 7, unadapted))).toBeGreaterThan(1e-4);
}

const rows = (steps: readonly Transition[], name: 'observation' | 'action' | 'nextObservation') => ({
  shape: [steps.length, 2],
  values: Float32Array.from(steps.flatMap((step) => Array.from(step[name]))),
});

/** Of actions; a server clips them to their bounds. */
function largestDifference(steps: readonly Transition[], served: Float32Array): number {
  const own = rows(steps, 'action').values.map((value) => Math.min(Math.max(value, -0.1), 0.1));
  expect(served.length).toBe(own.length);
  return Math.max(...own.map((value, i) => Math.abs(value - served[i]!)));
}
