/**
 * Act: observations [B, O] to actions [B, A], float32, environment units.
 *
 * Errors: NOT_FOUND model, version, label or handle; INVALID_ARGUMENT a tensor; FAILED_PRECONDITION fingerprint, no policy,
 * sampling a deterministic policy, a handle of another version; DEADLINE_EXCEEDED without an answer in time, where no fallback was
 * asked for; RESOURCE_EXHAUSTED queue full, likewise. Statuses and metrics are applied in transport/invocation.ts.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import { type ActRequest, type ActResponseSchema, Fallback } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import { callerName } from '../call/caller.ts';
import { badResult, checkResult, type Sent } from '../call/finite.ts';
import type { Call } from '../call/rpc.ts';
import { distinctRows, encodeTensor, repeatRow } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import type { PolicyInputs, PolicyOutputs } from '../models/policy-rows.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import { type ActPlan, type Draw, readActRequest } from './act-request.ts';
import type { ContextHandles } from './context-handles.ts';
import { answerByDue, type Due, isOver, lateError, workDeadlineMs } from './due-time.ts';
import { type FallbackReason, fallbackAnswer } from './fallback.ts';
import type { LastActions } from './last-actions.ts';
import { RequestTimer } from './timing.ts';

export type ActResponseInit = MessageInitShape<typeof ActResponseSchema>;

export type ActDeps = {
  readonly config: ServerConfig;
  readonly handles: ContextHandles;
  readonly lastActions: LastActions;
  /** Smoothed lateness of the event loop, microseconds. */
  readonly eventLoopDelayUs: () => number;
  readonly work: WorkMetrics;
  readonly onFallback: (fallback: 'safe' | 'hold', reason: FallbackReason) => void;
};

/** Answers a request with a version that was resolved before. */
export type ActAnswerer = (
  served: ServedVersion,
  request: ActRequest,
  call: Call,
) => ActResponseInit | Promise<ActResponseInit>;

/** What an answer is made from. */
type Task = {
  readonly served: ServedVersion;
  readonly request: ActRequest;
  readonly call: Call;
  readonly plan: ActPlan;
  readonly timer: RequestTimer;
};

type ContextInputs = Pick<PolicyInputs, 'context' | 'weights' | 'index'>;

/** How long an abandoned generation may stay queued: the next request will use it. */
const abandonedGenerationMs = 1000;

