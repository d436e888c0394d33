/**
 * N environments stepped together on T threads, one of which is the caller's own: one batch of actions in, one of
 * observations out. An environment's results depend on the seed, its row and the actions, never on the threads.
 */

import { availableParallelism } from 'node:os';
import { requireCount } from '../../src/contract/counts.ts';
import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import { type PolicySpecs, specSizes } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { takeActions, writeContexts } from './batch-inputs.ts';
import { type RestoredRow, type RowState, stateSizeOf } from './rows.ts';
import { type SharedBatch, shareBatch } from './shared-batch.ts';
import { createTeam, type EnvironmentThreads, type Team } from './team.ts';
import { VectorEnvState } from './vector-env-state.ts';

export type VectorEnvOptions = {
  /**
   * A registry name or a path, as `createEnvironment` takes. Or an environment of the caller's, for one row on one thread: it is never
   * saved or restored between steps, and stays the caller's to dispose. Or threads that step in place of the caller's.
   */
  readonly env: string | Env | EnvironmentThreads;
  readonly environmentCount: number;
  /** Integer in [0, 2^53); each environment and episode derives its own seed from it. */
  readonly seed: number;
  /** Threads that step, the caller's included; one per core unless given, and never more than environments. */
  readonly threadCount?: number;
  /**
   * In place of `threadCount`: threads beside the caller's, at most one an environment, where the caller has other work between `begin`
   * and `finish`. The caller steps only the rows that they have not begun by then.
   */
  readonly workerCount?: number;
  /** One task per environment instead of tasks drawn per episode; `setContexts` changes them. */
  readonly contexts?: readonly ArrayLike<number>[];
  /** How long a waiting thread stays awake. 0 leaves the cores to others and costs tens of microseconds a step. */
  readonly spinMs?: number;
};

/** Results of a step, by row. Views over shared memory, which the next call changes; ONNX tensors need a copy of them. */
export type BatchView = Pick<
  SharedBatch,
  'observations' | 'finals' | 'rewards' | 'contexts' | 'returns' | 'lengths' | 'terminated' | 'truncated' | 'diverged'
>;

export type VectorEnv = {
  readonly name: string;
  readonly specs: PolicySpecs;
  readonly environmentCount: number;
  readonly threadCount: number;
  readonly episodeStepCountMax: number;
  readonly batch: BatchView;
  /** State of the episodes in progress, by row: returns and lengths so far, and how many were begun. Views, as those of `batch`. */
  readonly running: SharedBatch['running'];
  /**
   * Begins the next episode of every environment. With a number, each begins the episode of that number in its sequence, from 0;
   * it does not depend on the episodes before.
   */
  reset(episode?: number): void;
  /** The first half of `reset`: call `finish`. */
  beginReset(episode?: number): void;
  /**
   * One step of every environment. If an episode ends, `finals`, `returns` and `lengths` have its last observation, return
   * and length, and `observations` already has the next episode's first one.
   * @param actions [N, A], environment units
   * @throws HyperpolicyError invalid_argument: wrong size, or a value that is not finite; nothing was stepped
   */
  step(actions: ArrayLike<number>): void;
  /** The first half of `step`: the other threads start. Call `finish` when other work is done. */
  begin(actions: ArrayLike<number>): void;
  /**
   * Waits at most `timeoutMs` for user code, which may never return; `finish` then does not wait for it.
   * @returns whether `finish` may be called
   */
  isReady(timeoutMs: number): boolean;
  /** The second half of `step`: steps the caller's share and waits for the other threads. */
  finish(): void;
  /** The tasks of the next episodes, one [C] per environment. Only if `contexts` was given. It finishes a step in progress, as `reset` does. */
  setContexts(contexts: readonly ArrayLike<number>[]): void;
  /** Copies of all environments' states, in row order. */
  save(): Promise<RowState[]>;
  restore(states: readonly RestoredRow[]): Promise<void>;
  /** Ends its threads. */
  dispose(): Promise<void>;
};

const defaultSpinMs = 0.2;

/**
 * Creates the environments and their threads; `reset` before the first step.
 * @throws HyperpolicyError invalid_argument: a count of environments or a seed that is out of range, contexts that are not one of the
 *   environment's for each row; what the environment throws as it is created
 */
export async function createVectorEnv(options: VectorEnvOptions): Promise<VectorEnv> {
  const { environmentCount, seed, contexts } = options;
  requireCount('createVectorEnv: environmentCount', environmentCount);
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw invalidArgument({
      where: 'createVectorEnv: seed',
      expected: 'an integer in [0, 2^53)',
      actual: String(seed),
    });
  }
  const { facts, threadCount, stateSize, join } = await openParty(options);
  const batch = shareBatch({ ...specSizes(facts.specs), environmentCount, stateSize });
  if (contexts !== undefined) writeContexts(batch, facts.name, facts.specs, contexts);
  const team = await join(batch);
  return new TeamEnv({ facts, threadCount, batch, team, givenContexts: contexts !== undefined });
}

