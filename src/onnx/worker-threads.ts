/**
 * The threads of a worker pool and the sessions that each of them holds. Watches their native calls, which nobody can end: a thread
 * whose call takes too long is given up, and another takes its place.
 */

import { unavailable } from '../contract/errors.ts';
import type { Opened, OpenRequest } from './worker-messages.ts';
import { createThread, type Thread } from './worker-thread.ts';

export type ThreadsOptions = {
  readonly workerCount: number;
  /** How long a run may take, milliseconds. Time in which its thread waits for a processor counts a tenth; for ever unless given. */
  readonly runMsMax?: number | undefined;
  /** How long each step of opening a session may take: reading a graph, and a first run. It is at low priority, so waiting counts in full. */
  readonly loadMsMax?: number | undefined;
  /**
   * Told at each look while a call of a session takes longer than `slowMs`, where calls are watched. Its time counts as above.
   * @returns whether its thread is given up now, before its time is over
   */
  readonly onSlow?: ((session: number) => boolean) | undefined;
  /** A thread was given up. */
  readonly onGivenUp?: (() => void) | undefined;
  /** A session is of no more use: a run of it, or its opening, did not end in time, or a new thread cannot open it. */
  readonly onLost: (session: number, reason: Error) => void;
  /** A thread that took the place of another is ready. */
  readonly onReady: () => void;
};

export type Threads = {
  /** Those that were given up are not among them. */
  readonly all: readonly Thread[];
  /** Opens a session on every thread: at once where loading is in a hurry, else on one after the other. */
  open(request: OpenRequest): Promise<Opened>;
  close(session: number): Promise<void>;
  /** Ends them all. Those that are given up are not waited for. */
  end(): Promise<void>;
};

/** A step of opening a session takes a fraction of this, unless the machine is very busy. */
export const slowMs = 5000;

/** Looks at each thread in the time that a call may take: it is given up at most so much of that later. */
const lookCount = 8;
/** What a millisecond of waiting for a processor counts of a run's time. */
const waitingShare = 0.1;
/** Between attempts to start a thread or to open a session on it, where the system refuses: no memory, no more threads or files. */
const retryMs = 1000;
const attemptCount = 5;

/** @throws HyperpolicyError failed_precondition if the threads' program is missing */
export const createThreads = (options: ThreadsOptions): Threads => new WatchedThreads(options);

class WatchedThreads implements Threads {
  readonly all: Thread[];
  readonly #options: ThreadsOptions;
  readonly #runMsMax: number;
  readonly #loadMsMax: number;
  readonly #sessions = new Map<number, OpenRequest>();
  /** Of the sessions that are being opened, too. */
  readonly #names = new Map<number, string>();
  /** Sessions that were told to be slow, and are not wanted any more: each of the threads may be in a call of one. */
  readonly #unwanted = new Set<number>();
  readonly #watch: NodeJS.Timeout | undefined;
  #hasEnded = false;

  constructor(options: ThreadsOptions) {
    const { workerCount, runMsMax = Number.POSITIVE_INFINITY, loadMsMax = Number.POSITIVE_INFINITY } = options;
    this.all = Array.from({ length: workerCount }, () => createThread());
    this.#options = options;
    this.#runMsMax = runMsMax;
    this.#loadMsMax = loadMsMax;
    const limitMs = Math.min(runMsMax, loadMsMax);
    const lookMs = Math.min(limitMs, slowMs) / lookCount;
    this.#watch = Number.isFinite(limitMs) ? setInterval(() => this.#look(lookMs), lookMs).unref() : undefined;
  }

  async open(request: OpenRequest): Promise<Opened> {
    const { session } = request;
    const alive = this.all.filter(({ isAlive }) => isAlive);
    this.#names.set(session, request.name);
    try {
      if (alive.length === 0) throw died();
      const opened = await (request.restRatio === 0 ? openAtOnce(alive, request) : openInTurn(alive, request));
      // A thread may have taken the place of another meanwhile.
      for (let thread = this.#lacking(session); thread !== undefined; thread = this.#lacking(session)) {
        await openOn(thread, request);
      }
      this.#sessions.set(session, request);
      return opened;
    } catch (error) {
      await this.close(session);
      throw error;
    }
  }

