/**
 * QGrad: observations [B, O], actions [B, A] and contexts [B, C], if the critic takes them, to values [B] and action-gradients [B, A] of
 * one or both value functions.
 *
 * Errors: as Act; FAILED_PRECONDITION if the model has no critic. Statuses and metrics are applied in transport/invocation.ts.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { type Gradients, reduceEnsemble } from '../../src/contract/reduced-ensemble.ts';
import type { Ascent, QGradRequest, QGradResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { climbedAction } from '../../src/onnx/climbing.ts';
import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import { checkResult, type Sent } from '../call/finite.ts';
import type { Call, UnaryHandler } from '../call/rpc.ts';
import { encodeTensor } from '../call/tensors.ts';
import type { FusedNetwork } from '../models/fused-network.ts';
import type { ServedNetwork } from '../models/served-network.ts';
import type { ServedVersion } from '../models/served-version.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import { climb } from './ascent.ts';
import type { ComputeDeps } from './context-handles.ts';
import { checkDeadline } from './due-time.ts';
import { type QGradPlan, readQGradRequest } from './q-grad-request.ts';
import { eachRow } from './request-checks.ts';
import { Task, type TaskDeps } from './task.ts';

export type QGradResponseInit = MessageInitShape<typeof QGradResponseSchema>;

export function createQGradHandler(deps: ComputeDeps): UnaryHandler<QGradRequest, QGradResponseInit> {
  return (request, call) => {
    const served = deps.handles.resolve('QGrad', request, call);
    const plan = readQGradRequest(served, request, call, deps);
    const task = new QGradTask({ served, request, call }, plan, deps);
    checkDeadline('QGrad', call);
    return task.answer();
  };
}

type Asked = { readonly served: ServedVersion; readonly request: QGradRequest; readonly call: Call };

class QGradTask extends Task {
  readonly #request: QGradRequest;
  readonly #plan: QGradPlan;

  constructor({ served, request, call }: Asked, plan: QGradPlan, deps: TaskDeps) {
    super({ method: 'QGrad', served, call, rowCount: plan.action.rowCount }, deps);
    this.#request = request;
    this.#plan = plan;
  }

  answer(): QGradResponseInit | Promise<QGradResponseInit> {
    const { critic, observation, action, ascent } = this.#plan;
    if (critic.weights === undefined) return this.#finish(eachRow(observation, action.rowCount));
    const found = critic.weights.lookUp(observation);
    const { fused } = critic;
    if (ascent === undefined && fused?.takes(found, action.rowCount)) {
      return this.#finish(eachRow(observation, action.rowCount), undefined, fused);
    }
    if (ascent !== undefined && fused?.takesAscent(found, action.rowCount, ascent.stepCount)) {
      return this.#climbFused(fused, ascent);
    }
    const weights = this.weights(critic.weights, found);
    if (!(weights instanceof Promise)) return this.#finish(undefined, weights);
    return this.inTime(async () => {
      const generated = await weights;
      checkDeadline('QGrad', this.call, 'The weights are kept');
      return this.#finish(undefined, generated);
    });
  }

  #finish(
    observation?: Float32Array,
    weights?: WeightBatch,
    network: Pick<ServedNetwork, 'run'> = this.#plan.critic,
  ): QGradResponseInit | Promise<QGradResponseInit> {
    const { ascent, action, context } = this.#plan;
    const { served, call } = this;
    const run = () => {
      const { rowCount, values } = action;
      const rows = { observation, action: values, context };
      return this.network(() => network.run({ rowCount, rows, weights, demand: call }));
    };
    if (ascent === undefined) {
      const outputs = run();
      return outputs instanceof Promise
        ? this.inTime(async () => this.#respond(await outputs))
        : this.#respond(outputs);
    }
    const gradients = async () => this.#reduce(await run()).dqDa;
    const climbed = climb({ ascent, gradients, actions: action.values, served, call });
    return this.inTime(async () => this.#respond(await climbed.then(run)));
  }

  #climbFused(fused: FusedNetwork, ascent: Ascent): Promise<QGradResponseInit> {
    const { observation, action, context, reduction } = this.#plan;
    const { call } = this;
    const { rowCount, values } = action;
    const rows = { observation: eachRow(observation, rowCount), action: values, context };
    return this.inTime(async () => {
      const results = await this.network(() => fused.climb({ rowCount, rows, demand: call }, { ...ascent, reduction }));
      // Before they are replaced: an error tells of the actions that were sent.
      this.#check('action', results[climbedAction]!);
      values.set(results[climbedAction]!);
      return this.#respond(results);
    });
  }

  #reduce({ q, dq_da: dqDa }: RowResults): Gradients {
    const { critic, action, reduction } = this.#plan;
    const { ensembleSize } = critic;
    const sizes = { rowCount: action.rowCount, ensembleSize, actionSize: this.served.actionSize };
    const reduced = reduceEnsemble({ q: q!, dqDa: dqDa! }, { reduction, ...sizes });
    this.#check('q', reduced.q);
    this.#check('dq_da', reduced.dqDa);
    return reduced;
  }

  #check(name: string, values: Float32Array): void {
    const { observation, action, context } = this.#plan;
    const { model, version } = this.served;
    const sent: Sent = { method: 'QGrad', values: [observation.values, action.values, context] };
    checkResult(`model "${model}" version ${version}: ${name}`, values, sent);
  }

  #respond(outputs: RowResults): QGradResponseInit {
    const { action, ascent } = this.#plan;
    const { q, dqDa } = this.#reduce(outputs);
    const shape = [action.rowCount, this.served.actionSize];
    return {
      ...this.responseTo(this.#request),
      ...(ascent && { action: encodeTensor(action.values, shape) }),
      q: encodeTensor(q, [action.rowCount]),
      dqDa: encodeTensor(dqDa, shape),
    };
  }
}
