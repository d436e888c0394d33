/**
 * Steps the training environments: chooses actions and puts transitions into the replay buffer. Between `begin` and `finish` the
 * environments may be stepped by other threads. What comes out depends on the seed and the policy, never on the threads.
 */

import { createRandom, type Random } from '../../src/contract/random.ts';
import { specSize, type TensorSpec } from '../../src/contract/tensor-spec.ts';
import type { EnvState } from '../../src/envs/env.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import type { ReplayBuffer, Transition } from '../replay/replay-buffer.ts';
import { finished } from '../rollout/collect.ts';
import type { RestoredRow } from '../rollout/rows.ts';
import type { VectorEnv } from '../rollout/vector-env.ts';
import { HangError } from '../run/environment/hang.ts';
import { checkReward } from '../run/reward.ts';
import type { SavedState, StateArray } from '../run/saved-state.ts';
import { runInTurns } from '../run/turns.ts';

/** Streams of one seed; the learner's first parameters and the evaluation's starts have their own. */
const streams = { warmUp: 2, exploration: 3 };

export type FinishedEpisode = {
  /** Undiscounted sum of rewards. */
  readonly episodeReturn: number;
  readonly episodeLength: number;
  /** The simulator left its stable range; its last step is not in the buffer. */
  readonly diverged: boolean;
};

/** A step is `choose`, `begin`, `finish`, of all environments together. */
export type Collector = {
  /** Environments, and so transitions of a step. */
  readonly environmentCount: number;
  /**
   * Chooses the actions of the next step, unless they are chosen: by the learner as it is now.
   * @param warmUp draws them uniformly within their bounds (standard normal if they have none) instead
   */
  choose(warmUp: boolean): void;
  /** Starts the step with the actions chosen. */
  begin(): void;
  /**
   * Ends the step, and keeps its transitions.
   * @returns the episodes that it ended, in the order of their rows; the next ones have then begun
   * @throws what an environment throws, and HyperpolicyError invalid_argument: a reward that no loss can hold. The episodes are over
   *   then: a saved state begins others
   */
  finish(): FinishedEpisode[];
  /** Waits at most `timeoutMs` for user code, which may never return. @returns whether `finish` may be called */
  isReady(timeoutMs: number): boolean;
  /** Not between `begin` and `finish`. */
  save(): Promise<SavedState>;
  restore(saved: SavedState): Promise<void>;
};

type CollectorState = {
  readonly positions: Readonly<Record<keyof typeof streams, number>>;
  /** Whether `actions` are chosen. */
  readonly isChosen: boolean;
  readonly rows: readonly (Omit<RestoredRow, 'env'> & { readonly env: Omit<EnvState, 'arrays'> | null })[];
};

