/** Evaluations in a thread of their own, which has its own environment and copies of the parameters: learning goes on meanwhile. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { failureError, type ThreadFailure } from '../rollout/thread-failure.ts';
import { workerFile } from '../rollout/worker-file.ts';
import type { Evaluated, EvaluationOrder, Evaluator } from './evaluator.ts';
import type { PolicyParameters, Portable } from './portable-policy.ts';

/** Start data of the thread. */
export type EvaluationThreadData = { readonly environment: string; readonly model: Uint8Array };
/** Its questions and answers. */
export type EvaluationRequest = { readonly order: EvaluationOrder; readonly parameters: PolicyParameters };
export type EvaluationAnswer = { readonly evaluated: Evaluated } | { readonly failure: ThreadFailure };

/**
 * The thread starts with the first evaluation. An evaluation that is aborted ends it, in the middle of a step if need be; the next one
 * starts another.
 * @param environment as `createEnvironment` takes it
 */
export function createEvaluationThread(environment: string, learner: Portable): Evaluator {
  let thread: Worker | undefined;

  const start = (model: Uint8Array): Worker => {
    const workerData: EvaluationThreadData = { environment, model };
    const started = new Worker(workerFile(import.meta.url, 'evaluation-worker'), { workerData });
    // A pending question handles it; the end of an idle thread is not an error.
    started.on('error', () => {});
    return started;
  };

  const stop = () => {
    void thread?.terminate();
    thread = undefined;
  };

  return {
    isConcurrent: true,
    async evaluate(order, signal) {
      signal?.throwIfAborted();
      const { model, parameters } = learner.portablePolicy();
      const copies = Object.fromEntries(Object.entries(parameters).map(([name, values]) => [name, values.slice()]));
      thread ??= start(model);
      const request: EvaluationRequest = { order, parameters: copies };
      thread.postMessage(
        request,
        Object.values(copies).map(({ buffer }) => buffer),
      );
      try {
        const answer = await answerOf(thread, signal);
        if ('failure' in answer) throw failureError('evaluation', answer.failure);
        return answer.evaluated;
      } catch (error) {
        stop();
        throw error;
      }
    },
    dispose: stop,
  };
}

/** @throws the thread's error or end; the signal's reason */
async function answerOf(thread: Worker, signal: AbortSignal | undefined): Promise<EvaluationAnswer> {
  const waits = new AbortController();
  const options = { signal: waits.signal };
  const onAbort = () => waits.abort();
  signal?.addEventListener('abort', onAbort);
  try {
    return await Promise.race([
      once(thread, 'message', options).then(([answer]) => answer as EvaluationAnswer),
      once(thread, 'exit', options).then(([code]): never => {
        throw new Error(`evaluation: the thread ended with code ${code}`);
      }),
    ]);
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', onAbort);
    waits.abort();
  }
}
