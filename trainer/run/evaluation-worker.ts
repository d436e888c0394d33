/** The thread of `evaluation-thread.ts`: one environment, one policy; an evaluation a message. */

import { parentPort, workerData } from 'node:worker_threads';
import type { Env } from '../../src/envs/env.ts';
import { createEnvironment } from '../../src/envs/registry.ts';
import { describeFailure } from '../rollout/thread-failure.ts';
import type { EvaluationAnswer, EvaluationRequest, EvaluationThreadData } from './evaluation-thread.ts';
import { evaluateOn } from './evaluator.ts';
import { openPolicy } from './portable-policy.ts';

async function main({ environment, model }: EvaluationThreadData): Promise<void> {
  const port = parentPort!;
  const policy = openPolicy(model);
  let opening: Promise<Env> | undefined;
  const answer = async ({ order, parameters }: EvaluationRequest): Promise<EvaluationAnswer> => {
    try {
      opening ??= createEnvironment(environment);
      const own = { env: await opening, act: policy.actWith(parameters) };
      return { evaluated: await evaluateOn(own, order) };
    } catch (error) {
      return { failure: describeFailure(error) };
    }
  };
  port.on('message', (request: EvaluationRequest) => {
    void answer(request).then((value) => port.postMessage(value));
  });
}

await main(workerData as EvaluationThreadData);
