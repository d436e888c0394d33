/** Six pictures of an episode of a run's published policy. */

import { createEnvironment } from '../../src/envs/registry.ts';
import { encodeTrajectory, recordTrajectory } from '../rollout/pictures/trajectory.ts';
import { createPackagePolicy } from '../rollout/policy.ts';
import type { RunConfig } from '../run/config.ts';
import { environmentPlace } from '../run/environment-place.ts';
import type { PublishedModel, Run } from './runs.ts';

export type Frames = { readonly png: Uint8Array; readonly episodeReturn: number; readonly stepCount: number };

/** An episode that never ends is cut. */
const stepCountMax = 2000;
const frameSize = { width: 240, height: 180 };
/** Starts that no evaluation had. */
const seedOffset = 300;

/** @returns why there are none, if there are none */
export async function episodeFrames(
  run: Run,
  { content }: PublishedModel,
): Promise<Frames | { readonly none: string }> {
  try {
    const env = await createEnvironment(environmentPlace(run.config as unknown as RunConfig));
    try {
      const policy = createPackagePolicy(content, { specs: env.specs, threadCount: 1 });
      try {
        const trajectory = recordTrajectory({ env, policy, seed: run.seed + seedOffset, stepCountMax });
        const png = encodeTrajectory(trajectory, 'png', frameSize);
        return { png, episodeReturn: trajectory.return, stepCount: trajectory.stepCount };
      } finally {
        policy.dispose();
      }
    } finally {
      env.dispose();
    }
  } catch (error) {
    // A page without pictures is still a report.
    return { none: (error as Error).message };
  }
}
