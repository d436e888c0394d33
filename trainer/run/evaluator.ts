/** What an evaluator is, and the evaluation that each makes. */

import { type EvaluationOptions, type EvaluationResult, evaluate } from './evaluation.ts';
import { tasksInRange, tasksOutOfRange } from './held-out-tasks.ts';

export type EvaluationOrder = Pick<EvaluationOptions, 'episodeCount' | 'seed'> & {
  /** Whether tasks beyond the training range are evaluated too, apart, if the environment has such. */
  readonly outOfRange: boolean;
};

export type Evaluated = {
  /** On tasks of the training range, or on the only task. */
  readonly inRange: EvaluationResult;
  readonly outOfRange: EvaluationResult | undefined;
};

export type Evaluator = {
  /** Whether the learner may go on while an evaluation runs: its parameters are copied before `evaluate` returns its promise. */
  readonly isConcurrent: boolean;
  /**
   * Evaluates the learner as it is now. One at a time.
   * @throws what the environment throws; the signal's reason if it is aborted
   */
  evaluate(order: EvaluationOrder, signal: AbortSignal | undefined): Promise<Evaluated>;
  dispose(): Promise<void>;
};

/** An evaluation on this thread. */
export async function evaluateOn(
  own: Pick<EvaluationOptions, 'env' | 'act' | 'signal'>,
  { outOfRange, ...order }: EvaluationOrder,
): Promise<Evaluated> {
  const options = { ...own, ...order };
  const { tasks } = own.env;
  if (tasks === null) return { inRange: await evaluate(options), outOfRange: undefined };
  const inRange = await evaluate({ ...options, contexts: await tasksInRange(tasks, order) });
  const contexts = outOfRange ? await tasksOutOfRange(tasks, order) : undefined;
  return { inRange, outOfRange: contexts && (await evaluate({ ...options, contexts })) };
}