  close(session: number): Promise<void> {
    this.#sessions.delete(session);
    this.#names.delete(session);
    this.#unwanted.delete(session);
    return closeOn(this.all, session);
  }

  async end(): Promise<void> {
    this.#hasEnded = true;
    await Promise.all(this.all.map((thread) => thread.end()));
    clearInterval(this.#watch);
  }

  #look(lookMs: number): void {
    for (const thread of this.all.filter(({ isAlive }) => isAlive)) {
      const { session, takenMs, waitedMs } = thread.look(lookMs);
      const isOpening = thread.openings > 0 && thread.runs[0] !== session;
      const limitMs = isOpening ? this.#loadMsMax : this.#runMsMax;
      const countedMs = isOpening ? takenMs : takenMs - (1 - waitingShare) * waitedMs;
      if (countedMs >= limitMs) void this.#replace(thread, session, limitMs);
      else if (countedMs >= slowMs && this.#isUnwanted(session)) void this.#replace(thread, session, slowMs);
    }
  }

  #isUnwanted(session: number): boolean {
    if (!this.#unwanted.has(session) && this.#options.onSlow?.(session)) this.#unwanted.add(session);
    return this.#unwanted.has(session);
  }

  /** Another thread opens every session but that of the call. */
  async #replace(thread: Thread, session: number, limitMs: number): Promise<void> {
    const reason = endless(this.#names.get(session) ?? 'a session', limitMs);
    this.#lose(session, reason);
    thread.abandon(reason);
    this.#options.onGivenUp?.();
    let next = this.#startThread();
    while (next === undefined) {
      if (this.#hasEnded) return;
      await later();
      next = this.#startThread();
    }
    this.all[this.all.indexOf(thread)] = next;
    for (const [id, request] of [...this.#sessions]) await this.#reopen(next, id, request);
    next.isStarting = false;
    this.#options.onReady();
  }

  /** A thread that has no session yet; undefined if the system gives none, and once all have ended. */
  #startThread(): Thread | undefined {
    if (this.#hasEnded) return undefined;
    try {
      const next = createThread();
      next.isStarting = true;
      return next;
    } catch {
      return undefined;
    }
  }

  /** The other threads have the session: only after several refusals is it lost. */
  async #reopen(thread: Thread, id: number, request: OpenRequest): Promise<void> {
    for (let attempt = 1; thread.isAlive && this.#sessions.has(id) && !thread.sessions.has(id); attempt++) {
      try {
        await openOn(thread, request);
      } catch (error) {
        if (!thread.isAlive) return;
        if (attempt === attemptCount) this.#lose(id, error as Error);
        else await later();
      }
    }
    // It may have been closed meanwhile.
    if (!this.#sessions.has(id)) await closeOn([thread], id);
  }

  #lacking(session: number): Thread | undefined {
    return this.all.find((thread) => thread.isAlive && !thread.sessions.has(session));
  }

  #lose(session: number, reason: Error): void {
    this.#sessions.delete(session);
    this.#options.onLost(session, reason);
  }
}

async function openAtOnce(threads: readonly Thread[], request: OpenRequest): Promise<Opened> {
  const results = await Promise.allSettled(threads.map((thread) => openOn(thread, request)));
  const all = results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
  return all[0]!;
}

async function openInTurn(threads: readonly Thread[], request: OpenRequest): Promise<Opened> {
  const all: Opened[] = [];
  for (const thread of threads) all.push(await openOn(thread, request));
  return all[0]!;
}

async function openOn(thread: Thread, request: OpenRequest): Promise<Opened> {
  thread.openings++;
  try {
    const opened = await thread.ask('open', request);
    thread.sessions.add(request.session);
    return opened;
  } finally {
    thread.openings--;
  }
}

async function closeOn(threads: readonly Thread[], session: number): Promise<void> {
  const alive = threads.filter(({ isAlive }) => isAlive);
  await Promise.allSettled(
    alive.map((thread) => {
      thread.sessions.delete(session);
      return thread.ask('close', { session });
    }),
  );
}

const later = () => new Promise<void>((resolve) => void setTimeout(resolve, retryMs).unref());

const endless = (where: string, limitMs: number) =>
  unavailable({ where, expected: `a run that ends within ${limitMs} ms`, actual: 'one that goes on' });

export const died = () =>
  unavailable({ where: 'worker pool', expected: 'a live thread', actual: 'none: all have ended' });