class TeamEnv implements VectorEnv {
  readonly name: string;
  readonly specs: PolicySpecs;
  readonly environmentCount: number;
  readonly threadCount: number;
  readonly episodeStepCountMax: number;
  readonly batch: BatchView;
  readonly running: SharedBatch['running'];
  readonly #memory: SharedBatch;
  readonly #team: Team;
  readonly #givenContexts: boolean;
  readonly #state: VectorEnvState;

  constructor({
    facts,
    threadCount,
    batch,
    team,
    givenContexts,
  }: Pick<Party, 'facts' | 'threadCount'> & {
    readonly batch: SharedBatch;
    readonly team: Team;
    readonly givenContexts: boolean;
  }) {
    this.name = facts.name;
    this.specs = facts.specs;
    this.environmentCount = batch.sizes.environmentCount;
    this.threadCount = threadCount;
    this.episodeStepCountMax = facts.episodeStepCountMax;
    this.batch = batch;
    this.running = batch.running;
    this.#memory = batch;
    this.#team = team;
    this.#givenContexts = givenContexts;
    this.#state = new VectorEnvState(facts.name);
  }

  reset(episode?: number): void {
    this.beginReset(episode);
    this.finish();
  }

  beginReset(episode?: number): void {
    if (this.#state.isStepping) this.finish();
    this.#state.requireSound();
    this.#state.attempt('stepping', () => this.#team.reset(episode));
  }

  step(actions: ArrayLike<number>): void {
    this.begin(actions);
    this.finish();
  }

  begin(actions: ArrayLike<number>): void {
    this.#state.require('idle', 'step', this.#state.isNew ? 'Call reset first' : 'Finish the step in progress first');
    takeActions(this.#memory, this.name, this.specs, actions);
    this.#state.attempt('stepping', () => this.#team.begin());
  }

  isReady(timeoutMs: number): boolean {
    return !this.#state.isStepping || this.#team.isReady(timeoutMs);
  }

  finish(): void {
    this.#state.require('stepping', 'finish', 'Call begin first');
    this.#state.attempt('idle', () => this.#team.finish());
  }

  setContexts(contexts: readonly ArrayLike<number>[]): void {
    if (!this.#givenContexts) {
      throw failedPrecondition({
        where: `${this.name}: setContexts`,
        expected: 'a batch with given contexts',
        actual: 'one whose tasks are drawn',
        remedy: 'Pass contexts to createVectorEnv',
      });
    }
    if (this.#state.isStepping) this.finish();
    writeContexts(this.#memory, this.name, this.specs, contexts);
  }

  async save(): Promise<RowState[]> {
    this.#state.require('idle', 'save', 'Call reset first, and finish the step in progress');
    return this.#state.attemptLater(() => this.#team.save());
  }

  async restore(states: readonly RestoredRow[]): Promise<void> {
    if (states.length !== this.environmentCount) {
      throw invalidArgument({
        where: `${this.name}: restore`,
        expected: `${this.environmentCount} states`,
        actual: String(states.length),
      });
    }
    if (!this.#state.isNew) this.#state.require('idle', 'restore', 'Finish the step in progress first');
    await this.#state.attemptLater(() => this.#team.restore(states));
  }

  dispose(): Promise<void> {
    return this.#team.dispose();
  }
}

/** The environment's facts, and the way to create the team that steps a batch. */
type Party = {
  readonly facts: Pick<Env, 'name' | 'specs' | 'episodeStepCountMax'>;
  readonly threadCount: number;
  readonly stateSize: number;
  join(batch: SharedBatch): Promise<Team>;
};

async function openParty(options: VectorEnvOptions): Promise<Party> {
  const { env, environmentCount, seed, spinMs = defaultSpinMs } = options;
  const rows = { seed, givenContexts: options.contexts !== undefined };
  if (typeof env === 'object' && 'join' in env) {
    const asked = options.workerCount ?? options.threadCount ?? availableParallelism();
    const threadCount = Math.max(1, Math.min(asked, environmentCount));
    const stateSize = environmentCount > 1 ? await env.stateSize() : 0;
    return { facts: env, threadCount, stateSize, join: (batch) => env.join(batch, { ...rows, threadCount }) };
  }
  const threadCount =
    options.workerCount === undefined
      ? Math.min(options.threadCount ?? availableParallelism(), environmentCount)
      : 1 + Math.min(options.workerCount, environmentCount);
  requireCount('createVectorEnv: threadCount', threadCount);
  const moves = environmentCount > 1 || threadCount > 1;
  if (moves && typeof env !== 'string') {
    throw invalidArgument({
      where: `createVectorEnv: ${env.name}`,
      expected: 'the name of an environment, for several rows or threads',
      actual: 'an environment',
    });
  }
  const probe = typeof env === 'string' ? await createEnvironment(env) : env;
  const { name, specs, episodeStepCountMax } = probe;
  const stateSize = moves ? stateSizeOf(probe) : 0;
  if (typeof env === 'string') probe.dispose();
  return {
    facts: { name, specs, episodeStepCountMax },
    threadCount,
    stateSize,
    join: (batch) => createTeam(batch, { threadCount, spinMs, options: { env, ...rows } }),
  };
}
