/**
 * Act: observations [B, O] to actions [B, A], float32, environment units.
 *
 * Errors: NOT_FOUND model, version, label or handle; INVALID_ARGUMENT a tensor; FAILED_PRECONDITION fingerprint, no policy,
 * sampling a deterministic policy, a handle of another version; RESOURCE_EXHAUSTED no memory for the run; without a fallback also
 * DEADLINE_EXCEEDED no answer in time and RESOURCE_EXHAUSTED queue full. Statuses and metrics are applied in transport/invocation.ts.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { HyperpolicyError } from '../../src/contract/errors.ts';
import { type ActRequest, type ActResponseSchema, Fallback } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { RowResults } from '../../src/onnx/rows/row-network.ts';
import { callerName } from '../call/caller.ts';
import { badResult, checkResult, type Sent } from '../call/finite.ts';
import type { Call, Demand } from '../call/rpc.ts';
import { encodeTensor } from '../call/tensors.ts';
import type { ServedNetwork } from '../models/served-network.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WeightBatch } from '../weights/generated-weights.ts';
import { type ActPlan, readActRequest } from './act-request.ts';
import type { ComputeDeps } from './context-handles.ts';
import { demandOf, demandUntil } from './due-time.ts';
import { type ActionOwner, type FallbackReason, fallbackAnswer, type LastActions } from './fallback.ts';
import { eachRow } from './request-checks.ts';
import { Task } from './task.ts';

export type ActResponseInit = MessageInitShape<typeof ActResponseSchema>;

export type ActDeps = ComputeDeps & {
  readonly lastActions: LastActions;
  readonly onFallback: (fallback: 'safe' | 'hold', reason: FallbackReason) => void;
};

/** Answers a request with this version. */
export type ActAnswerer = (
  served: ServedVersion,
  request: ActRequest,
  call: Call,
) => ActResponseInit | Promise<ActResponseInit>;

/** How long an abandoned generation may stay queued: the next request will use it. */
const abandonedGenerationMs = 1000;

export const createActAnswerer =
  (deps: ActDeps): ActAnswerer =>
  (served, request, call) =>
    new ActTask({ served, request, call }, readActRequest(served, request, call, deps), deps).answer();

type Asked = { readonly served: ServedVersion; readonly request: ActRequest; readonly call: Call };

class ActTask extends Task {
  readonly #request: ActRequest;
  readonly #plan: ActPlan;
  readonly #deps: ActDeps;

  constructor({ served, request, call }: Asked, plan: ActPlan, deps: ActDeps) {
    const { rowCount } = plan.observation;
    super({ method: 'Act', served, call, rowCount, budgetUs: request.budgetUs }, deps);
    this.#request = request;
    this.#plan = plan;
    this.#deps = deps;
  }

