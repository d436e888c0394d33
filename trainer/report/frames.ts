/** Six pictures of an episode of a run's published policy; of one that adapts, of an episode before adaptation and of one after it. */

import type { Env } from '../../src/envs/env.ts';
import { withModelTasks } from '../../src/envs/model-environment.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { trainedIn } from '../../src/package/manifest.ts';
import type { ModelPackage } from '../../src/package/package.ts';
import type { Transition } from '../replay/replay-buffer.ts';
import { createAdaptingPolicy } from '../rollout/adapting-policy.ts';
import { adapts } from '../rollout/package-network.ts';
import { encodeTrajectory, recordTrajectory, runEpisode, type Trajectory } from '../rollout/pictures/trajectory.ts';
import { createPackagePolicy } from '../rollout/policy.ts';
import type { RunConfig } from '../run/config.ts';
import { environmentPlace } from '../run/environment-place.ts';
import type { Run } from './runs.ts';

export type Frames = {
  readonly png: Uint8Array;
  /** Of a policy that adapts: whether the episode is before adaptation or after it, and how it acts. */
  readonly phase: string | undefined;
  readonly episodeReturn: number;
  readonly stepCount: number;
  /** The task by its names, where the environment has several. */
  readonly task: Readonly<Record<string, number>>;
};

/** An episode that never ends is cut. */
const stepCountMax = 2000;
const frameSize = { width: 240, height: 180 };
/** Starts that no evaluation had. */
const seedOffset = 300;

/** @returns of one episode or two; or why there are none */
export async function episodeFrames(
  run: Run,
  content: ModelPackage,
): Promise<readonly Frames[] | { readonly none: string }> {
  try {
    const own = await createEnvironment(environmentPlace(run.config as unknown as RunConfig));
    try {
      const env = withModelTasks(own, content.manifest.environment, trainedIn(content.manifest));
      const seed = run.seed + seedOffset;
      return adapts(content.manifest) ? framesOfTwo(env, content, seed) : [framesOfOne(env, content, seed)];
    } finally {
      own.dispose();
    }
  } catch (error) {
    // A page without pictures is still a report.
    return { none: (error as Error).message };
  }
}

function framesOfOne(env: Env, content: ModelPackage, seed: number): Frames {
  const policy = createPackagePolicy(content, { specs: env.specs, threadCount: 1 });
  try {
    return framesOf(env, recordTrajectory({ env, policy, seed, stepCountMax }), undefined);
  } finally {
    policy.dispose();
  }
}

/** In one task: the first of the episodes to which it adapts, as many as in the run's evaluations, and the first after these. */
function framesOfTwo(env: Env, content: ModelPackage, seed: number): Frames[] {
  const { encoder, training } = content.manifest;
  const policy = createAdaptingPolicy(content, { specs: env.specs, threadCount: 1 });
  try {
    env.reset(seed);
    const context = env.context?.slice();
    const begun = (episode: number) => {
      policy.begin(seed + episode);
      return { env, policy, seed: seed + episode, stepCountMax, context };
    };
    const count = Math.max(1, training.adaptationEpisodeCount ?? 1);
    const episodes = Array.from({ length: count }, (): Transition[] => []);
    const keeping = (episode: number) => ({
      ...begun(episode),
      keep: (transition: Transition) => episodes[episode]!.push(transition),
    });
    const before = recordTrajectory(keeping(0));
    for (let episode = 1; episode < count; episode++) runEpisode(keeping(episode));
    policy.adapt({ context: context ?? new Float64Array(0), episodes });
    const after = recordTrajectory(begun(count));
    const [drawn, drawnAfter] =
      encoder === null
        ? ['actions are samples', 'actions are samples']
        : ['its context is drawn from the prior', 'its context is drawn from the posterior'];
    const adaptedTo = count === 1 ? 'that episode' : `${count} episodes of the same task`;
    return [
      framesOf(env, before, `before adaptation (${drawn})`),
      framesOf(env, after, `after adaptation to ${adaptedTo} (${drawnAfter})`),
    ];
  } finally {
    policy.dispose();
  }
}

/** @param trajectory of the environment's present task */
const framesOf = ({ specs, context }: Env, trajectory: Trajectory, phase: string | undefined): Frames => ({
  png: encodeTrajectory(trajectory, 'png', frameSize),
  phase,
  episodeReturn: trajectory.return,
  stepCount: trajectory.stepCount,
  task: Object.fromEntries((specs.context?.names ?? []).map((name, i) => [name, context![i]!])),
});
