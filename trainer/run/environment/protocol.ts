/**
 * The protocol between the main thread and a thread of user code. Orders go through shared memory, as a step may take microseconds:
 * the thread does what `job` says whenever `order` changes, and then stores that order in `done`. Questions are messages, whose order
 * wakes the thread. One thing at a time.
 */

import type { MessagePort } from 'node:worker_threads';
import type { SampleTasksOptions } from '../../../src/envs/task-distribution.ts';
import { trailSize } from '../../../src/envs/user-code-trail.ts';
import type { ThreadFailure } from '../../machine/thread-failure.ts';
import type { RestoredRow, RowOptions, RowState } from '../../rollout/rows.ts';
import type { BatchSizes } from '../../rollout/shared-batch.ts';
import type { Evaluated, EvaluationOrder } from '../evaluator.ts';
import type { PolicyParameters } from '../portable-policy.ts';
import type { EnvironmentFacts } from './environment.ts';

/** Start data of a thread. */
export type EnvThreadData = {
  /** Place of the user's file. */
  readonly place: string;
  readonly control: SharedArrayBuffer;
  readonly port: MessagePort;
};

export const jobs = { answer: 0, step: 1, reset: 2 } as const;
export type Job = (typeof jobs)[keyof typeof jobs];

/** Places in a thread's control, a cache line apart if one thread writes while another reads. */
export const slot = {
  order: 0,
  job: 1,
  /** The batch of a step or a reset. */
  batch: 2,
  /** Number of the episode that a reset begins; -1 for the next one. */
  episode: 3,
  done: 16,
  /** 1 if an evaluation, a step or a reset in progress is to end between two calls into user code. */
  isCut: 32,
  /** The user code's trail. */
  trail: 48,
} as const;

export const controlByteCount = 4 * (slot.trail + trailSize);

export const trailOf = (control: SharedArrayBuffer) => new Int32Array(control, 4 * slot.trail, trailSize);

type OpenRows = Pick<RowOptions, 'seed' | 'givenContexts'> & {
  readonly batch: number;
  readonly sizes: BatchSizes;
  readonly memory: SharedArrayBuffer;
  /** The row that the thread claims first. */
  readonly firstRow: number;
};

/** Questions and answers by kind. */
export type EnvQuestions = {
  facts(body: null): EnvironmentFacts;
  stateSize(body: null): number;
  sampleTasks(options: SampleTasksOptions): Float64Array[];
  openRows(rows: OpenRows): null;
  saveRows(batch: number): RowState[];
  restoreRows(body: { readonly batch: number; readonly states: readonly RestoredRow[] }): null;
  closeRows(batch: number): null;
  openPolicy(model: Uint8Array): null;
  /** Null if it was cut. */
  evaluate(body: { readonly order: EvaluationOrder; readonly parameters: PolicyParameters }): Evaluated | null;
  dispose(body: null): null;
};

export type Question = { readonly kind: keyof EnvQuestions; readonly body: unknown };
/** `failed` is of a step or a reset, and no answer. */
export type EnvMessage =
  | { readonly answer: unknown }
  | { readonly refusal: ThreadFailure }
  | { readonly failed: ThreadFailure };