  answer(): ActResponseInit | Promise<ActResponseInit> {
    const { fallback } = this.#plan;
    if (this.isOver) return this.#late('Nothing was computed');
    const answer = this.#compute();
    if (!(answer instanceof Promise)) return answer;
    const inTime = this.byDue(answer, () => this.#late('The weights that it needs are being made'));
    if (fallback === 'error') return inTime;
    return inTime.catch((error: unknown) => {
      // A fault is no lack of time: a stand-in would hide that the version does not run.
      if (!(error instanceof HyperpolicyError) || error.isFault) throw error;
      if (error.kind === 'resource_exhausted') return this.#standIn(fallback, 'overload');
      // On a busy event loop the queue may refuse late work before the timer of the answer fires.
      if (error.kind === 'deadline_exceeded') return this.#standIn(fallback, this.due?.reason ?? 'deadline');
      throw error;
    });
  }

  #compute(): ActResponseInit | Promise<ActResponseInit> {
    const { policy, contexts, observation, weights: ofHandle } = this.#plan;
    if (ofHandle !== undefined) return this.#run(undefined, { entries: [ofHandle] });
    if (contexts === undefined) return this.#run();
    if (policy.weights === undefined) return this.#run(eachRow(contexts, observation.rowCount));
    const found = policy.weights.lookUp(contexts);
    if (contexts.rowCount === observation.rowCount && policy.fused?.takes(found, contexts.rowCount)) {
      return this.#run(contexts.values, undefined, policy.fused);
    }
    const weights = this.weights(policy.weights, found, this.#demand());
    if (!(weights instanceof Promise)) return this.#run(undefined, weights);
    return whenHeld(this.served, async () => {
      const generated = await weights;
      this.requireClient();
      // The fallback or the error has already been sent.
      if (this.isLate) throw this.lateError('The weights are kept');
      return this.#run(undefined, generated);
    });
  }

  #run(
    context?: Float32Array,
    weights?: WeightBatch,
    network: Pick<ServedNetwork, 'run'> = this.#plan.policy,
  ): ActResponseInit | Promise<ActResponseInit> {
    const { observation, draw } = this.#plan;
    const { rowCount, values } = observation;
    const rows = { observation: values, noise: draw.noise, context };
    const demand = this.#demand();
    const outputs = this.network(() => network.run({ rowCount, rows, weights, demand }));
    return outputs instanceof Promise
      ? whenHeld(this.served, async () => this.#respond(await outputs))
      : this.#respond(outputs);
  }

  /** With a fallback, the generation may stay queued after the answer is due. */
  #demand(): Demand {
    const demand = demandOf(this.call, this.due);
    if (this.#plan.fallback === 'error') return demand;
    return demandUntil(this.call, Math.max(demand.deadlineMs, Date.now() + abandonedGenerationMs));
  }

  #respond({ action, log_prob: logProb }: RowResults): ActResponseInit {
    const { seed } = this.#plan.draw;
    const { model, version } = this.served;
    const sent = sentBy(this.#plan);
    clipActions(action!, this.served, sent);
    this.#keepAction(action!);
    const response = this.#responseWith(action!);
    if (this.#request.logProb && logProb !== undefined) {
      checkResult(`model "${model}" version ${version}: log_prob`, logProb, sent);
      response.logProb = encodeTensor(logProb, [logProb.length]);
    }
    if (seed !== undefined) response.seed = BigInt(seed);
    return response;
  }

  /** Keeps the action for the fallback `hold` of later requests. A late action is not served, so it is not kept. */
  #keepAction(action: Float32Array): void {
    if (this.#request.clientId === '' || this.isLate) return;
    this.#deps.lastActions.put(this.#owner(), { action, ...this.#shape(), servedAtMs: performance.now() });
  }

  /** What an action must agree in to be held for another. */
  #shape() {
    return { rowCount: this.#plan.observation.rowCount, fingerprint: this.served.manifest.fingerprint };
  }

  #owner(): ActionOwner {
    return { model: this.served.model, caller: callerName(this.call.caller), clientId: this.#request.clientId };
  }

  /** The fallback, or the error without one. */
  #late(computed: string): ActResponseInit {
    const { fallback } = this.#plan;
    if (fallback === 'error') throw this.lateError(computed);
    return this.#standIn(fallback, this.due!.reason);
  }

  #standIn(fallback: 'safe' | 'hold', reason: FallbackReason): ActResponseInit {
    const { lastActions, onFallback } = this.#deps;
    const { rowCount } = this.#plan.observation;
    const last = fallback === 'hold' ? lastActions.get(this.#owner(), this.#shape()) : undefined;
    const { action, taken } = fallbackAnswer(reason, this.served, { rowCount, last });
    onFallback(taken.fallback === Fallback.HOLD ? 'hold' : 'safe', reason);
    const response = this.#responseWith(action);
    response.fallbackTaken = taken;
    return response;
  }

  #responseWith(action: Float32Array): ActResponseInit {
    const response: ActResponseInit = this.responseTo(this.#request);
    response.action = encodeTensor(action, [this.#plan.observation.rowCount, this.served.actionSize]);
    return response;
  }
}

const sentBy = ({ observation, contexts, weights }: ActPlan): Sent => ({
  method: 'Act',
  values: [observation.values, contexts?.values, weights?.block],
});

/** Clips to the bounds of the spec, in place. @throws Error as badResult if a value is not finite */
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
