/**
 * QGrad: observations [B, O], actions [B, A] and, where the critic takes them, contexts [B, C] to values [B] and action-gradients [B, A] of
 * one or both value functions.
 *
 * Errors: as Act; FAILED_PRECONDITION where the model has no critic. Statuses and metrics are applied in transport/invocation.ts.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { QGradRequest, QGradResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkResult, type Sent } from '../call/finite.ts';
import type { UnaryHandler } from '../call/rpc.ts';
import { encodeTensor } from '../call/tensors.ts';
import { type CriticInputs, type CriticOutputs, reduceEnsemble } from '../models/served-critic.ts';
import { climb } from './ascent.ts';
import type { ContextHandles } from './context-handles.ts';
import { type QGradPlan, readQGradRequest } from './q-grad-request.ts';
import { checkDeadline, eachRow } from './request-checks.ts';
import { Task, type TaskDeps } from './task.ts';

export type QGradResponseInit = MessageInitShape<typeof QGradResponseSchema>;

/** What an answer is made from. */
type QGradParts = { readonly request: QGradRequest; readonly plan: QGradPlan; readonly task: Task };

export function createQGradHandler(
  deps: TaskDeps & { readonly handles: ContextHandles },
): UnaryHandler<QGradRequest, QGradResponseInit> {
  return (request, call) => {
    const served = deps.handles.resolve('QGrad', request, call);
    const plan = readQGradRequest(served, request, call, deps);
    const task = new Task({ method: 'QGrad', served, call, rowCount: plan.action.rowCount }, deps);
    checkDeadline('QGrad', call);
    return new QGradAnswer({ request, plan, task }).answer();
  };
}

class QGradAnswer {
  readonly #parts: QGradParts;

  constructor(parts: QGradParts) {
    this.#parts = parts;
  }

  answer(): QGradResponseInit | Promise<QGradResponseInit> {
    const { task, plan } = this.#parts;
    const { critic, observation, action } = plan;
    if (critic.weights === undefined) return this.#finish({ observation: eachRow(observation, action.rowCount) });
    const weights = task.weights(critic.weights, observation);
    if (!(weights instanceof Promise)) return this.#finish({ weights });
    return this.#later(async () => {
      const generated = await weights;
      checkDeadline('QGrad', task.call, 'The weights are kept');
      return this.#finish({ weights: generated });
    });
  }

  #finish(inputs: Partial<CriticInputs>): QGradResponseInit | Promise<QGradResponseInit> {
    const { task, plan } = this.#parts;
    const { ascent, critic, action } = plan;
    if (ascent === undefined) {
      const outputs = this.#run(inputs);
      return outputs instanceof Promise
        ? this.#later(async () => this.#respond(await outputs))
        : this.#respond(outputs);
    }
    // Joined once, for all steps.
    const joined = { ...inputs, weights: inputs.weights && critic.joined(inputs.weights) };
    const gradients = async () => this.#reduce(await this.#run(joined)).dqDa;
    const climbed = climb({ ascent, gradients, actions: action.values, served: task.served, call: task.call });
    return this.#later(async () => this.#respond(await climbed.then(() => this.#run(joined))));
  }

  #later(answer: () => Promise<QGradResponseInit>): Promise<QGradResponseInit> {
    return this.#parts.task.inTime(answer, 'The batch is too large or the server too busy for this deadline');
  }

  #run(inputs: Partial<CriticInputs>): CriticOutputs | Promise<CriticOutputs> {
    const { plan, task } = this.#parts;
    const { critic, action, context } = plan;
    const { rowCount, values } = action;
    const { deadlineMs } = task.call;
    return task.network(() => critic.run({ ...inputs, rowCount, context, action: values, deadlineMs }));
  }

  #reduce(outputs: CriticOutputs) {
    const { task, plan } = this.#parts;
    const { critic, observation, action, context, reduction } = plan;
    const { model, version, actionSize } = task.served;
    const { ensembleSize } = critic;
    const reduced = reduceEnsemble(outputs, { reduction, rowCount: action.rowCount, ensembleSize, actionSize });
    const sent: Sent = { method: 'QGrad', values: [observation.values, action.values, context] };
    checkResult(`model "${model}" version ${version}: q`, reduced.q, sent);
    checkResult(`model "${model}" version ${version}: dq_da`, reduced.dqDa, sent);
    return reduced;
  }

  #respond(outputs: CriticOutputs): QGradResponseInit {
    const { request, plan, task } = this.#parts;
    const { rowCount, values } = plan.action;
    const { q, dqDa } = this.#reduce(outputs);
    const shape = [rowCount, task.served.actionSize];
    return {
      ...task.responseTo(request),
      ...(plan.ascent && { action: encodeTensor(values, shape) }),
      q: encodeTensor(q, [rowCount]),
      dqDa: encodeTensor(dqDa, shape),
    };
  }
}
