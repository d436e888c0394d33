/** Evaluations in a thread of their own, which has its own environment and copies of the parameters: learning goes on meanwhile. */

import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { failureError, type ThreadFailure } from '../machine/thread-failure.ts';
import { workerFile } from '../machine/worker-file.ts';
import type { Evaluated, EvaluationOrder, Evaluator } from './evaluator.ts';
import { copiesOf, type PolicyParameters, type Portable } from './portable-policy.ts';

/** Start data of the thread. */
export type EvaluationThreadData = { readonly environment: string; readonly model: Uint8Array };
/** Its questions and answers. */
export type EvaluationRequest = { readonly order: EvaluationOrder; readonly parameters: PolicyParameters };
/** Sent in place of a question: the thread ends, between two steps of an evaluation. */
export const endRequest = 'end';
export type EvaluationAnswer = { readonly evaluated: Evaluated } | { readonly failure: ThreadFailure };

/**
 * The thread starts with the first evaluation. An evaluation that is aborted ends it; the next one starts another. It ends by itself:
 * to terminate a thread in a run of ONNX Runtime aborts the process.
 * @param environment as `createEnvironment` takes it
 */
export function createEvaluationThread(environment: string, learner: Portable): Evaluator {
  let running: Running | undefined;

  const start = (model: Uint8Array): Running => {
    const workerData: EvaluationThreadData = { environment, model };
    const started = new Worker(workerFile(import.meta.url, 'evaluation-worker'), { workerData });
    // A pending question handles it; the end of an idle thread is not an error.
    started.on('error', () => {});
    return { thread: started, ended: new Promise((resolve) => started.once('exit', resolve)) };
  };

  const stop = async () => {
    const ending = running;
    running = undefined;
    ending?.thread.postMessage(endRequest);
    await ending?.ended;
  };

  return {
    isConcurrent: true,
    async evaluate(order, signal) {
      signal?.throwIfAborted();
      const { model, parameters } = learner.portablePolicy();
      const copies = copiesOf(parameters);
      running ??= start(model);
      const { thread } = running;
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
        await stop();
        throw error;
      }
    },
    dispose: stop,
  };
}

type Running = { readonly thread: Worker; readonly ended: Promise<unknown> };

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
