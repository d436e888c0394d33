/** The thread of `evaluation-thread.ts`: one environment, one policy; an evaluation a message. */

import { parentPort, workerData } from 'node:worker_threads';
import type { Env } from '../../src/envs/env.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { describeFailure } from '../machine/thread-failure.ts';
import {
  type EvaluationAnswer,
  type EvaluationRequest,
  type EvaluationThreadData,
  endRequest,
} from './evaluation-thread.ts';
import { evaluateOn } from './evaluator.ts';
import { openPolicy } from './portable-policy.ts';

async function main({ environment, model }: EvaluationThreadData): Promise<void> {
  const port = parentPort!;
  const policy = openPolicy(model);
  const ending = new AbortController();
  let opening: Promise<Env> | undefined;
  let answered: Promise<void> | undefined;
  const answer = async ({ order, parameters }: EvaluationRequest): Promise<EvaluationAnswer> => {
    try {
      opening ??= createEnvironment(environment);
      const own = { env: await opening, act: policy.actWith(parameters), signal: ending.signal };
      return { evaluated: await evaluateOn(own, order) };
    } catch (error) {
      return { failure: describeFailure(error) };
    }
  };
  const end = async () => {
    ending.abort();
    await answered;
    policy.dispose();
    // Nothing else keeps the thread alive.
    port.close();
  };
  port.on('message', (request: EvaluationRequest | typeof endRequest) => {
    if (request === endRequest) void end();
    else answered = answer(request).then((value) => port.postMessage(value));
  });
}

await main(workerData as EvaluationThreadData);
