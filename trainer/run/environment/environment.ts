/**
 * The environment of a run: its facts, and the threads that run it. An environment of this project runs wherever it suits. A
 * user's file runs in threads of its own alone, so that nothing in it, not even a loop without an end, keeps the process from its signals.
 */

import type { Env } from '../../../src/envs/env.ts';
import type { TaskFamily } from '../../../src/envs/task-distribution.ts';
import type { VectorEnvOptions } from '../../rollout/vector-env.ts';
import type { Evaluator } from '../evaluator.ts';
import type { Portable } from '../portable-policy.ts';
import type { HangError } from './hang.ts';

/** Facts that are known without running it; plain data. */
export type EnvironmentFacts = Pick<Env, 'name' | 'specs' | 'episodeStepCountMax'> & {
  readonly tasks: Pick<TaskFamily, 'spec' | 'ranges' | 'counts'> | null;
};

export type Environment = Omit<EnvironmentFacts, 'tasks'> & {
  readonly tasks: TaskFamily | null;
  /** For `createVectorEnv`. */
  readonly source: VectorEnvOptions['env'];
  /** Evaluates a learner on another instance, in another thread than the caller's. */
  createEvaluator(learner: Portable): Evaluator;
  /**
   * After an interrupt: waits for user code that is in progress, for `graceMs` at most.
   * @returns the hang, if it did not return in this time
   */
  settle(): Promise<HangError | undefined>;
  dispose(): Promise<void>;
};

export type OpenOptions = {
  /** Aborting gives user code `graceMs` to return. */
  readonly signal: AbortSignal | undefined;
  /** Tells the person of user code that did not return when it was disposed. */
  readonly tell: (line: string) => void;
};
