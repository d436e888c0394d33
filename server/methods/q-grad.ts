/**
 * QGrad: observations [B, O], actions [B, A] and, where the critic takes them, contexts [B, C] to values [B] and action-gradients [B, A] of one or both value functions.
 *
 * Errors: as Act; FAILED_PRECONDITION where the model has no critic. Statuses and metrics are applied in transport/invocation.ts.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { failedPrecondition, invalidArgument } from '../../src/contract/errors.ts';
import {
  type QGradRequest,
  type QGradResponseSchema,
  Reduction,
} from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { checkResult, type Sent } from '../call/finite.ts';
import type { UnaryHandler } from '../call/rpc.ts';
import { decodeRows, distinctRows, encodeTensor, repeatRow } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import { type CriticInputs, type CriticOutputs, type ReductionName, reduceEnsemble } from '../models/served-critic.ts';
import { whenHeld } from '../models/served-version.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import { checkAscent, climb } from './ascent.ts';
import type { ContextHandles } from './context-handles.ts';
import { answerByDue, dueOf, lateError } from './due-time.ts';
import { checkClientId, checkDeadline, checkFingerprint } from './request-checks.ts';
import { RequestTimer } from './timing.ts';

export type QGradResponseInit = MessageInitShape<typeof QGradResponseSchema>;

export type QGradDeps = {
  readonly handles: ContextHandles;
  readonly config: ServerConfig;
  /** Smoothed lateness of the event loop, microseconds. */
  readonly eventLoopDelayUs: () => number;
  readonly work: WorkMetrics;
};

const reductions: Readonly<Record<number, ReductionName>> = {
  [Reduction.UNSPECIFIED]: 'min',
  [Reduction.Q1]: 'q1',
  [Reduction.MIN]: 'min',
  [Reduction.MEAN]: 'mean',
};

