/** One training environment with its episode in progress: chooses actions, steps, and puts transitions into the replay buffer. */

import { createRandom, type Random } from '../../src/contract/random.ts';
import { specSize, type TensorSpec } from '../../src/contract/tensor-spec.ts';
import type { Env, EnvState } from '../../src/envs/env.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import type { ReplayBuffer, Transition } from '../replay/replay-buffer.ts';
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
   */
  step(warmUp: boolean): FinishedEpisode | null;
  save(): SavedState;
  restore(saved: SavedState): void;
};

type CollectorState = {
  readonly episodeReturn: number;
  readonly episodeLength: number;
  readonly positions: Readonly<Record<keyof typeof streams, number>>;
  readonly env: Omit<EnvState, 'arrays'>;
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

  const begin = () => {
    observation.set(env.reset(random.resets.integer(2 ** 32)).observation);
    episodeReturn = 0;
    episodeLength = 0;
  };
  begin();

  return {
    step(warmUp) {
      if (warmUp) drawAction(env.specs.action, random.warmUp, action);
      else learner.explore(observation, random.exploration, action, env.context);
      const result = env.step(action);
      const { reward, terminated, truncated, diverged } = result;
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
    },

    save() {
      const { arrays, ...envState } = env.save();
      const { resets, warmUp, exploration } = random;
      const positions = { resets: resets.position, warmUp: warmUp.position, exploration: exploration.position };
      const state: CollectorState = { episodeReturn, episodeLength, positions, env: envState };
      return { arrays, state };
    },

    restore({ arrays, state }) {
      const saved = state as CollectorState;
      observation.set(env.restore({ ...saved.env, arrays: arrays as EnvState['arrays'] }));
      for (const name of Object.keys(streams) as (keyof typeof streams)[]) {
        random[name].position = saved.positions[name];
      }
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
