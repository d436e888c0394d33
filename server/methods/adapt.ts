/**
 * Adapt: experience of one task to a context that the server holds: a posterior with a context drawn from it, or weights after one
 * more inner step.
 *
 * Errors: as Act; FAILED_PRECONDITION where the model does not adapt, or a handle is of another model or version; RESOURCE_EXHAUSTED
 * no room for handles.
 */

import type { MessageInitShape } from '@bufbuild/protobuf';
import { policyGradientCoefficients, type Sliced } from '../../src/advantages/policy-gradient.ts';
import type { AdaptRequest, AdaptResponseSchema } from '../../src/gen/hyperpolicy/v1/policy_service_pb.ts';
import type { Call, UnaryHandler } from '../call/rpc.ts';
import { distinctRows, encodeTensor } from '../call/tensors.ts';
import type { ServerConfig } from '../config.ts';
import type { HandleContext } from '../handles/handle-context.ts';
import { addFactors, checkPosterior, drawContext, noFactors, posteriorOf } from '../models/posterior.ts';
import { type ServedVersion, whenHeld } from '../models/served-version.ts';
import type { WorkMetrics } from '../telemetry/metrics.ts';
import type { GeneratedWeights } from '../weights/generated-weights.ts';
import { type AdaptPlan, readAdaptRequest } from './adapt-request.ts';
import { type ContextHandles, weightsOf } from './context-handles.ts';
import { answerByDue, dueOf, lateError } from './due-time.ts';
import { checkDeadline } from './request-checks.ts';
import { RequestTimer } from './timing.ts';

export type AdaptResponseInit = MessageInitShape<typeof AdaptResponseSchema>;

export type AdaptDeps = {
  readonly config: ServerConfig;
  readonly handles: ContextHandles;
  /** Smoothed lateness of the event loop, microseconds. */
  readonly eventLoopDelayUs: () => number;
  readonly work: WorkMetrics;
};

/** What a request came to. */
type Adapted = { readonly state: HandleContext['state']; readonly result: NonNullable<AdaptResponseInit['result']> };

type Task = { readonly served: ServedVersion; readonly call: Call; readonly timer: RequestTimer };
type PlanOf<Kind extends AdaptPlan['kind']> = Extract<AdaptPlan, { readonly kind: Kind }>;

/** What becomes of a late result. */
const lost = 'Nothing is kept';

export function createAdaptHandler(deps: AdaptDeps): UnaryHandler<AdaptRequest, AdaptResponseInit> {
  const { config, handles, eventLoopDelayUs, work } = deps;
  const { rowCountMax, deadlineMarginMs } = config;
  return (request, call) => {
    const served = handles.resolve('Adapt', request, call);
    const plan = readAdaptRequest(served, request, call, { handles, rowCountMax });
    const rowCount = (plan.kind === 'posterior' ? plan.transitions : plan.steps)?.rowCount ?? 0;
    work.rows(rowCount);
    call.record?.served(served, rowCount);
    checkDeadline('Adapt', call);
    const due = dueOf(call, 0, deadlineMarginMs);
    const timer = new RequestTimer(call, { eventLoopDelayUs, work });
    const task = { served, call, timer };
    const done = whenHeld(served, async (): Promise<AdaptResponseInit> => {
      const { state, result } = await (plan.kind === 'posterior' ? inferPosterior(plan, task) : takeStep(plan, task));
      // A handle that nobody hears of would only take room.
      if (due !== undefined && performance.now() >= due.atMs) throw lateError('Adapt', due, lost);
      const contextHandle = await handles.put(served, call, state);
      return {
        contextHandle,
        expiresAfterMs: handles.timeToLiveMs,
        result,
        version: served.version,
        weightAgeMs: Date.now() - served.publishedAtMs,
        sequence: request.sequence,
        timing: timer.timing(),
      };
    });
    return answerByDue(done, due, () => {
      throw lateError('Adapt', due!, lost);
    });
  };
}

async function inferPosterior(
  { encoder, transitions, from, seed }: PlanOf<'posterior'>,
  { served, call, timer }: Task,
): Promise<Adapted> {
  let sums = from ?? noFactors(served.contextSize);
  if (transitions !== undefined) {
    const factors = await timer.network(() => encoder.factors(transitions, call.deadlineMs));
    sums = addFactors(sums, factors, transitions.rowCount);
  }
  const { transitionCount, precision, weightedMean } = sums;
  const posterior = posteriorOf(sums, encoder.prior);
  const context = drawContext(posterior, seed);
  const { observation, action, reward } = transitions ?? {};
  const sent = { method: 'Adapt', values: [observation, action, reward, from?.context] };
  checkPosterior({ ...posterior, context }, sent);
  const vector = (values: Float32Array) => encodeTensor(values, [values.length]);
  return {
    state: { kind: 'posterior', transitionCount, precision, weightedMean, context },
    result: {
      case: 'posterior',
      value: {
        mean: vector(posterior.mean),
        variance: vector(posterior.variance),
        context: vector(context),
        seed: BigInt(seed),
        transitionCount: BigInt(transitionCount),
      },
    },
  };
}

async function takeStep({ step, steps, lengths, from }: PlanOf<'weights'>, task: Task): Promise<Adapted> {
  const { call, timer } = task;
  // The context of the request is a view of a larger piece of memory: what is kept is a copy.
  const { before, context, stepCount } =
    'kind' in from
      ? { before: weightsOf(from), context: from.context, stepCount: from.stepCount }
      : { before: await generate(step.source, from, task), context: from.values.slice(), stepCount: 0 };
  const coefficient = await inSlices(policyGradientCoefficients({ ...steps, lengths }, step.advantages), call);
  const after = await timer.network(() =>
    step.step({ weights: before, context }, { ...steps, coefficient }, call.deadlineMs),
  );
  return {
    state: { kind: 'weights', stepCount: stepCount + 1, context, block: after.block },
    result: { case: 'weights', value: { stepCount: stepCount + 1, stepNorm: distance(before.block, after.block) } },
  };
}

async function generate(
  source: PlanOf<'weights'>['step']['source'],
  context: Parameters<typeof distinctRows>[0],
  { served, call, timer }: Task,
): Promise<GeneratedWeights> {
  const startMs = performance.now();
  const weights = source.weightsFor(distinctRows(context, served.contextSize), call.deadlineMs);
  const { entries } = weights instanceof Promise ? await timer.primary(startMs, weights) : weights;
  return entries[0]!;
}

/** Lets other requests run between slices. @throws HyperpolicyError deadline_exceeded as soon as it is late */
async function inSlices<T>(work: Sliced<T>, call: Call): Promise<T> {
  for (;;) {
    const { done, value } = work.next();
    if (done === true) return value;
    await new Promise(setImmediate);
    checkDeadline('Adapt', call, lost);
  }
}

/** Euclidean. */
function distance(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return Math.sqrt(sum);
}
