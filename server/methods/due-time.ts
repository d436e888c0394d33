/**
 * Deadlines and budgets: when an answer is due, and what is sent if it is late. The server answers before the client's deadline, because a
 * client that gives up resets its call, and a burst of resets makes Node cut the whole connection.
 */

import { deadlineExceeded, type HyperpolicyError } from '../../src/contract/errors.ts';
import { callAt } from '../../src/contract/timers.ts';
import { type Call, callCancelled, type Demand, deadlinePassed } from '../call/rpc.ts';

export type DueReason = 'budget' | 'deadline';

export type Due = {
  /** On the clock of `performance.now()`. */
  readonly atMs: number;
  readonly reason: DueReason;
};

/**
 * When a call's answer is due: at the end of its budget, or some time before its deadline.
 * @param budgetUs 0 means none
 * @param marginMs time before the deadline; at most half of the time that was left when the message arrived
 */
export function dueOf(call: Call, budgetUs: number, marginMs: number): Due | undefined {
  const budget: Due | undefined =
    budgetUs === 0 ? undefined : { atMs: call.receivedAtMs + budgetUs / 1000, reason: 'budget' };
  if (call.deadlineMs === Number.POSITIVE_INFINITY) return budget;
  const nowMs = performance.now();
  const deadlineAtMs = nowMs + call.deadlineMs - Date.now();
  const leftMs = deadlineAtMs - call.receivedAtMs;
  const deadline: Due = { atMs: deadlineAtMs - Math.min(marginMs, Math.max(0, leftMs / 2)), reason: 'deadline' };
  return budget !== undefined && budget.atMs <= deadline.atMs ? budget : deadline;
}

/** Whether it is already too late to compute. Here the deadline counts in full, since the margin is for waiting. */
export const isOver = (due: Due, call: Call): boolean =>
  due.reason === 'budget' ? performance.now() >= due.atMs : Date.now() > call.deadlineMs;

/** The demand for work that is useful only until the answer is due. */
export const demandOf = (call: Call, due: Due | undefined): Demand =>
  due?.reason === 'budget' ? demandUntil(call, Date.now() + due.atMs - performance.now()) : call;

/** A call's demand with another deadline. */
export const demandUntil = (call: Call, deadlineMs: number): Demand => ({
  deadlineMs,
  get isGone() {
    return call.isGone;
  },
});

/**
 * The answer; if it is not there when due, the result (or error) of `late`. The work then goes on, and its result is dropped.
 * @param failLate told if the work fails after that, as `Call.failLate`
 */
export function answerByDue<T>(
  answer: Promise<T>,
  due: Due | undefined,
  late: () => T,
  failLate: Call['failLate'],
): Promise<T> {
  if (due === undefined) return answer;
  return new Promise((resolve, reject) => {
    let isLate = false;
    const cancel = callAt(due.atMs, () => {
      isLate = true;
      try {
        resolve(late());
      } catch (error) {
        reject(error);
      }
    });
    const fail = (error: unknown) => (isLate ? failLate(error) : reject(error));
    answer.then(resolve, fail).finally(cancel);
  });
}

/** The error of a late answer. @param computed says what happened to the work, as a sentence */
export function lateError(method: string, { reason }: Due, computed: string): HyperpolicyError {
  return deadlineExceeded({
    where: method,
    expected: reason === 'budget' ? 'an answer within the budget' : 'an answer before the deadline',
    actual: 'none yet',
    remedy: computed,
  });
}

/**
 * @param computed as lateError
 * @throws HyperpolicyError deadline_exceeded or cancelled if the client no longer waits
 */
export function checkDeadline(method: string, call: Call, computed = 'Nothing was computed'): void {
  // In this order: a library cancels a call whose deadline has passed.
  const lateMs = call.deadlineMs === Number.POSITIVE_INFINITY ? 0 : Date.now() - call.deadlineMs;
  if (lateMs > 0) throw deadlinePassed(method, lateMs, computed);
  requireClient(method, call, computed);
}

/**
 * @param computed as lateError
 * @throws HyperpolicyError cancelled if the call was cancelled
 */
export function requireClient(method: string, { isGone }: Call, computed = 'What was computed is not sent'): void {
  if (isGone) throw callCancelled(method, computed);
}
