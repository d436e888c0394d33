/**
 * N environments stepped together on T threads, one of which is the caller's own: one batch of actions in, one of
 * observations out. An environment's results depend on the seed, its row and the actions, never on the threads.
 */

import { availableParallelism } from 'node:os';
import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import type { PolicySpecs } from '../../src/contract/tensor-spec.ts';
import type { Env } from '../../src/envs/env.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { type RestoredRow, type RowState, stateSizeOf } from './rows.ts';
import { batchSizes, type SharedBatch, shareBatch } from './shared-batch.ts';
import { createTeam, type EnvironmentThreads, type Team } from './team.ts';

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
  /** The tasks of the next episodes, one [C] per environment. Only if `contexts` was given. */
  setContexts(contexts: readonly ArrayLike<number>[]): void;
  /** Copies of all environments' states, in row order. */
  save(): Promise<RowState[]>;
  restore(states: readonly RestoredRow[]): Promise<void>;
  /** Ends its threads. */
  dispose(): Promise<void>;
};

const defaultSpinMs = 0.2;

/** Creates the environments and their threads; `reset` before the first step. */
export async function createVectorEnv(options: VectorEnvOptions): Promise<VectorEnv> {
  const { environmentCount, seed } = options;
  requireCount('environmentCount', environmentCount);
  if (!Number.isSafeInteger(seed) || seed < 0) {
    throw invalidArgument({
      where: 'createVectorEnv: seed',
      expected: 'an integer in [0, 2^53)',
      actual: String(seed),
    });
  }
  const { facts, threadCount, stateSize, join } = await openParty(options);
  const { name, specs, episodeStepCountMax } = facts;
  const batch = shareBatch(batchSizes(specs, { environmentCount, stateSize }));
  const setContexts = (contexts: readonly ArrayLike<number>[]) => writeContexts(batch, name, specs, contexts);
  if (options.contexts !== undefined) setContexts(options.contexts);

  const team = await join(batch);
  let state: 'new' | 'idle' | 'stepping' | 'failed' = 'new';
  const failure = () =>
    failedPrecondition({
      where: name,
      expected: 'environments in step with each other',
      actual: 'a batch that failed',
      remedy: 'Dispose it and create another',
    });
  const require = (wanted: 'idle' | 'stepping', where: string, remedy: string) => {
    if (state === wanted) return;
    if (state === 'failed') throw failure();
    const actual = { new: 'no episodes yet', idle: 'none', stepping: 'one in progress' }[state];
    const expected = wanted === 'idle' ? 'episodes in progress and no step' : 'a step in progress';
    throw failedPrecondition({ where: `${name}: ${where}`, expected, actual, remedy });
  };
  /** Counts as failed until `body` has ended without an error: the threads may be at different steps. */
  const attempt = (next: typeof state, body: () => void): void => {
    state = 'failed';
    body();
    state = next;
  };
  const attemptLater = async <T>(body: () => Promise<T>): Promise<T> => {
    state = 'failed';
    const result = await body();
    state = 'idle';
    return result;
  };

  const begin = (actions: ArrayLike<number>) => {
    require('idle', 'step', state === 'new' ? 'Call reset first' : 'Finish the step in progress first');
    takeActions(batch, name, specs, actions);
    attempt('stepping', () => team.begin());
  };
  const finish = () => {
    require('stepping', 'finish', 'Call begin first');
    attempt('idle', () => team.finish());
  };
  const beginReset = (episode?: number) => {
    if (state === 'stepping') finish();
    if (state === 'failed') throw failure();
    attempt('stepping', () => team.reset(episode));
  };

  return {
    name,
    specs,
    environmentCount,
    threadCount,
    episodeStepCountMax,
    batch: viewOf(batch),
    running: batch.running,
    reset(episode) {
      beginReset(episode);
      finish();
    },
    beginReset,
    step(actions) {
      begin(actions);
      finish();
    },
    begin,
    isReady: (timeoutMs) => state !== 'stepping' || team.isReady(timeoutMs),
    finish,
    setContexts(contexts) {
      if (options.contexts === undefined) {
        throw failedPrecondition({
          where: `${name}: setContexts`,
          expected: 'a batch with given contexts',
          actual: 'one whose tasks are drawn',
          remedy: 'Pass contexts to createVectorEnv',
        });
      }
      if (state === 'stepping') require('idle', 'setContexts', 'Finish the step in progress first');
      setContexts(contexts);
    },
    async save() {
      require('idle', 'save', 'Call reset first, and finish the step in progress');
      return attemptLater(() => team.save());
    },
    async restore(states) {
      if (states.length !== environmentCount) {
        throw invalidArgument({
          where: `${name}: restore`,
          expected: `${environmentCount} states`,
          actual: String(states.length),
        });
      }
      if (state !== 'new') require('idle', 'restore', 'Finish the step in progress first');
      await attemptLater(() => team.restore(states));
    },
    dispose: () => team.dispose(),
  };
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
  requireCount('threadCount', threadCount);
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

/** The part of a batch that the caller may read. */
const viewOf = ({
  observations,
  finals,
  rewards,
  contexts,
  returns,
  lengths,
  terminated,
  truncated,
  diverged,
}: SharedBatch): BatchView => ({
  observations,
  finals,
  rewards,
  contexts,
  returns,
  lengths,
  terminated,
  truncated,
  diverged,
});

/** Copies a batch of actions to the shared memory, all or none. */
function takeActions(batch: SharedBatch, name: string, specs: PolicySpecs, actions: ArrayLike<number>): void {
  const { environmentCount, actionSize } = batch.sizes;
  if (actions.length !== batch.actions.length) {
    throw invalidArgument({
      where: `${name}: step`,
      expected: `${environmentCount} x ${actionSize} action values`,
      actual: String(actions.length),
    });
  }
  for (let i = 0; i < actions.length; i++) {
    const value = actions[i]!;
    if (value - value === 0) continue;
    const [row, dim] = [Math.floor(i / actionSize), i % actionSize];
    throw invalidArgument({
      where: `${name}: step`,
      expected: `a finite action value ${dim} (${specs.action.names[dim]}) in row ${row}`,
      actual: String(value),
    });
  }
  batch.actions.set(actions);
}

function writeContexts(
  batch: SharedBatch,
  name: string,
  specs: PolicySpecs,
  contexts: readonly ArrayLike<number>[],
): void {
  const { environmentCount, contextSize } = batch.sizes;
  const refuse = (expected: string, actual: string) =>
    invalidArgument({ where: `${name}: contexts`, expected, actual });
  if (specs.context === null) throw refuse('none, as the environment poses one task only', `${contexts.length}`);
  if (contexts.length !== environmentCount) throw refuse(`${environmentCount}, one a row`, `${contexts.length}`);
  contexts.forEach((context, row) => {
    if (context.length !== contextSize || !Array.from(context).every(Number.isFinite)) {
      throw refuse(`${contextSize} finite values in row ${row}`, Array.from(context).join(', '));
    }
  });
  contexts.forEach((context, row) => {
    batch.nextContexts.set(context, row * contextSize);
  });
}

function requireCount(what: string, count: number): void {
  if (Number.isSafeInteger(count) && count >= 1) return;
  throw invalidArgument({
    where: `createVectorEnv: ${what}`,
    expected: 'a positive integer',
    actual: String(count),
  });
}