/** Starts the first episodes. */
export async function createCollector({
  envs,
  learner,
  replay,
  seed,
}: {
  envs: VectorEnv;
  learner: Pick<OffPolicyLearner, 'explore'>;
  replay: Pick<ReplayBuffer, 'add'>;
  seed: number;
}): Promise<Collector> {
  const { batch, running, environmentCount, specs } = envs;
  const random = {
    warmUp: createRandom(seed, streams.warmUp),
    exploration: createRandom(seed, streams.exploration),
  };
  const rowsOf = <T extends Float32Array | Float64Array>(values: T) => split(values, environmentCount);
  const actions = new Float32Array(environmentCount * specSize(specs.action));
  // Before the step: the batch's own are those after it.
  const observations = batch.observations.slice();
  const contexts = batch.contexts.slice();
  const views = {
    action: rowsOf(actions),
    observation: rowsOf(observations),
    next: rowsOf(batch.observations),
    final: rowsOf(batch.finals),
    context: specs.context === null ? null : rowsOf(contexts),
  };
  let isChosen = false;
  let hasFailed = false;
  envs.beginReset();
  await runInTurns(finished(envs));

  function finishStep(): FinishedEpisode[] {
    envs.finish();
    isChosen = false;
    for (let row = 0; row < environmentCount; row++) {
      const { lengths } = isOver(row) ? batch : running;
      checkReward(envs.name, batch.rewards[row]!, () => `step ${lengths[row]} of an episode`);
    }
    const finished: FinishedEpisode[] = [];
    for (let row = 0; row < environmentCount; row++) {
      const diverged = batch.diverged[row] === 1;
      if (!diverged) replay.add(transitionOf(row));
      if (isOver(row)) {
        finished.push({ episodeReturn: batch.returns[row]!, episodeLength: batch.lengths[row]!, diverged });
      }
    }
    return finished;
  }

  const isOver = (row: number) => batch.terminated[row] === 1 || batch.truncated[row] === 1;

  const transitionOf = (row: number): Transition => ({
    observation: views.observation[row]!,
    action: views.action[row]!,
    reward: batch.rewards[row]!,
    nextObservation: (isOver(row) ? views.final : views.next)[row]!,
    terminated: batch.terminated[row] === 1,
    context: views.context?.[row] ?? null,
  });

  /** After a failure the states of the environments are unknown. */
  const lostRows = (): RestoredRow[] =>
    Array.from(running.episodes, (episodeCount) => ({ env: null, episodeCount, episodeReturn: 0, episodeLength: 0 }));

  async function rowStates(): Promise<RestoredRow[]> {
    if (hasFailed) return lostRows();
    try {
      return await envs.save();
    } catch (error) {
      // Other errors are reported. If an interrupt found an endless loop, the checkpoint keeps what can be saved.
      if (!(error instanceof HangError)) throw error;
      hasFailed = true;
      return lostRows();
    }
  }

  return {
    environmentCount,

    choose(warmUp) {
      if (isChosen) return;
      observations.set(batch.observations);
      contexts.set(batch.contexts);
      views.action.forEach((action, row) => {
        if (warmUp) drawAction(specs.action, random.warmUp, action);
        else learner.explore(views.observation[row]!, random.exploration, action, views.context?.[row]);
      });
      isChosen = true;
    },

    begin() {
      envs.begin(actions);
    },

    isReady: envs.isReady,

    finish() {
      try {
        return finishStep();
      } catch (error) {
        hasFailed = true;
        throw error;
      }
    },

    async save() {
      const { warmUp, exploration } = random;
      const arrays: Record<string, StateArray> = { actions };
      const states = await rowStates();
      const rows = states.map(({ env, ...rest }, row) => {
        if (env === null) return { ...rest, env };
        const { arrays: own, ...state } = env;
        for (const [name, array] of Object.entries(own)) arrays[`row${row}/${name}`] = array;
        return { ...rest, env: state };
      });
      const positions = { warmUp: warmUp.position, exploration: exploration.position };
      return { arrays, state: { positions, isChosen: isChosen && !hasFailed, rows } satisfies CollectorState };
    },

    async restore({ arrays, state }) {
      const saved = state as CollectorState;
      for (const name of Object.keys(streams) as (keyof typeof streams)[]) {
        random[name].position = saved.positions[name];
      }
      await envs.restore(
        saved.rows.map((row, i) => ({ ...row, env: row.env && { ...row.env, arrays: arraysOf(arrays, i) } })),
      );
      actions.set(arrays.actions as Float32Array);
      observations.set(batch.observations);
      contexts.set(batch.contexts);
      isChosen = saved.isChosen;
    },
  };
}

function split<T extends Float32Array | Float64Array>(values: T, count: number): T[] {
  const size = values.length / count;
  return Array.from({ length: count }, (_, row) => values.subarray(row * size, (row + 1) * size) as T);
}

/** The arrays of one row's environment. */
function arraysOf(arrays: SavedState['arrays'], row: number): EnvState['arrays'] {
  const prefix = `row${row}/`;
  const own = Object.entries(arrays).filter(([name]) => name.startsWith(prefix));
  return Object.fromEntries(own.map(([name, array]) => [name.slice(prefix.length), array as Float64Array]));
}

function drawAction({ low, high }: TensorSpec, random: Random, out: Float32Array): void {
  for (let i = 0; i < out.length; i++) {
    const [from, to] = [low[i] ?? null, high[i] ?? null];
    out[i] = from === null || to === null ? random.normal() : from + (to - from) * random.uniform();
  }
}