export function createActAnswerer({
  config,
  handles,
  lastActions,
  work,
  eventLoopDelayUs,
  onFallback,
}: ActDeps): ActAnswerer {
  const timed = { eventLoopDelayUs, work };

  /** The stand-in, or the error where none was asked for. */
  function late(task: Task, due: Due, computed: string): ActResponseInit {
    const { fallback } = task.plan;
    if (fallback === 'error') throw lateError('Act', due, computed);
    return standIn(task, fallback, due.reason);
  }

  function standIn(
    { served, request, call, plan, timer }: Task,
    fallback: 'safe' | 'hold',
    reason: FallbackReason,
  ): ActResponseInit {
    const { rowCount } = plan.observation;
    const { clientId } = request;
    const caller = callerName(call.caller);
    const { action, taken } = fallbackAnswer(fallback, reason, { served, caller, clientId, rowCount, lastActions });
    onFallback(taken.fallback === Fallback.HOLD ? 'hold' : 'safe', reason);
    const response: ActResponseInit = head(served, request, timer);
    response.action = encodeTensor(action, [rowCount, served.actionSize]);
    response.fallbackTaken = taken;
    return response;
  }

  function respond({ served, request, call, plan, timer }: Task, { action, logProb }: PolicyOutputs): ActResponseInit {
    const { rowCount } = plan.observation;
    clipActions(action, served, sentBy(plan));
    // An answer that comes too late is not served.
    const isLate = plan.due !== undefined && performance.now() >= plan.due.atMs;
    const { clientId } = request;
    if (clientId !== '' && !isLate) {
      const whose = { model: served.model, caller: callerName(call.caller), clientId };
      lastActions.put(whose, { action, rowCount, servedAtMs: performance.now() });
    }
    const response: ActResponseInit = head(served, request, timer);
    response.action = encodeTensor(action, [rowCount, served.actionSize]);
    if (request.logProb && logProb !== undefined) {
      checkResult(`model "${served.model}" version ${served.version}: log_prob`, logProb, sentBy(plan));
      response.logProb = encodeTensor(logProb, [rowCount]);
    }
    addSeed(response, plan.draw);
    return response;
  }

  function compute(task: Task): ActResponseInit | Promise<ActResponseInit> {
    const { served, call, plan, timer } = task;
    const { policy, observation, contexts, draw, due } = plan;
    const { rowCount, values } = observation;
    const finish = ({ context, weights, index }: ContextInputs) => {
      const deadlineMs = generationDeadlineMs(call, plan);
      const inputs = { rowCount, observation: values, noise: draw.noise, context, weights, index, deadlineMs };
      const outputs = timer.network(() => policy.run(inputs));
      return outputs instanceof Promise
        ? whenHeld(served, async () => respond(task, await outputs))
        : respond(task, outputs);
    };
    if (plan.weights !== undefined) return finish({ weights: { entries: [plan.weights] } });
    if (contexts === undefined) return finish({});
    if (policy.weights === undefined) {
      return finish({ context: contexts.rowCount === 1 ? repeatRow(contexts.values, rowCount) : contexts.values });
    }
    const distinct = distinctRows(contexts, served.contextSize);
    const startMs = performance.now();
    const weights = policy.weights.weightsFor(distinct, generationDeadlineMs(call, plan));
    if (!(weights instanceof Promise)) return finish({ weights, index: distinct.index });
    return whenHeld(served, async () => {
      const generated = await timer.primary(startMs, weights);
      // Somebody else answered meanwhile.
      if (due !== undefined && performance.now() >= due.atMs) throw lateError('Act', due, 'The weights are kept');
      return finish({ weights: generated, index: distinct.index });
    });
  }

  return (served, request, call) => {
    const plan = readActRequest(served, request, call, { config, handles });
    work.rows(plan.observation.rowCount);
    call.record?.served(served, plan.observation.rowCount);
    const task: Task = { served, request, call, plan, timer: new RequestTimer(call, timed) };
    const { due, fallback } = plan;
    if (due !== undefined && isOver(due, call)) return late(task, due, 'Nothing was computed');
    const answer = compute(task);
    if (!(answer instanceof Promise)) return answer;
    const inTime = answerByDue(answer, due, () => late(task, due!, 'The weights that it needs are being made'));
    if (fallback === 'error') return inTime;
    return inTime.catch((error: unknown) => {
      if (!(error instanceof HyperpolicyError)) throw error;
      if (error.kind === 'resource_exhausted') return standIn(task, fallback, 'overload');
      // In a busy turn the work may find itself late before the timer of the answer has come.
      if (error.kind === 'deadline_exceeded') return standIn(task, fallback, due?.reason ?? 'deadline');
      throw error;
    });
  };
}

/** Until when work for a request is worth beginning, on the clock of `Date.now()`. */
function generationDeadlineMs(call: Call, { due, fallback }: ActPlan): number {
  const deadlineMs = workDeadlineMs(call, due);
  return fallback === 'error' ? deadlineMs : Math.max(deadlineMs, Date.now() + abandonedGenerationMs);
}

const head = (served: ServedVersion, { sequence }: ActRequest, timer: RequestTimer): ActResponseInit => ({
  version: served.version,
  weightAgeMs: Date.now() - served.publishedAtMs,
  sequence,
  timing: timer.timing(),
});

function addSeed(response: ActResponseInit, { seed }: Draw): void {
  if (seed !== undefined) response.seed = BigInt(seed);
}

const sentBy = ({ observation, contexts, weights }: ActPlan): Sent => ({
  method: 'Act',
  values: [observation.values, contexts?.values, weights?.block],
});

/** Clips to the bounds of the spec, in place. @throws Error as badResult where the policy gives a value that is not finite */
export function clipActions(
  action: Float32Array,
  { actionLow, actionHigh, actionSize, model, version }: ServedVersion,
  sent: Sent,
): void {
  for (let i = 0; i < action.length; i++) {
    const value = action[i]!;
    if (value - value !== 0) {
      throw badResult(`model "${model}" version ${version}: action value ${i % actionSize} is ${value}`, sent);
    }
    const low = actionLow[i % actionSize]!;
    const high = actionHigh[i % actionSize]!;
    if (value < low) action[i] = low;
    else if (value > high) action[i] = high;
  }
}
