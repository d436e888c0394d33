/**
 * The runs of a worker pool: they wait in one bounded queue, and each goes to the first thread that can begin it. One run may lie ready
 * behind another of its session, so that the thread need not wait for this one between the two.
 */

import { resourceExhausted } from '../contract/errors.ts';
import type { TensorMap } from './session.ts';
import { blockOf, placeTensors, viewTensors, writeTensors } from './shared-tensors.ts';
import type { Lane, Thread } from './worker-thread.ts';
import { died } from './worker-threads.ts';

export type Taking<T> = {
  /** Given views of shared memory that is used again when it returns: it copies what is to stay. */
  readonly take: (outputs: TensorMap) => T;
  /** Told, before that, that the thread has done its part and can begin another run. */
  readonly freed?: () => void;
  /** Names of the outputs that are wanted; all unless given. */
  readonly outputs?: readonly string[] | undefined;
};

type Job = {
  readonly session: number;
  readonly run: (thread: Thread, lane: Lane) => Promise<void>;
  readonly fail: (error: Error) => void;
};

export class RunQueue {
  readonly #threads: readonly Thread[];
  readonly #countMax: number;
  readonly #jobs: Job[] = [];

  /** @param threads of the pool; a thread that is given up is replaced in this list */
  constructor(threads: readonly Thread[], countMax: number) {
    this.#threads = threads;
    this.#countMax = countMax;
  }

  /** Runs that wait for a thread. */
  get count(): number {
    return this.#jobs.length;
  }

  /** Threads that have nothing to do; 1 if all have died, and a run would say so. */
  get idleCount(): number {
    return this.#threads.some(({ isAlive }) => isAlive) ? this.#idle().length : 1;
  }

  /** Whether a run would at once lie ready behind one of this session that is under way. */
  canFollow(session: number): boolean {
    return this.#threads.some((thread) => canFollow(thread, session));
  }

  /** @throws HyperpolicyError resource_exhausted: the queue is full; unavailable: every thread has died; what the thread and `take` throw */
  add<T>(session: number, feeds: TensorMap, taking: Taking<T>): Promise<T> {
    if (this.#threadFor(session) === undefined && this.#jobs.length >= this.#countMax) {
      return Promise.reject(full(this.#countMax));
    }
    const done = new Promise<T>((resolve, fail) => {
      const run = (thread: Thread, lane: Lane) =>
        this.#runOn({ thread, lane, session, feeds, taking }).then(resolve, fail);
      this.#jobs.push({ session, run, fail });
    });
    this.dispatch();
    return done;
  }

  /** Gives waiting runs to threads. */
  dispatch(): void {
    while (this.#jobs.length > 0) {
      const thread = this.#threadFor(this.#jobs[0]!.session);
      if (thread === undefined) break;
      void this.#jobs.shift()!.run(thread, thread.freeLanes.pop()!);
    }
    if (this.#jobs.length > 0 && this.#threads.every(({ isAlive }) => !isAlive)) {
      for (const { fail } of this.#jobs.splice(0)) fail(died());
    }
  }

  /** Fails the waiting runs of a session. */
  drop(session: number, reason: Error): void {
    for (const job of this.#jobs.filter((waiting) => waiting.session === session)) {
      this.#jobs.splice(this.#jobs.indexOf(job), 1);
      job.fail(reason);
    }
  }

  /** Those that open a graph come last: a step of that may be under way. */
  #idle(): Thread[] {
    return this.#threads.filter(isIdle).sort((a, b) => Number(a.openings > 0) - Number(b.openings > 0));
  }

  /** The thread that can begin a run of a session soonest; undefined if it must wait. A dead thread is not used again. */
  #threadFor(session: number): Thread | undefined {
    return this.#idle()[0] ?? this.#threads.find((thread) => canFollow(thread, session));
  }

  /** One run on a thread: the next one begins before this one's outputs are taken. */
  async #runOn<T>({ thread, lane, session, feeds, taking }: ThreadRun<T>): Promise<T> {
    try {
      const { places, byteLength } = placeTensors(feeds);
      const block = blockOf(lane.input, byteLength);
      const isNew = block !== lane.input;
      lane.input = block;
      writeTensors(block, places, feeds);
      const { outputs } = taking;
      const request = { session, lane: lane.id, places, ...(isNew && { block }), ...(outputs && { outputs }) };
      thread.runs.push(session);
      if (thread.openings > 0) thread.hurry();
      const reply = await thread.ask('run', request).finally(() => thread.runs.shift());
      lane.output = reply.block ?? lane.output;
      taking.freed?.();
      this.dispatch();
      return taking.take(viewTensors(lane.output, reply.places));
    } finally {
      thread.freeLanes.push(lane);
      this.dispatch();
    }
  }
}

type ThreadRun<T> = {
  readonly thread: Thread;
  readonly lane: Lane;
  readonly session: number;
  readonly feeds: TensorMap;
  readonly taking: Taking<T>;
};

const isIdle = ({ isAlive, isStarting, runs, freeLanes }: Thread): boolean =>
  isAlive && !isStarting && runs.length === 0 && freeLanes.length > 0;

const canFollow = ({ isAlive, runs, freeLanes }: Thread, session: number): boolean =>
  isAlive && runs.length === 1 && runs[0] === session && freeLanes.length > 0;

const full = (queueCountMax: number) =>
  resourceExhausted({
    where: 'worker pool',
    expected: `at most ${queueCountMax} runs waiting`,
    actual: 'one more',
    remedy: 'Try again later, or raise queueCountMax',
  });
