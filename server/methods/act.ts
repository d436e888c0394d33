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

type ContextInputs = Pick<PolicyInputs, 'context' | 'weights' | 'index'>;

/** How long an abandoned generation may stay queued: the next request will use it. */
const abandonedGenerationMs = 1000;

export function createActAnswerer(deps: ActDeps): ActAnswerer {
  const { config, handles, work, eventLoopDelayUs } = deps;
  const timed = { eventLoopDelayUs, work };
  return (served, request, call) => {
    const plan = readActRequest(served, request, call, { config, handles });
    work.rows(plan.observation.rowCount);
    call.record?.served(served, plan.observation.rowCount);
    return new ActTask({ served, request, call, plan, timer: new RequestTimer(call, timed), deps }).answer();
  };
}

/** What an answer is made from. */
type ActParts = {
  readonly served: ServedVersion;
  readonly request: ActRequest;
  readonly call: Call;
  readonly plan: ActPlan;
  readonly timer: RequestTimer;
  readonly deps: Pick<ActDeps, 'lastActions' | 'onFallback'>;
};

class ActTask {
  readonly #parts: ActParts;

  constructor(parts: ActParts) {
    this.#parts = parts;
  }

  answer(): ActResponseInit | Promise<ActResponseInit> {
    const { call, plan } = this.#parts;
    const { due, fallback } = plan;
    if (due !== undefined && isOver(due, call)) return this.#late(due, 'Nothing was computed');
    const answer = this.#compute();
    if (!(answer instanceof Promise)) return answer;
    const inTime = answerByDue(answer, due, () => this.#late(due!, 'The weights that it needs are being made'));
    if (fallback === 'error') return inTime;
    return inTime.catch((error: unknown) => {
      if (!(error instanceof HyperpolicyError)) throw error;
      if (error.kind === 'resource_exhausted') return this.#standIn(fallback, 'overload');
      // In a busy turn the work may find itself late before the timer of the answer has come.
      if (error.kind === 'deadline_exceeded') return this.#standIn(fallback, due?.reason ?? 'deadline');
      throw error;
    });
  }

  #compute(): ActResponseInit | Promise<ActResponseInit> {
    const { served, call, plan, timer } = this.#parts;
    const { policy, contexts, due } = plan;
    if (plan.weights !== undefined) return this.#run({ weights: { entries: [plan.weights] } });
    if (contexts === undefined) return this.#run({});
    if (policy.weights === undefined) {
      const { rowCount } = plan.observation;
      return this.#run({ context: contexts.rowCount === 1 ? repeatRow(contexts.values, rowCount) : contexts.values });
    }
    const distinct = distinctRows(contexts, served.contextSize);
    const { index } = distinct;
    const startMs = performance.now();
    const weights = policy.weights.weightsFor(distinct, generationDeadlineMs(call, plan));
    if (!(weights instanceof Promise)) return this.#run({ weights, index });
    return whenHeld(served, async () => {
      const generated = await timer.primary(startMs, weights);
      // The fallback or the error has been sent meanwhile.
      if (due !== undefined && performance.now() >= due.atMs) throw lateError('Act', due, 'The weights are kept');
      return this.#run({ weights: generated, index });
    });
  }

  #run({ context, weights, index }: ContextInputs): ActResponseInit | Promise<ActResponseInit> {
    const { served, call, plan, timer } = this.#parts;
    const { policy, observation, draw } = plan;
    const { rowCount, values } = observation;
    const deadlineMs = generationDeadlineMs(call, plan);
    const inputs = { rowCount, observation: values, noise: draw.noise, context, weights, index, deadlineMs };
    const outputs = timer.network(() => policy.run(inputs));
    return outputs instanceof Promise
      ? whenHeld(served, async () => this.#respond(await outputs))
      : this.#respond(outputs);
  }

  #respond({ action, logProb }: PolicyOutputs): ActResponseInit {
    const { served, request, plan } = this.#parts;
    const { rowCount } = plan.observation;
    clipActions(action, served, sentBy(plan));
    this.#keepAction(action);
    const response = this.#responseWith(action);
    if (request.logProb && logProb !== undefined) {
      checkResult(`model "${served.model}" version ${served.version}: log_prob`, logProb, sentBy(plan));
      response.logProb = encodeTensor(logProb, [rowCount]);
    }
    addSeed(response, plan.draw);
    return response;
  }

  /** For the fallback `hold` of later requests. An answer that comes too late is not served, so its action is not kept. */
  #keepAction(action: Float32Array): void {
    const { served, request, call, plan, deps } = this.#parts;
    const { clientId } = request;
    const isLate = plan.due !== undefined && performance.now() >= plan.due.atMs;
    if (clientId === '' || isLate) return;
    const whose = { model: served.model, caller: callerName(call.caller), clientId };
    const { rowCount } = plan.observation;
    deps.lastActions.put(whose, { action, rowCount, servedAtMs: performance.now() });
  }

  /** The fallback, or the error where none was asked for. */
  #late(due: Due, computed: string): ActResponseInit {
    const { fallback } = this.#parts.plan;
    if (fallback === 'error') throw lateError('Act', due, computed);
    return this.#standIn(fallback, due.reason);
  }

  #standIn(fallback: 'safe' | 'hold', reason: FallbackReason): ActResponseInit {
    const { served, request, call, plan, deps } = this.#parts;
    const { rowCount } = plan.observation;
    const { clientId } = request;
    const { lastActions, onFallback } = deps;
    const source = { served, caller: callerName(call.caller), clientId, rowCount, lastActions };
    const { action, taken } = fallbackAnswer(fallback, reason, source);
    onFallback(taken.fallback === Fallback.HOLD ? 'hold' : 'safe', reason);
    const response = this.#responseWith(action);
    response.fallbackTaken = taken;
    return response;
  }

  #responseWith(action: Float32Array): ActResponseInit {
    const { served, request, plan, timer } = this.#parts;
    return {
      version: served.version,
      weightAgeMs: Date.now() - served.publishedAtMs,
      sequence: request.sequence,
      timing: timer.timing(),
      action: encodeTensor(action, [plan.observation.rowCount, served.actionSize]),
    };
  }
}

/** Until when work for a request is worth beginning, on the clock of `Date.now()`. */
function generationDeadlineMs(call: Call, { due, fallback }: ActPlan): number {
  const deadlineMs = workDeadlineMs(call, due);
  return fallback === 'error' ? deadlineMs : Math.max(deadlineMs, Date.now() + abandonedGenerationMs);
}

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
