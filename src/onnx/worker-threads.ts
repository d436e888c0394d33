/**
 * The threads of a worker pool and the sessions that each of them holds. Watches their native calls, which nobody can end: a thread
 * whose call takes too long is given up, and another takes its place.
 */

import { unavailable } from '../contract/errors.ts';
import type { Opened, OpenRequest } from './worker-messages.ts';
import { createThread, type Thread } from './worker-thread.ts';

export type ThreadsOptions = {
  readonly workerCount: number;
  /** How long a run may take, milliseconds; for ever unless given. */
  readonly runMsMax?: number | undefined;
  /** The same of each step of opening a session: reading a graph, and a first run. */
  readonly loadMsMax?: number | undefined;
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

/** Looks at each thread in the time that a call may take: it is given up at most so much of that later. */
const lookCount = 8;

/** @throws HyperpolicyError failed_precondition where the threads' program is missing */
export function createThreads({
  workerCount,
  runMsMax = Number.POSITIVE_INFINITY,
  loadMsMax = Number.POSITIVE_INFINITY,
  onGivenUp,
  onLost,
  onReady,
}: ThreadsOptions): Threads {
  const all = Array.from({ length: workerCount }, createThread);
  const sessions = new Map<number, OpenRequest>();
  /** Of the sessions that are being opened, too. */
  const names = new Map<number, string>();
  let hasEnded = false;
  const lookMs = Math.min(runMsMax, loadMsMax) / lookCount;
  const watch = Number.isFinite(lookMs) ? setInterval(look, lookMs).unref() : undefined;

  /** Looks are counted, not timed: while this process itself stands still, nothing is. */
  function look(): void {
    for (const thread of all.filter(({ isAlive }) => isAlive)) {
      const { session, foundCount } = thread.look();
      const limitMs = thread.isOpening && thread.runs[0] !== session ? loadMsMax : runMsMax;
      if (foundCount * lookMs >= limitMs) thread.replaced = replace(thread, session, limitMs);
    }
  }

  /** Another thread opens every session but that of the call. */
  async function replace(thread: Thread, session: number, limitMs: number): Promise<void> {
    const reason = endless(names.get(session) ?? 'a session', limitMs);
    lose(session, reason);
    thread.abandon(reason);
    onGivenUp?.();
    if (hasEnded) return;
    const next = createThread();
    next.isStarting = true;
    all[all.indexOf(thread)] = next;
    for (const [id, request] of [...sessions]) {
      await openOn(next, request).catch((error: Error) => next.isAlive && lose(id, error));
      // It may have been closed meanwhile.
      if (!sessions.has(id)) await closeOn([next], id);
    }
    next.isStarting = false;
    // It may have been given up itself.
    await next.replaced;
    onReady();
  }

  function lose(session: number, reason: Error): void {
    sessions.delete(session);
    onLost(session, reason);
  }

  return {
    all,
    async open(request) {
      const alive = all.filter(({ isAlive }) => isAlive);
      names.set(request.session, request.name);
      try {
        if (alive.length === 0) throw died();
        const opened = await (request.restRatio === 0 ? openAtOnce(alive, request) : openInTurn(alive, request));
        sessions.set(request.session, request);
        return opened;
      } catch (error) {
        await this.close(request.session);
        throw error;
      }
    },
    close(session) {
      sessions.delete(session);
      names.delete(session);
      return closeOn(all, session);
    },
    async end() {
      hasEnded = true;
      await Promise.all(all.map((thread) => thread.end()));
      clearInterval(watch);
    },
  };
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
  thread.isOpening = true;
  try {
    return await thread.ask('open', request);
  } finally {
    thread.isOpening = false;
  }
}

async function closeOn(threads: readonly Thread[], session: number): Promise<void> {
  const alive = threads.filter(({ isAlive }) => isAlive);
  await Promise.allSettled(alive.map((thread) => thread.ask('close', { session })));
}

const endless = (where: string, limitMs: number) =>
  unavailable({ where, expected: `a run that ends within ${limitMs} ms`, actual: 'one that goes on' });

export const died = () =>
  unavailable({ where: 'worker pool', expected: 'a live thread', actual: 'none: all have ended' });
