/**
 * QGrad: observations [B, O], actions [B, A] and, where the critic takes them, contexts [B, C] to values [B] and action-gradients [B, A] of
 * one or both value functions.
 *
 * Errors: as Act; FAILED_PRECONDITION where the model has no critic. Statuses and metrics are applied in transport/invocation.ts.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import type { QGradRequest, QGradResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkResult, type Sent } from '../call/finite.ts';
import type { Call, UnaryHandler } from '../call/rpc.ts';
import { distinctRows, encodeTensor, repeatRow } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import { type CriticInputs, type CriticOutputs, reduceEnsemble } from '../models/served-critic.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import { climb } from './ascent.ts';
import type { ContextHandles } from './context-handles.ts';
import { answerByDue, type Due, dueOf, lateError } from './due-time.ts';
import { type QGradPlan, readQGradRequest } from './q-grad-request.ts';
import { checkDeadline } from './request-checks.ts';
import { RequestTimer } from './timing.ts';

export type QGradResponseInit = MessageInitShape<typeof QGradResponseSchema>;

export type QGradDeps = {
  readonly handles: ContextHandles;
  readonly config: ServerConfig;
  /** Smoothed lateness of the event loop, microseconds. */
  readonly eventLoopDelayUs: () => number;
  readonly work: WorkMetrics;
};

export function createQGradHandler(deps: QGradDeps): UnaryHandler<QGradRequest, QGradResponseInit> {
  const { handles, config, eventLoopDelayUs, work } = deps;
  return (request, call) => {
    const served = handles.resolve('QGrad', request, call);
    const plan = readQGradRequest(served, request, call, deps);
    const { rowCount } = plan.action;
    work.rows(rowCount);
    call.record?.served(served, rowCount);
    checkDeadline('QGrad', call);
    const due = dueOf(call, 0, config.deadlineMarginMs);
    const timer = new RequestTimer(call, { eventLoopDelayUs, work });
    return new QGradTask({ served, request, call, plan, due, timer }).answer();
  };
}

/** What an answer is made from. */
type QGradParts = {
  readonly served: ServedVersion;
  readonly request: QGradRequest;
  readonly call: Call;
  readonly plan: QGradPlan;
  readonly due: Due | undefined;
  readonly timer: RequestTimer;
};

class QGradTask {
  readonly #parts: QGradParts;

  constructor(parts: QGradParts) {
    this.#parts = parts;
  }

  answer(): QGradResponseInit | Promise<QGradResponseInit> {
    const { served, call, plan, timer } = this.#parts;
    const { critic, observation, action } = plan;
    if (critic.weights === undefined) {
      const { values, rowCount } = observation;
      return this.#finish({ observation: rowCount === 1 ? repeatRow(values, action.rowCount) : values });
    }
    const distinct = distinctRows(observation, served.observationSize);
    const { index } = distinct;
    const startMs = performance.now();
    const weights = critic.weights.weightsFor(distinct, call.deadlineMs);
    if (!(weights instanceof Promise)) return this.#finish({ weights, index });
    return this.#later(async () => {
      const generated = await timer.primary(startMs, weights);
      checkDeadline('QGrad', call, 'The weights are kept');
      return this.#finish({ weights: generated, index });
    });
  }

  #finish(inputs: Partial<CriticInputs>): QGradResponseInit | Promise<QGradResponseInit> {
    const { served, call, plan } = this.#parts;
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
    const climbed = climb({ ascent, gradients, actions: action.values, served, call });
    return this.#later(async () => this.#respond(await climbed.then(() => this.#run(joined))));
  }

  /** An answer that takes several turns: the version stays meanwhile, and the client waits no longer than its deadline. */
  #later(answer: () => Promise<QGradResponseInit>): Promise<QGradResponseInit> {
    const { served, due } = this.#parts;
    return answerByDue(whenHeld(served, answer), due, () => {
      throw lateError('QGrad', due!, 'The batch is too large or the server too busy for this deadline');
    });
  }

  #run(inputs: Partial<CriticInputs>): CriticOutputs | Promise<CriticOutputs> {
    const { call, plan, timer } = this.#parts;
    const { critic, action, context } = plan;
    const { rowCount, values } = action;
    return timer.network(() =>
      critic.run({ ...inputs, rowCount, context, action: values, deadlineMs: call.deadlineMs }),
    );
  }

  #reduce(outputs: CriticOutputs) {
    const { served, plan } = this.#parts;
    const { critic, observation, action, context, reduction } = plan;
    const { model, version, actionSize } = served;
    const { ensembleSize } = critic;
    const reduced = reduceEnsemble(outputs, { reduction, rowCount: action.rowCount, ensembleSize, actionSize });
    const sent: Sent = { method: 'QGrad', values: [observation.values, action.values, context] };
    checkResult(`model "${model}" version ${version}: q`, reduced.q, sent);
    checkResult(`model "${model}" version ${version}: dq_da`, reduced.dqDa, sent);
    return reduced;
  }

  #respond(outputs: CriticOutputs): QGradResponseInit {
    const { served, request, plan, timer } = this.#parts;
    const { rowCount, values } = plan.action;
    const reduced = this.#reduce(outputs);
    return {
      ...(plan.ascent && { action: encodeTensor(values, [rowCount, served.actionSize]) }),
      q: encodeTensor(reduced.q, [rowCount]),
      dqDa: encodeTensor(reduced.dqDa, [rowCount, served.actionSize]),
      version: served.version,
      weightAgeMs: Date.now() - served.publishedAtMs,
      sequence: request.sequence,
      timing: timer.timing(),
    };
  }
}
