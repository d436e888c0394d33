/** Steps one training environment: chooses actions and puts transitions into the replay buffer. */

import { createRandom, type Random } from '../../src/contract/random.ts';
import { specSize, type TensorSpec } from '../../src/contract/tensor-spec.ts';
import type { Env, EnvState } from '../../src/envs/env.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import type { ReplayBuffer, Transition } from '../replay/replay-buffer.ts';
import { checkReward } from '../run/reward.ts';
import type { SavedState } from '../run/saved-state.ts';

/** Streams of one seed; the learner's first parameters and the evaluation's starts have their own. */
const streams = { resets: 1, warmUp: 2, exploration: 3 };

export type FinishedEpisode = {
  /** Undiscounted sum of rewards. */
  readonly episodeReturn: number;
  readonly episodeLength: number;
  /** The simulator left its stable range; its last step is not in the buffer. */
  readonly diverged: boolean;
};

export type Collector = {
  /**
   * One environment step.
   * @param warmUp draws the action uniformly within its bounds (standard normal where it has none) instead of asking the learner
   * @returns the episode that this step ended, else null; the next one has then begun
   * @throws what the environment throws, and HyperpolicyError invalid_argument: a reward that no loss can hold. The transition is
   *   not kept, and the episode is over: a saved state begins another
   */
  step(warmUp: boolean): FinishedEpisode | null;
  save(): SavedState;
  restore(saved: SavedState): void;
};

type CollectorState = {
  readonly episodeReturn: number;
  readonly episodeLength: number;
  readonly positions: Readonly<Record<keyof typeof streams, number>>;
  /** Null where the environment failed: the next one begins an episode. */
  readonly env: Omit<EnvState, 'arrays'> | null;
};

/** Starts the first episode. */
export function createCollector({
  env,
  learner,
  replay,
  seed,
}: {
  env: Env;
  learner: Pick<OffPolicyLearner, 'explore'>;
  replay: Pick<ReplayBuffer, 'add'>;
  seed: number;
}): Collector {
  const random = {
    resets: createRandom(seed, streams.resets),
    warmUp: createRandom(seed, streams.warmUp),
    exploration: createRandom(seed, streams.exploration),
  };
  const action = new Float32Array(specSize(env.specs.action));
  const observation = new Float64Array(specSize(env.specs.observation));
  const transition: Transition = { observation, action, reward: 0, nextObservation: observation, terminated: false };
  let episodeReturn = 0;
  let episodeLength = 0;
  let hasFailed = false;

  const begin = () => {
    observation.set(env.reset(random.resets.integer(2 ** 32)).observation);
    episodeReturn = 0;
    episodeLength = 0;
  };
  begin();

  function stepOnce(warmUp: boolean): FinishedEpisode | null {
    if (warmUp) drawAction(env.specs.action, random.warmUp, action);
    else learner.explore(observation, random.exploration, action, env.context);
    const result = env.step(action);
    const { reward, terminated, truncated, diverged } = result;
    checkReward(env.name, reward, () => `step ${episodeLength + 1} of an episode`);
    if (!diverged) {
      transition.reward = reward;
      transition.nextObservation = result.observation;
      transition.terminated = terminated;
      transition.context = env.context;
      replay.add(transition);
    }
    episodeReturn += reward;
    episodeLength += 1;
    if (!terminated && !truncated) {
      observation.set(result.observation);
      return null;
    }
    const finished = { episodeReturn, episodeLength, diverged };
    begin();
    return finished;
  }

  return {
    step(warmUp) {
      try {
        return stepOnce(warmUp);
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    },

    save() {
      const { resets, warmUp, exploration } = random;
      const positions = { resets: resets.position, warmUp: warmUp.position, exploration: exploration.position };
      const common = { episodeReturn, episodeLength, positions };
      // What the environment has after it failed is nobody's state.
      if (hasFailed) return { arrays: {}, state: { ...common, env: null } satisfies CollectorState };
      const { arrays, ...envState } = env.save();
      return { arrays, state: { ...common, env: envState } satisfies CollectorState };
    },

    restore({ arrays, state }) {
      const saved = state as CollectorState;
      for (const name of Object.keys(streams) as (keyof typeof streams)[]) {
        random[name].position = saved.positions[name];
      }
      if (saved.env === null) {
        begin();
        return;
      }
      observation.set(env.restore({ ...saved.env, arrays: arrays as EnvState['arrays'] }));
      episodeReturn = saved.episodeReturn;
      episodeLength = saved.episodeLength;
    },
  };
}

function drawAction({ low, high }: TensorSpec, random: Random, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) {
    const [from, to] = [low[i] ?? null, high[i] ?? null];
    out[i] = from === null || to === null ? random.normal() : from + (to - from) * random.uniform();
  }
}