export function createQGradHandler(deps: QGradDeps): UnaryHandler<QGradRequest, QGradResponseInit> {
  const { handles, config, eventLoopDelayUs, work } = deps;
  return (request, call) => {
    const served = handles.resolve('QGrad', request, call);
    checkFingerprint('QGrad', served, request.fingerprint);
    checkClientId('QGrad', request.clientId);
    const { critic, model, observationSize, actionSize } = served;
    if (critic === null) {
      throw failedPrecondition({
        where: 'QGrad model',
        expected: 'a model with a critic',
        actual: `"${model}", which has none`,
      });
    }
    const reduction = reductionOf(request.reduction);
    const ascent = checkAscent(request.ascent, config.ascentStepCountMax);
    const limits = { rowCountMax: config.rowCountMax, model };
    const action = decodeRows(request.action, { where: 'QGrad action', columnCount: actionSize, ...limits });
    const observation = decodeRows(request.observation, {
      where: 'QGrad observation',
      columnCount: observationSize,
      ...limits,
    });
    const { rowCount } = action;
    if (observation.rowCount !== 1 && observation.rowCount !== rowCount) {
      throw invalidArgument({
        where: 'QGrad observation',
        expected: `one row, or one per action (${rowCount})`,
        actual: `${observation.rowCount} rows`,
      });
    }
    const { contextSource } = request;
    const handleContext =
      contextSource.case === 'contextHandle'
        ? handles.find('QGrad', served, contextSource.value, call).context
        : undefined;
    const context = contextRows(request, handleContext, { ...limits, contextSize: critic.contextSize, rowCount });
    work.rows(rowCount);
    call.record?.served(served, rowCount);
    checkDeadline('QGrad', call);
    const due = dueOf(call, 0, config.deadlineMarginMs);
    /** Waits no longer than the client does. */
    const inTime = (answer: Promise<QGradResponseInit>) =>
      answerByDue(answer, due, () => {
        throw lateError('QGrad', due!, 'The batch is too large or the server too busy for this deadline');
      });

    const timer = new RequestTimer(call, { eventLoopDelayUs, work });
    const run = (inputs: Partial<CriticInputs>) =>
      timer.network(() =>
        critic.run({ ...inputs, rowCount, context, action: action.values, deadlineMs: call.deadlineMs }),
      );
    const sent: Sent = { method: 'QGrad', values: [observation.values, action.values, context] };
    const reduce = (outputs: CriticOutputs) => {
      const reduced = reduceEnsemble(outputs, { reduction, rowCount, ensembleSize: critic.ensembleSize, actionSize });
      checkResult(`model "${model}" version ${served.version}: q`, reduced.q, sent);
      checkResult(`model "${model}" version ${served.version}: dq_da`, reduced.dqDa, sent);
      return reduced;
    };
    const respond = (outputs: CriticOutputs): QGradResponseInit => {
      const reduced = reduce(outputs);
      return {
        ...(ascent && { action: encodeTensor(action.values, [rowCount, actionSize]) }),
        q: encodeTensor(reduced.q, [rowCount]),
        dqDa: encodeTensor(reduced.dqDa, [rowCount, actionSize]),
        version: served.version,
        weightAgeMs: Date.now() - served.publishedAtMs,
        sequence: request.sequence,
        timing: timer.timing(),
      };
    };
    const inTurns = (answer: () => Promise<QGradResponseInit>) => whenHeld(served, answer);
    const finish = (inputs: Partial<CriticInputs>) => {
      if (ascent !== undefined) {
        // Joined once, for all steps.
        const joined = { ...inputs, weights: inputs.weights && critic.joined(inputs.weights) };
        const gradients = async () => reduce(await run(joined)).dqDa;
        const climbed = climb({ ascent, gradients, actions: action.values, served, call });
        return inTime(inTurns(async () => respond(await climbed.then(() => run(joined)))));
      }
      const outputs = run(inputs);
      return outputs instanceof Promise ? inTime(inTurns(async () => respond(await outputs))) : respond(outputs);
    };

    if (critic.weights === undefined) {
      return finish({
        observation: observation.rowCount === 1 ? repeatRow(observation.values, rowCount) : observation.values,
      });
    }
    const distinct = distinctRows(observation, observationSize);
    const startMs = performance.now();
    const weights = critic.weights.weightsFor(distinct, call.deadlineMs);
    if (!(weights instanceof Promise)) return finish({ weights, index: distinct.index });
    const generation = inTurns(async () => {
      const generated = await timer.primary(startMs, weights);
      checkDeadline('QGrad', call, 'The weights are kept');
      return finish({ weights: generated, index: distinct.index });
    });
    return inTime(generation);
  };
}

type ContextRule = {
  readonly model: string;
  /** Of the critic; 0 where it takes none. */
  readonly contextSize: number;
  readonly rowCount: number;
  readonly rowCountMax: number;
};

/** The context of each row; undefined where the critic takes none. @param handleContext that of the request's handle */
function contextRows(
  { contextSource }: QGradRequest,
  handleContext: Float32Array | undefined,
  { model, contextSize, rowCount, rowCountMax }: ContextRule,
): Float32Array | undefined {
  if (contextSize === 0) {
    if (contextSource.case === undefined) return undefined;
    const expected = `none: the critic of model "${model}" takes no context`;
    throw invalidArgument({ where: 'QGrad context', expected, actual: 'one' });
  }
  if (handleContext !== undefined) return repeatRow(handleContext, rowCount);
  const rows = decodeRows(contextSource.case === 'context' ? contextSource.value : undefined, {
    where: 'QGrad context',
    columnCount: contextSize,
    rowCountMax,
    model,
  });
  if (rows.rowCount === rowCount) return rows.values;
  if (rows.rowCount === 1) return repeatRow(rows.values, rowCount);
  throw invalidArgument({
    where: 'QGrad context',
    expected: `one row, or one per action (${rowCount})`,
    actual: `${rows.rowCount} rows`,
  });
}

function reductionOf(reduction: number): ReductionName {
  const name = reductions[reduction];
  if (name !== undefined) return name;
  throw invalidArgument({ where: 'QGrad reduction', expected: 'q1, min or mean (1, 2 or 3)', actual: `${reduction}` });
}
