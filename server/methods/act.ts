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
import { encodeTensor } from '../call/tensors.ts';
import type { PolicyInputs, PolicyOutputs } from '../models/served-policy.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import { type ActPlan, readActRequest } from './act-request.ts';
import type { ContextHandles } from './context-handles.ts';
import { answerByDue, workDeadlineMs } from './due-time.ts';
import { type FallbackReason, fallbackAnswer } from './fallback.ts';
import type { LastActions } from './last-actions.ts';
import { eachRow } from './request-checks.ts';
import { Task, type TaskDeps } from './task.ts';

export type ActResponseInit = MessageInitShape<typeof ActResponseSchema>;

export type ActDeps = TaskDeps & {
  readonly handles: ContextHandles;
  readonly lastActions: LastActions;
  readonly onFallback: (fallback: 'safe' | 'hold', reason: FallbackReason) => void;
};

/** Answers a request with a version that was resolved before. */
export type ActAnswerer = (
  served: ServedVersion,
  request: ActRequest,
  call: Call,
) => ActResponseInit | Promise<ActResponseInit>;

/** How long an abandoned generation may stay queued: the next request will use it. */
const abandonedGenerationMs = 1000;

export function createActAnswerer(deps: ActDeps): ActAnswerer {
  return (served, request, call) => {
    const plan = readActRequest(served, request, call, deps);
    const { budgetUs } = request;
    const task = new Task({ method: 'Act', served, call, rowCount: plan.observation.rowCount, budgetUs }, deps);
    return new ActAnswer({ request, plan, task, deps }).answer();
  };
}

/** What an answer is made from. */
type ActParts = {
  readonly request: ActRequest;
  readonly plan: ActPlan;
  readonly task: Task;
  readonly deps: Pick<ActDeps, 'lastActions' | 'onFallback'>;
};

class ActAnswer {
  readonly #parts: ActParts;

  constructor(parts: ActParts) {
    this.#parts = parts;
  }

  answer(): ActResponseInit | Promise<ActResponseInit> {
    const { task, plan } = this.#parts;
    const { fallback } = plan;
    if (task.isOver) return this.#late('Nothing was computed');
    const answer = this.#compute();
    if (!(answer instanceof Promise)) return answer;
    const inTime = answerByDue(answer, task.due, () => this.#late('The weights that it needs are being made'));
    if (fallback === 'error') return inTime;
    return inTime.catch((error: unknown) => {
      if (!(error instanceof HyperpolicyError)) throw error;
      if (error.kind === 'resource_exhausted') return this.#standIn(fallback, 'overload');
      // In a busy turn the work may find itself late before the timer of the answer has come.
      if (error.kind === 'deadline_exceeded') return this.#standIn(fallback, task.due?.reason ?? 'deadline');
      throw error;
    });
  }

  #compute(): ActResponseInit | Promise<ActResponseInit> {
    const { task, plan } = this.#parts;
    const { policy, contexts, observation } = plan;
    if (plan.weights !== undefined) return this.#run({ weights: { entries: [plan.weights] } });
    if (contexts === undefined) return this.#run({});
    if (policy.weights === undefined) return this.#run({ context: eachRow(contexts, observation.rowCount) });
    const weights = task.weights(policy.weights, contexts, this.#workDeadlineMs());
    if (!(weights instanceof Promise)) return this.#run({ weights });
    return whenHeld(task.served, async () => {
      const generated = await weights;
      // The fallback or the error has been sent meanwhile.
      if (task.isLate) throw task.lateError('The weights are kept');
      return this.#run({ weights: generated });
    });
  }

  #run(inputs: Pick<PolicyInputs, 'context' | 'weights'>): ActResponseInit | Promise<ActResponseInit> {
    const { task, plan } = this.#parts;
    const { policy, observation, draw } = plan;
    const { rowCount, values } = observation;
    const deadlineMs = this.#workDeadlineMs();
    const outputs = task.network(() =>
      policy.run({ ...inputs, rowCount, observation: values, noise: draw.noise, deadlineMs }),
    );
    return outputs instanceof Promise
      ? whenHeld(task.served, async () => this.#respond(await outputs))
      : this.#respond(outputs);
  }

  /** Until when work for the request is worth beginning, on the clock of `Date.now()`. */
  #workDeadlineMs(): number {
    const { task, plan } = this.#parts;
    const deadlineMs = workDeadlineMs(task.call, task.due);
    return plan.fallback === 'error' ? deadlineMs : Math.max(deadlineMs, Date.now() + abandonedGenerationMs);
  }

  #respond({ action, logProb }: PolicyOutputs): ActResponseInit {
    const { request, task, plan } = this.#parts;
    const { seed } = plan.draw;
    const { model, version } = task.served;
    const sent = sentBy(plan);
    clipActions(action, task.served, sent);
    this.#keepAction(action);
    const response = this.#responseWith(action);
    if (request.logProb && logProb !== undefined) {
      checkResult(`model "${model}" version ${version}: log_prob`, logProb, sent);
      response.logProb = encodeTensor(logProb, [plan.observation.rowCount]);
    }
    if (seed !== undefined) response.seed = BigInt(seed);
    return response;
  }

  /** For the fallback `hold` of later requests. An answer that comes too late is not served, so its action is not kept. */
  #keepAction(action: Float32Array): void {
    const { request, task, plan, deps } = this.#parts;
    if (request.clientId === '' || task.isLate) return;
    const { rowCount } = plan.observation;
    deps.lastActions.put(this.#owner(), { action, rowCount, servedAtMs: performance.now() });
  }

  #owner() {
    const { request, task } = this.#parts;
    return { model: task.served.model, caller: callerName(task.call.caller), clientId: request.clientId };
  }

  /** The fallback, or the error where none was asked for. */
  #late(computed: string): ActResponseInit {
    const { task, plan } = this.#parts;
    if (plan.fallback === 'error') throw task.lateError(computed);
    return this.#standIn(plan.fallback, task.due!.reason);
  }

  #standIn(fallback: 'safe' | 'hold', reason: FallbackReason): ActResponseInit {
    const { task, plan, deps } = this.#parts;
    const { rowCount } = plan.observation;
    const last = fallback === 'hold' ? deps.lastActions.get(this.#owner(), rowCount) : undefined;
    const { action, taken } = fallbackAnswer(reason, task.served, { rowCount, last });
    deps.onFallback(taken.fallback === Fallback.HOLD ? 'hold' : 'safe', reason);
    const response = this.#responseWith(action);
    response.fallbackTaken = taken;
    return response;
  }

  #responseWith(action: Float32Array): ActResponseInit {
    const { request, task, plan } = this.#parts;
    const response: ActResponseInit = task.responseTo(request);
    response.action = encodeTensor(action, [plan.observation.rowCount, task.served.actionSize]);
    return response;
  }
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
