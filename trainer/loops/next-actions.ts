/** The actions of the next step, with the observations and contexts that they were chosen for. */

import { createRandom, type Random } from '../../src/contract/random.ts';
import { specSize } from '../../src/contract/tensor-spec.ts';
import type { OffPolicyLearner } from '../off-policy/learner.ts';
import { createActionDraws, type DrawActions } from '../rollout/random-actions.ts';
import { rowsOf } from '../rollout/shared-batch.ts';
import type { VectorEnv } from '../rollout/vector-env.ts';

/** Streams of one seed; the learner's first parameters and the evaluation's starts have their own. */
const streams = { warmUp: 2, exploration: 3 };

export type ActionPositions = Readonly<Record<keyof typeof streams, number>>;

/** What one row's action was chosen for. Views, which the next choice changes. */
export type ChosenAction = {
  readonly observation: Float32Array;
  readonly action: Float32Array;
  readonly context: Float64Array | null;
};

export class NextActions {
  /** [N, A], environment units. */
  readonly values: Float32Array;
  readonly #batch: VectorEnv['batch'];
  readonly #draw: DrawActions;
  readonly #learner: Pick<OffPolicyLearner, 'explore'>;
  readonly #random: Readonly<Record<keyof typeof streams, Random>>;
  /** Copies: the batch's own change with the step. */
  readonly #observations: Float32Array;
  readonly #contexts: Float64Array;
  readonly #rows: readonly ChosenAction[];
  #isChosen = false;

  constructor({ batch, environmentCount, specs }: VectorEnv, learner: Pick<OffPolicyLearner, 'explore'>, seed: number) {
    this.values = new Float32Array(environmentCount * specSize(specs.action));
    this.#batch = batch;
    this.#draw = createActionDraws(specs.action);
    this.#learner = learner;
    this.#random = {
      warmUp: createRandom(seed, streams.warmUp),
      exploration: createRandom(seed, streams.exploration),
    };
    this.#observations = batch.observations.slice();
    this.#contexts = batch.contexts.slice();
    const contexts = specs.context === null ? null : rowsOf(this.#contexts, environmentCount);
    const observations = rowsOf(this.#observations, environmentCount);
    this.#rows = rowsOf(this.values, environmentCount).map((action, row) => ({
      observation: observations[row]!,
      action,
      context: contexts?.[row] ?? null,
    }));
  }

  get isChosen(): boolean {
    return this.#isChosen;
  }

  get positions(): ActionPositions {
    const { warmUp, exploration } = this.#random;
    return { warmUp: warmUp.position, exploration: exploration.position };
  }

  /**
   * Chooses them, unless they are chosen: by the learner as it is now.
   * @param warmUp draws them uniformly within their bounds (standard normal if they have none) instead
   */
  choose(warmUp: boolean): void {
    if (this.#isChosen) return;
    this.#copyInputs();
    for (const { observation, action, context } of this.#rows) {
      if (warmUp) this.#draw(this.#random.warmUp, action);
      else this.#learner.explore(observation, this.#random.exploration, action, context ?? undefined);
    }
    this.#isChosen = true;
  }

  /** Call it after the step: the next actions are to be chosen. */
  discard(): void {
    this.#isChosen = false;
  }

  rowAt(row: number): ChosenAction {
    return this.#rows[row]!;
  }

  /** Call it after the environments are restored. */
  restore(saved: {
    readonly values: Float32Array;
    readonly positions: ActionPositions;
    readonly isChosen: boolean;
  }): void {
    this.#random.warmUp.position = saved.positions.warmUp;
    this.#random.exploration.position = saved.positions.exploration;
    this.values.set(saved.values);
    this.#copyInputs();
    this.#isChosen = saved.isChosen;
  }

  #copyInputs(): void {
    this.#observations.set(this.#batch.observations);
    this.#contexts.set(this.#batch.contexts);
  }
}
